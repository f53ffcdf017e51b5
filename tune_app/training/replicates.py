"""The replicates of one configuration, which advance together an epoch at a time; those of a function task.

Nothing in here loads torch: a function task may do without.
"""

from __future__ import annotations

import math
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.space.rules import clash, is_test_metric
from tune_app.sweep.configurations import TASK, improved_value, usable
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import ProcessState
from tune_app.tasks.task import Context, FunctionTask, copied
from tune_app.training.seeds import NOISE, derive_seed, function_seed

#: One replicate's metrics of one epoch; empty once it has diverged or ended.
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class ReplicateTest:
    """One replicate on the test set: ``test_`` metrics, and the score of every image, (N,) or (N, C)."""

    metrics: dict[str, float]
    scores: NDArray[np.float32]


class Stopwatch:
    """Seconds of wall time since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far, to a tenth of a millisecond."""
        return round(time.perf_counter() - self._start, 4)


@dataclass
class Replicate:
    """Where one replicate stands.

    ``epoch`` is the last that it was trained for, and ``evaluated`` the one that ``test`` looks at.
    ``diverged`` says what was not finite in a replicate that froze, ``ended`` what ended another one.
    """

    number: int
    epoch: int = 0
    evaluated: int = 0
    #: Seconds that it took in the last epoch.
    duration_s: float = 0.0
    diverged: str = ""
    ended: str = ""

    @property
    def live(self) -> bool:
        """Whether it is still trained."""
        return not self.diverged and not self.ended


class Replicates(ABC):
    """R replicates of one configuration. A subclass decides how they share a device."""

    #: Whether there are ``state`` and ``weights``.
    savable = True
    epoch = 0
    all: Sequence[Replicate]

    @abstractmethod
    def step(self) -> list[Metrics]:
        """One epoch of every live replicate: R dicts of ``train_`` and ``val_`` metrics."""

    def end(self, place: int, why: str) -> None:
        """Train a replicate no further: it has finished, and waits for ``test``."""
        live, self.all[place].ended = self.all[place].live, why
        if live:
            self._leave(place)

    @abstractmethod
    def _leave(self, place: int) -> None:
        """A live replicate has ended."""

    @abstractmethod
    def test(self) -> list[ReplicateTest | None]:
        """Look at the test set: None for a replicate that diverged, (R,). Called once, at the end."""

    def state(self) -> list[Any]:
        """Each replicate's state, (R,), of tensors and plain values."""
        raise NotImplementedError

    def load(self, states: Sequence[Any]) -> None:
        """Resume from states exactly as if never stopped. Those of earlier epochs have ended."""
        raise NotImplementedError

    def weights(self) -> list[Any]:
        """The weights that ``test`` looks at, (R,), None for one that diverged."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Close what the task holds open; called once, whatever ended the trial."""


# ---------------------------------------------------------------- of a function task


@dataclass
class _Generated(Replicate):
    """A replicate with its generator, its best value so far, and the test metrics of that epoch."""

    generator: Iterator[Mapping[str, float]] = field(default_factory=lambda: iter(()))
    best: float | None = None
    test: dict[str, float] = field(default_factory=dict)

    def close(self) -> None:
        """Have the generator run its ``finally`` and ``with`` blocks where it stands."""
        if isinstance(self.generator, Generator):
            try:
                self.generator.close()
            except Exception:  # noqa: BLE001 - of its clean-up: what was trained is known all the same
                traceback.print_exc()


class FunctionReplicates(Replicates):
    """Replicates of a function task: one generator each, advanced in step.

    A generator may end before ``epochs``: the metrics that it yielded last are its result. After the last
    epoch it runs on to its end. Test metrics that it yields are held back until ``test``. Where a metric that
    ranks or stops configurations is not finite, the replicate has diverged; any other such value counts as
    missing.

    Raises:
        TaskError: a generator that yields nothing, or something else than numbers by name.
    """

    savable = False

    def __init__(self, spec: TrialSpec, function: FunctionTask, device: str) -> None:
        self._config, self._settings = spec.config, spec.settings
        self.all: list[_Generated] = []
        seed, epochs = spec.settings.seed, spec.settings.epochs
        for r in spec.replicates:
            context = Context(function_seed(seed, r), r, epochs, device)
            state = ProcessState(derive_seed(seed, NOISE, r))
            generator = _isolated(function, copied(spec.config), context, state)
            self.all.append(_Generated(r, generator=generator))

    def step(self) -> list[Metrics]:
        """See Replicates. Where the last of them end without another epoch, ``epoch`` stays as it is."""
        found: list[Metrics] = []
        for each in self.all:
            watch = Stopwatch()
            found.append(self._advance(each, self.epoch + 1) if each.live else {})
            each.duration_s = watch.seconds()
        self.epoch = max(each.epoch for each in self.all)
        return found

    def _advance(self, each: _Generated, epoch: int) -> Metrics:
        """One epoch of one replicate; no metrics where it has ended before, or diverges in it."""
        settings = self._settings
        try:
            yielded = next(each.generator)
        except StopIteration:
            if epoch == 1:
                raise TaskError(
                    "the function task ended without metrics: it must yield a mapping of them once an epoch"
                ) from None
            each.ended = TASK
            return {}
        numbers = self._numbers(yielded)
        each.epoch = epoch
        if fatal := [name for name in settings.needed & numbers.keys() if not usable(numbers[name])]:
            name = min(fatal)
            each.diverged = f"{name} was {numbers[name]:g}"
            each.close()
            return {}
        visible = {name: value for name, value in numbers.items() if not is_test_metric(name)}
        best = settings.keep_best and improved_value(visible, settings.keep_best, each.best)
        if settings.keep_best is None or best is not None:
            each.best, each.evaluated = best, epoch
            each.test = {name: value for name, value in numbers.items() if is_test_metric(name)}
        if epoch == settings.epochs and next(each.generator, None) is not None:
            each.close()  # it would yield more than it was asked for
        return visible

    def _numbers(self, yielded: Any) -> dict[str, float]:
        if not isinstance(yielded, Mapping):
            raise TaskError(f"the function task yielded {yielded!r}; it must yield a mapping of metrics")
        numbers = {str(name): _number(name, value) for name, value in yielded.items()}
        if clashing := clash(numbers, self._config):
            name, column = clashing
            raise TaskError(
                f'the function task yielded "{name}", and "{column}" is a parameter or another column of the '
                f"results already: give the metric another name, such as val_{name}"
            )
        return numbers

    def _leave(self, place: int) -> None:
        self.all[place].close()

    def close(self) -> None:
        """See Replicates."""
        for each in self.all:
            each.close()

    def test(self) -> list[ReplicateTest | None]:
        """See Replicates; a function has no images, so no scores."""
        none = np.empty(0, np.float32)
        return [None if each.diverged else ReplicateTest(each.test, none) for each in self.all]


def _isolated(
    function: FunctionTask, config: Config, context: Context, state: ProcessState
) -> Iterator[Mapping[str, float]]:
    """What a function yields; ``state`` is in place while its code runs, also when it is closed."""
    with state:
        generator = function(config, context)
    try:
        while True:
            with state:
                try:
                    found = next(generator)
                except StopIteration:
                    return
            yield found
    finally:
        if isinstance(generator, Generator):
            with state:
                generator.close()


def _number(name: Any, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf
    except (TypeError, ValueError):
        raise TaskError(f"the function task yielded {name}={value!r}; a metric is a number") from None
