"""What passes between the driver and its workers: orders, reports, and the sealed test outcome."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tune_app.history import Saved, Values
from tune_app.sweep import Job, Numerics

#: A file of this name among the checkpoints asks every trial to write one after its epoch.
SAVE_NOW = ".save-now"


@dataclass(frozen=True)
class Order:
    """All that a worker must know to run a job.

    ``epochs`` is how many the sweep wants, also where the job ends before; ``checkpoints`` is the folder for
    its checkpoints, empty for none, ``checkpoint_every_s`` the time between two of them in seconds, and
    ``keep`` what is left of a finished trial. Where a space has several metrics, ``metric`` is the first,
    ``others`` are the names of those that follow, and ``stop_metric`` that of early stopping, if another.
    Where the worker may be on another machine, which has no such folder, it is to ``gather``: checkpoints
    travel in reports, and the one to start from is ``content``.
    """

    job: Job
    task: str
    seed: int
    metric: str
    mode: str
    evaluate: str
    numerics: Numerics
    epochs: int
    checkpoints: str = ""
    checkpoint_every_s: float = 30.0
    keep: str = "best"
    others: tuple[str, ...] = ()
    stop_metric: str = ""
    gather: bool = False
    content: bytes | None = None


@dataclass(frozen=True)
class Sealed:
    """What only the record may see: test metrics, and test scores (R, N) or (R, N, C)."""

    metrics: Values
    evaluated: list[int]
    scores: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """One epoch of a trial: metrics with one value a replicate, which of them diverged, and the end.

    ``value`` is what schedulers see: the mean, over the replicates, of the metric that early stopping goes
    by, None when one of them diverged; ``diverged`` maps such a replicate to the epoch at which it did.
    ``sealed`` comes with the last report, and with it ``weights``, the file of the evaluated models;
    ``saved`` is a checkpoint that was written after this epoch, ``savable`` says whether there can be one.
    ``looped`` is why the replicates are not stacked though the sweep's are, or empty.
    ``files`` are the checkpoints of an order that gathers them, by name, packed apart from the rest, since an
    engine may keep that; one of ``too_large`` bytes was left behind.
    """

    epoch: int
    value: float | None
    metrics: Values
    durations_s: list[float]
    diverged: Mapping[int, int] = field(default_factory=dict)
    done: bool = False
    sealed: Sealed | None = None
    saved: Saved | None = None
    savable: bool = False
    weights: Saved | None = None
    looped: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    too_large: int = 0

    def pack(self) -> bytes:
        """The report as bytes that mean nothing to an engine, a searcher or a scheduler."""
        return pickle.dumps(replace(self, files={}))

    def pack_files(self) -> bytes:
        """Its files, likewise; empty where there are none."""
        return pickle.dumps(self.files) if self.files else b""

    @staticmethod
    def unpack(packed: bytes, files: bytes = b"") -> Report:
        """A report from ``pack`` and ``pack_files``; only for bytes that our own worker made."""
        report = pickle.loads(packed)
        if not isinstance(report, Report):
            raise TypeError(f"not a report: {type(report).__name__}")
        return replace(report, files=pickle.loads(files)) if files else report
