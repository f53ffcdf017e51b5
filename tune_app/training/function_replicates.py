"""Replicates of a function task, which trains them itself and yields metrics."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.space.rules import clash, is_test_metric
from tune_app.sweep.evaluation import improved_value, usable
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import ProcessState
from tune_app.tasks.task import Context, FunctionTask
from tune_app.training.replicates import Metrics, Replicates, ReplicateTest, Stopwatch
from tune_app.training.seeds import NOISE, derive_seed, function_seed


@dataclass
class _Replicate:
    """The generator of one replicate, and what it has come to."""

    generator: Iterator[Mapping[str, float]]
    diverged: int | None = None
    why: str = ""
    ended: int | None = None
    best: float | None = None
    evaluated: int = 0
    test: dict[str, float] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        return self.diverged is None and self.ended is None

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
        super().__init__(spec)
        self._spec, seed = spec, spec.settings.seed
        self._all = [
            _Replicate(
                _isolated(
                    function,
                    copy.deepcopy(dict(spec.config)),
                    Context(function_seed(seed, r), r, spec.settings.epochs, device),
                    ProcessState(derive_seed(seed, NOISE, r)),
                )
            )
            for r in spec.replicates
        ]

    def step(self) -> list[Metrics]:
        """See Replicates. Where the last of them end without another epoch, ``epoch`` stays as it is."""
        self.epoch += 1
        found: list[Metrics] = []
        for index, replicate in enumerate(self._all):
            watch = Stopwatch()
            found.append(self._advance(replicate) if replicate.live else {})
            self.durations_s[index] = watch.seconds()
        if not any(found) and self.epoch not in self.diverged():
            self.epoch -= 1
        return found

    def _advance(self, replicate: _Replicate) -> Metrics:
        """One epoch of one replicate; no metrics where it has ended before, or diverges in it."""
        settings = self._spec.settings
        try:
            yielded = next(replicate.generator)
        except StopIteration:
            if self.epoch == 1:
                raise TaskError(
                    "the function task ended without metrics: it must yield a mapping of them once an epoch"
                ) from None
            replicate.ended = self.epoch - 1
            return {}
        numbers = self._numbers(yielded)
        if fatal := [name for name in settings.needed & numbers.keys() if not usable(numbers[name])]:
            name = min(fatal)
            replicate.diverged, replicate.why = self.epoch, f"{name} was {numbers[name]:g}"
            replicate.close()
            return {}
        visible = {name: value for name, value in numbers.items() if not is_test_metric(name)}
        best = settings.keep_best and improved_value(visible, settings.keep_best, replicate.best)
        if settings.keep_best is None or best is not None:
            replicate.best, replicate.evaluated = best, self.epoch
            replicate.test = {name: value for name, value in numbers.items() if is_test_metric(name)}
        if self.epoch == settings.epochs and next(replicate.generator, None) is not None:
            replicate.close()  # it would yield more than it was asked for
        return visible

    def _numbers(self, yielded: Any) -> dict[str, float]:
        if not isinstance(yielded, Mapping):
            raise TaskError(f"the function task yielded {yielded!r}; it must yield a mapping of metrics")
        numbers = {str(name): _number(name, value) for name, value in yielded.items()}
        if clashing := clash(numbers, self._spec.config):
            name, column = clashing
            raise TaskError(
                f'the function task yielded "{name}", and "{column}" is a parameter or another column of the '
                f"results already: give the metric another name, such as val_{name}"
            )
        return numbers

    def end(self, index: int) -> None:
        """See Replicates."""
        self._all[index].ended = self.epoch
        self._all[index].close()

    def ended(self) -> list[int | None]:
        """See Replicates."""
        return [each.ended for each in self._all]

    def close(self) -> None:
        """See Replicates."""
        for each in self._all:
            each.close()

    def why(self, index: int) -> str:
        """See Replicates."""
        return self._all[index].why

    def diverged(self) -> list[int | None]:
        """See Replicates."""
        return [each.diverged for each in self._all]

    def evaluated(self) -> list[int]:
        """See Replicates."""
        return [each.evaluated for each in self._all]

    def test(self) -> list[ReplicateTest | None]:
        """See Replicates; a function has no images, so no scores."""
        none = np.empty(0, np.float32)
        return [ReplicateTest(each.test, none) if each.diverged is None else None for each in self._all]


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
