"""What follows from the attempts at a configuration."""

from __future__ import annotations

import pytest

from benchmarks.recorder import Recorder
from tune_app.space import SearchSpace
from tune_app.sweep.configurations import Configuration, mean
from tune_app.sweep.events import Planned
from tune_app.sweep.history import History

TARGET = 3


@pytest.fixture
def history() -> History:
    history = History()
    history.apply(Planned(sample=1, fingerprint="f", config={"lr": 0.1}, duplicate_of=None))
    return history


@pytest.fixture
def recorder(history: History) -> Recorder:
    return Recorder(history.apply, history, [0, 1], TARGET)


@pytest.fixture
def configuration(history: History) -> Configuration:
    return history.configurations[1]


def test_a_mean_needs_every_value() -> None:
    assert mean([1.0, 2.0]) == 1.5
    assert mean([1.0, None]) is None
    assert mean([]) is None


def test_a_later_attempt_replaces_the_epochs_that_it_trains_again(
    recorder: Recorder, configuration: Configuration
) -> None:
    first = recorder.start(1)
    for value in (0.1, 0.2, 0.3):
        recorder.epoch(first, [value, value])
    recorder.interrupt()
    again = recorder.start(1, 1, epoch=1)
    recorder.epoch(again, [0.9])
    values = {r: [row[1]["val_accuracy"] for row in configuration.epochs(r)] for r in (0, 1)}
    assert values == {0: [0.1, 0.2, 0.3], 1: [0.1, 0.9]}
    last = configuration.last(1)
    assert last is not None
    assert (last.trial, last.epoch) == (again, 2)
    assert configuration.means("val_accuracy", range(2)) == pytest.approx({1: 0.1, 2: 0.55})


def test_means_end_where_a_replicate_diverged(recorder: Recorder, configuration: Configuration) -> None:
    trial = recorder.start(1)
    recorder.epoch(trial, [0.1, 0.3])
    recorder.epoch(trial, [None, 0.5])
    recorder.diverge(trial, 0)
    recorder.epoch(trial, [None, 0.7])
    recorder.finish(trial)
    assert configuration.means("val_accuracy", range(2)) == pytest.approx({1: 0.2})
    assert "not finite" in configuration.attempts[0].fault
    assert configuration.choice(SearchSpace(task="pneumonia", seeds=2)) is None


def test_what_has_ended_lacks_nothing_until_more_epochs_are_wanted(
    recorder: Recorder, configuration: Configuration
) -> None:
    assert all(configuration.lacks(replicate, TARGET) for replicate in (0, 1))
    recorder.train(1, [0.5])
    assert not any(configuration.lacks(replicate, TARGET) for replicate in (0, 1))
    assert all(configuration.lacks(replicate, TARGET + 1) for replicate in (0, 1))
    assert [configuration.looks(replicate) for replicate in (0, 1, 2)] == [1, 1, 0]


def test_a_stopped_configuration_lacks_nothing(recorder: Recorder, configuration: Configuration) -> None:
    trial = recorder.start(1)
    recorder.epoch(trial, [0.5])
    recorder.stop(trial)
    assert configuration.stopped_at == 1
    assert not configuration.lacks(0, TARGET + 1)


def test_failures_are_counted_for_each_replicate(recorder: Recorder, configuration: Configuration) -> None:
    recorder.fail(recorder.start(1))
    recorder.fail(recorder.start(1, 1))
    assert [configuration.failures(replicate) for replicate in (0, 1)] == [1, 2]
    assert configuration.attempts[0].fault == "RuntimeError: boom"
