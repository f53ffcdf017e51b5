"""The replicates of one configuration, advancing together an epoch at a time; those of a function task.

Nothing in here loads torch: a function may do without.
"""

from __future__ import annotations

import copy
import math
import time
import traceback
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.space.rules import clash, sealed
from tune_app.sweep.evaluation import improved, usable
from tune_app.tasks.isolation import ProcessState
from tune_app.tasks.task import Context, FunctionTask
from tune_app.training.seeds import NOISE, derive_seed, function_seed

#: One replicate's metrics of one epoch; empty once it has diverged.
Metrics = Mapping[str, float]


#: Why a replicate of a Task has diverged.
NON_FINITE = "a loss or a parameter was not finite, or beyond 1e100"


@dataclass(frozen=True)
class Outcome:
    """The test set's answer: ``test_`` metrics and the score of every image, (N,) or (N, C)."""

    metrics: dict[str, float]
    scores: NDArray[np.float32]


class Stopwatch:
    """Seconds of wall time since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far, to a tenth of a millisecond."""
        return round(time.perf_counter() - self._start, 4)


class Replicates(Protocol):
    """R seeds of one configuration. How they share a device is inside."""

    epoch: int
    #: Seconds that each replicate took in the last epoch, (R,).
    durations_s: list[float]
    #: Whether there are ``state`` and ``weights``.
    savable: bool

    def step(self) -> list[Metrics]:
        """One epoch of every replicate: R dicts of ``train_`` and ``val_`` metrics."""

    def diverged(self) -> list[int | None]:
        """The epoch at which each replicate became non-finite and froze; None for the others, (R,)."""

    def why(self, index: int) -> str:
        """What was not finite in a replicate that diverged; empty for others."""

    def end(self, index: int) -> None:
        """Train a replicate no further: it has finished, and waits for ``test``."""

    def ended(self) -> list[int | None]:
        """The last epoch of each replicate that is trained no further though it has not diverged, (R,)."""

    def evaluated(self) -> list[int]:
        """The epoch of each replicate that ``test`` looks at, (R,)."""

    def test(self) -> list[Outcome | None]:
        """Break the seal: each replicate's test outcome, None where it diverged. Called once, at the end."""

    def state(self) -> list[Any]:
        """Each replicate's state, (R,), of tensors and plain values."""

    def load(self, states: Sequence[Any]) -> None:
        """Go on from states exactly as if never stopped. Those of earlier epochs have ended."""

    def weights(self) -> list[Any]:
        """The weights that ``test`` looks at, (R,), None for one that diverged."""

    def close(self) -> None:
        """Let go of what the task holds open; called once, whatever ended the trial."""


class Generated:
    """Replicates of a function task: one generator each, advanced in step.

    A generator may end before ``epochs``: the metrics that it yielded last are its result. After the last
    epoch it runs on to its end. Test metrics that it yields (``sealed``) are held back until ``test``: of
    the last epoch, or of the best by ``keep_best``.

    Args:
        keep_best: see Learner.
        needed: the metrics that rank and stop configurations. Where one of them is not finite, the replicate
            has diverged; of any other the value counts as missing.

    Raises:
        TaskError: a generator that yields nothing, or something else than numbers by name.
    """

    savable = False

    def __init__(
        self,
        function: FunctionTask,
        config: Config,
        seed: int,
        replicates: Sequence[int],
        epochs: int,
        device: str,
        keep_best: tuple[str, int] | None = None,
        needed: Collection[str] = (),
    ) -> None:
        self._generators = [
            _isolated(
                function,
                copy.deepcopy(dict(config)),
                Context(function_seed(seed, r), r, epochs, device),
                ProcessState(derive_seed(seed, NOISE, r)),
            )
            for r in replicates
        ]
        self._parameters = list(config)
        count = len(self._generators)
        self._epochs, self._keep_best, self._needed = epochs, keep_best, frozenset(needed)
        self._diverged: list[int | None] = [None] * count
        self._why = [""] * count
        self._ended: list[int | None] = [None] * count
        self._sealed: list[dict[str, float]] = [{} for _ in range(count)]
        self._best: list[float | None] = [None] * count
        self._evaluated = [0] * count
        self.epoch = 0
        self.durations_s = [0.0] * count

    def step(self) -> list[Metrics]:
        """See Replicates. Where the last of them end without another epoch, ``epoch`` stays as it is."""
        self.epoch += 1
        found: list[Metrics] = []
        for index in range(len(self._generators)):
            watch = Stopwatch()
            found.append(self._advance(index) if self._live(index) else {})
            self.durations_s[index] = watch.seconds()
        if not any(found) and self.epoch not in self._diverged:
            self.epoch -= 1
        return found

    def _live(self, index: int) -> bool:
        return self._diverged[index] is None and self._ended[index] is None

    def _advance(self, index: int) -> Metrics:
        """One epoch of one replicate; no metrics where it has ended before, or diverges in it."""
        generator = self._generators[index]
        try:
            yielded = next(generator)
        except StopIteration:
            if self.epoch == 1:
                raise TaskError(
                    "the function task ended without metrics: it must yield a mapping of them once an epoch"
                ) from None
            self._ended[index] = self.epoch - 1
            return {}
        numbers = self._numbers(yielded)
        if fatal := [name for name in self._needed & numbers.keys() if not usable(numbers[name])]:
            name = min(fatal)
            self._diverged[index] = self.epoch
            self._why[index] = f"{name} was {numbers[name]:g}"
            self._finish(index)
            return {}
        open_metrics = {name: value for name, value in numbers.items() if not sealed(name)}
        if self._improves(index, open_metrics):
            self._evaluated[index] = self.epoch
            self._sealed[index] = {name: v for name, v in numbers.items() if sealed(name)}
        if self.epoch == self._epochs and next(generator, None) is not None:
            self._finish(index)  # it would yield more than it was asked for
        return open_metrics

    def _numbers(self, yielded: Any) -> dict[str, float]:
        if not isinstance(yielded, Mapping):
            raise TaskError(f"the function task yielded {yielded!r}; it must yield a mapping of metrics")
        numbers = {str(name): _number(name, value) for name, value in yielded.items()}
        if clashing := clash(numbers, self._parameters):
            name, column = clashing
            raise TaskError(
                f'the function task yielded "{name}", and "{column}" is a parameter or another column of the '
                f"results already: give the metric another name, such as val_{name}"
            )
        return numbers

    def _improves(self, index: int, found: Metrics) -> bool:
        if self._keep_best is None:
            return True
        value = improved(found, self._keep_best, self._best[index])
        if value is None:
            return False
        self._best[index] = value
        return True

    def _finish(self, index: int) -> None:
        """Have a generator run its ``finally`` and ``with`` blocks where it stands."""
        generator = self._generators[index]
        if isinstance(generator, Generator):
            try:
                generator.close()
            except Exception:  # noqa: BLE001 - of its clean-up: what it was trained to is known all the same
                traceback.print_exc()

    def end(self, index: int) -> None:
        """See Replicates."""
        self._ended[index] = self.epoch
        self._finish(index)

    def ended(self) -> list[int | None]:
        """See Replicates."""
        return list(self._ended)

    def close(self) -> None:
        """See Replicates."""
        for index in range(len(self._generators)):
            self._finish(index)

    def why(self, index: int) -> str:
        """See Replicates."""
        return self._why[index]

    def diverged(self) -> list[int | None]:
        """See Replicates."""
        return list(self._diverged)

    def evaluated(self) -> list[int]:
        """See Replicates."""
        return list(self._evaluated)

    def test(self) -> list[Outcome | None]:
        """See Replicates; a function has no images, so no scores."""
        none = np.empty(0, np.float32)
        return [
            Outcome(sealed, none) if gone is None else None
            for sealed, gone in zip(self._sealed, self._diverged, strict=True)
        ]

    def state(self) -> list[Any]:
        """See Replicates; never called, a generator cannot be put on disk."""
        raise TaskError(_NO_STATE)

    def load(self, states: Sequence[Any]) -> None:
        """See Replicates; never called, for there is never a state."""
        raise TaskError(_NO_STATE)

    def weights(self) -> list[Any]:
        """See Replicates; never called, what a generator has learnt is its own affair."""
        raise TaskError(_NO_STATE)


_NO_STATE = "a function task has no state that could be saved or gone on from"


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
