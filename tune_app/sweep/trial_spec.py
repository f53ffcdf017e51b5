"""One trial on its way to a worker: a `TrialSpec` is planned from a sweep and sent to the worker as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tune_app.space import Config, SearchSpace
from tune_app.sweep.code import CodeState
from tune_app.sweep.events import Numerics, Saved
from tune_app.sweep.opened_folder import OpenedFolder

#: The name of a metric, and +1 where more is better or -1 where less is.
Direction = tuple[str, int]


@dataclass(frozen=True)
class SweepSettings:
    """What all trials of a sweep share; a trial's own ``target`` may be lower than ``epochs``.

    ``metrics`` rank configurations: the first decides, and each must be reported in each epoch. Early
    stopping and patience, in epochs, use ``stop_metric``.
    """

    task: str
    seed: int
    epochs: int
    metrics: tuple[Direction, ...]
    evaluate: str
    stop_metric: Direction
    patience: int | None
    min_delta: float
    grace_period: int
    numerics: Numerics
    keep: str
    checkpoint_every_s: float
    #: The epochs at which a trial may have to wait, and so writes a checkpoint.
    rungs: tuple[int, ...] = ()

    @classmethod
    def of(cls, space: SearchSpace, numerics: Numerics) -> SweepSettings:
        """The settings of a sweep over ``space``."""
        return cls(
            task=space.task,
            seed=space.seed,
            epochs=space.epochs,
            metrics=tuple((metric.name, metric.sign) for metric in space.metrics),
            evaluate=space.evaluate,
            stop_metric=(space.stop_metric.name, space.stop_metric.sign),
            patience=space.stop.patience,
            min_delta=space.stop.min_delta,
            grace_period=space.stop.grace_period,
            numerics=numerics,
            keep=space.keep,
            checkpoint_every_s=space.checkpoint_every,
            rungs=space.stop.waiting_rungs(space.epochs),
        )

    @property
    def keep_best(self) -> Direction | None:
        """The metric whose best epoch is evaluated; None where the last epoch is."""
        return self.metrics[0] if self.evaluate == "best" else None

    @property
    def needed(self) -> frozenset[str]:
        """The metrics that rank or stop configurations."""
        return frozenset(name for name, _ in (*self.metrics, self.stop_metric))


@dataclass(frozen=True)
class TrialFiles:
    """Where a trial reads and writes files; by default it writes none.

    ``output`` is the file for what the trial prints; without it the text travels in the reports. With
    ``gather`` the worker may run on a machine without these folders: checkpoints travel in the reports, and
    ``content`` holds the bytes of the one to start from. A trial writes into no other folder than ``opened``.
    """

    checkpoints: str = ""
    output: str = ""
    gather: bool = False
    content: bytes | None = None
    opened: OpenedFolder | None = None


@dataclass(frozen=True)
class TrialSpec:
    """One trial: train these replicates of one configuration up to epoch ``target``.

    ``start`` is the checkpoint to resume from. A trial that ``follows`` comes after the first replicate of
    its configuration, which early stopping has judged: it takes no decisions. ``tested`` says whether it ends
    with a look at the test set.

    The driver adds the rest when it hands the trial out: ``code`` is what the session knows, and ``reported``
    has, for each replicate that resumes, the epochs and values of the stopping metric up to ``start``.
    """

    sample: int
    config: Config
    replicates: tuple[int, ...]
    target: int
    settings: SweepSettings
    start: Saved | None = None
    follows: bool = False
    tested: bool = True
    files: TrialFiles = TrialFiles()
    code: CodeState | None = None
    reported: tuple[tuple[tuple[int, float | None], ...], ...] = ()

    @classmethod
    def example(cls, space: SearchSpace, replicates: Sequence[int], numerics: Numerics) -> TrialSpec:
        """A trial like those of a sweep, for measuring: it writes and tests nothing."""
        settings = replace(SweepSettings.of(space, numerics), patience=None)
        return cls(1, space.example(), tuple(replicates), space.epochs, settings, tested=False)

    def only(self, replicates: tuple[int, ...]) -> TrialSpec:
        """The same trial for some of its replicates."""
        follows = self.follows or replicates[0] != self.replicates[0]
        return replace(self, replicates=replicates, follows=follows)
