"""The base of replicates, in whatever way they share a device."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from specs import make_spec

from tune_app.training.replicates import FunctionReplicates, Replicates, Stopwatch
from tune_app.training.task_replicates import Looped, Stacked


def test_a_stopwatch_counts_seconds() -> None:
    watch = Stopwatch()
    time.sleep(0.02)
    assert 0.02 <= watch.seconds() < 5


@pytest.mark.parametrize("kind", [Looped, Stacked, FunctionReplicates])
def test_every_way_to_train_replicates_is_complete(kind: type[Replicates]) -> None:
    assert getattr(kind, "__abstractmethods__", None) == frozenset()
    saving = ("state", "load", "weights")
    assert {getattr(kind, name) is not getattr(Replicates, name) for name in saving} == {kind.savable}


def test_what_cannot_be_saved_has_no_state() -> None:
    def task(config: object, context: object) -> Iterator[dict[str, float]]:
        yield {"val_accuracy": 1.0}

    group = FunctionReplicates(make_spec({}, (0, 1)), task, "cpu")
    assert not group.savable
    for method in (group.state, group.weights, lambda: group.load([])):
        with pytest.raises(NotImplementedError):
            method()
