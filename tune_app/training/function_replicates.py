"""Replicates of a function task, which trains them itself and yields metrics."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.space.rules import clash, is_test_metric
from tune_app.sweep.evaluation import improved, usable
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import ProcessState
from tune_app.tasks.task import Context, FunctionTask
from tune_app.training.replicates import Metrics, Replicates, ReplicateTest, Stopwatch
from tune_app.training.seeds import NOISE, derive_seed, function_seed


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
        super().__init__(spec)
        settings, count = spec.settings, len(spec.replicates)
        self._generators = [
            _isolated(
                function,
                copy.deepcopy(dict(spec.config)),
                Context(function_seed(settings.seed, r), r, settings.epochs, device),
                ProcessState(derive_seed(settings.seed, NOISE, r)),
            )
            for r in spec.replicates
        ]
        self._parameters = list(spec.config)
        self._settings = settings
        self._diverged: list[int | None] = [None] * count
        self._why = [""] * count
        self._ended: list[int | None] = [None] * count
        self._test: list[dict[str, float]] = [{} for _ in range(count)]
        self._best: list[float | None] = [None] * count
        self._evaluated = [0] * count

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
        if fatal := [name for name in self._settings.needed & numbers.keys() if not usable(numbers[name])]:
            name = min(fatal)
            self._diverged[index] = self.epoch
            self._why[index] = f"{name} was {numbers[name]:g}"
            self._finish(index)
            return {}
        visible = {name: value for name, value in numbers.items() if not is_test_metric(name)}
        if self._improves(index, visible):
            self._evaluated[index] = self.epoch
            self._test[index] = {name: v for name, v in numbers.items() if is_test_metric(name)}
        if self.epoch == self._settings.epochs and next(generator, None) is not None:
            self._finish(index)  # it would yield more than it was asked for
        return visible

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
        keep_best = self._settings.keep_best
        if keep_best is None:
            return True
        value = improved(found, keep_best, self._best[index])
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

    def test(self) -> list[ReplicateTest | None]:
        """See Replicates; a function has no images, so no scores."""
        none = np.empty(0, np.float32)
        return [
            ReplicateTest(found, none) if gone is None else None
            for found, gone in zip(self._test, self._diverged, strict=True)
        ]


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
