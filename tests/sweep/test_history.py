from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from tune_app import space as spaces
from tune_app.status import Status
from tune_app.sweep.configurations import Configuration
from tune_app.sweep.event_lines import parse
from tune_app.sweep.events import Event, ScoreRows
from tune_app.sweep.history import History

SCORES = {"offset": 8, "shape": [2, 3], "crc32": 5}


def event(name: str, **fields: Any) -> Event:
    return parse({"event": name, "t": 1.0, **fields})


def planned(sample: int = 1, twin: int | None = None) -> Event:
    return event("planned", sample=sample, fingerprint="f", config={"lr": 0.1}, twin=twin)


def started(trial: str, *replicates: int, sample: int = 1, epoch: int = 0) -> Event:
    return event(
        "started",
        trial=trial,
        sample=sample,
        replicates=list(replicates),
        epoch=epoch,
        target=3,
        node="here",
    )


def epoch(trial: str, number: int, *values: float | None, **device: str) -> Event:
    metrics = {"val_accuracy": list(values)}
    return event(
        "epoch", trial=trial, epoch=number, metrics=metrics, durations_s=[0.5] * len(values), **device
    )


def decision(trial: str, stop: bool, sample: int = 1) -> Event:
    return event("decision", trial=trial, sample=sample, epoch=1, rung=1, value=0.4, threshold=0.5, stop=stop)


def ending(status: str, trial: str, replicate: int) -> list[Event]:
    """What leads a started trial of one replicate to a status."""
    endings = {
        "running": [],
        "interrupted": [event("opened")],
        "finished": [
            event("finished", trial=trial, epoch=3, evaluated=[3], test={"test_a": [1.0]}, scores=None)
        ],
        "stopped": [decision(trial, stop=True)],
        "paused": [epoch(trial, 1, 0.5), event("paused", trial=trial, epoch=1, value=0.5)],
        "diverged": [event("diverged", trial=trial, epoch=2, replicates=[replicate])],
        "failed": [event("failed", trial=trial, reason="broke", log="logs/1.1.log", sample=1)],
    }
    return endings[status]


def fold(*events: Event) -> History:
    history = History()
    for each in events:
        history.apply(each)
    return history


def status(history: History, seeds: int = 1, live: bool = True, sample: int = 1) -> str:
    return history.status(history.configurations[sample], range(seeds), live)


def ended(configuration: Configuration, epochs: int = 1) -> set[int]:
    """The replicates of 0 and 1 that are not to be trained again."""
    there = {replicate for attempt in configuration.attempts for replicate in attempt.replicates}
    return {replicate for replicate in there if not configuration.lacks(replicate, epochs)}


@pytest.mark.parametrize("name", [name for name in Status if name != "planned"])
def test_each_status_follows_from_its_events(name: str) -> None:
    history = fold(planned(), started("1.1", 0), epoch("1.1", 1, 0.5), *ending(name, "1.1", 0))
    assert status(history) == name
    assert ended(history.configurations[1]) == (set() if name in ("running", "interrupted") else {0})


def test_without_a_living_writer_what_has_not_ended_is_interrupted() -> None:
    history = fold(planned(), started("1.1", 0), epoch("1.1", 1, 0.5))
    assert status(history, live=False) == "interrupted"
    assert status(fold(planned()), live=False) == "planned"


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(Status, 2)))
def test_a_configuration_shows_the_gravest_status_of_its_replicates(first: str, second: str) -> None:
    events = [planned()]
    # an interruption befalls every trial under way, so it comes first
    for replicate, name in enumerate(sorted((first, second), key=lambda name: name != "interrupted")):
        if name == "planned":
            continue
        trial = f"1.{replicate + 1}"
        events += [started(trial, replicate), *ending(name, trial, replicate)]
    assert status(fold(*events), seeds=2) == first


def test_a_diverged_replicate_stays_so_whatever_becomes_of_its_trial() -> None:
    gone = [planned(), started("1.1", 0, 1), event("diverged", trial="1.1", epoch=1, replicates=[1])]
    for end in ("finished", "stopped", "interrupted"):
        history = fold(*gone, *ending(end, "1.1", 0))
        attempt = history.attempts["1.1"]
        assert [attempt.status(r, live=True) for r in (0, 1)] == [end, "diverged"]
        assert ended(history.configurations[1]) == (set() if end == "interrupted" else {0, 1})


def test_the_newest_attempt_at_a_replicate_counts() -> None:
    history = fold(
        planned(),
        started("1.1", 0, 1),
        epoch("1.1", 1, 0.1, 0.2, device="cpu"),
        event("opened"),
        started("1.2", 1),
        *ending("finished", "1.2", 1),
    )
    configuration: Configuration = history.configurations[1]
    assert [attempt.trial for attempt in configuration.attempts] == ["1.1", "1.2"]
    assert configuration.last(0) is history.attempts["1.1"]
    assert configuration.last(1) is history.attempts["1.2"]
    assert configuration.last(2) is None
    assert ended(configuration) == {1}
    assert history.next_trial(1) == "1.3"
    assert status(history, seeds=2, live=False) == "interrupted"


def test_an_attempt_holds_what_was_reported() -> None:
    history = fold(
        planned(),
        started("1.1", 0, 3),
        epoch("1.1", 1, 0.1, None, device="cuda:1"),
        epoch("1.1", 2, 0.2, None),
        event(
            "finished", trial="1.1", epoch=2, evaluated=[2, 0], test={"test_a": [0.7, None]}, scores=SCORES
        ),
    )
    attempt = history.attempts["1.1"]
    assert (attempt.replicates, attempt.epoch, attempt.device, attempt.node) == ((0, 3), 2, "cuda:1", "here")
    assert [each.metrics for each in attempt.epochs] == [{"val_accuracy": [v, None]} for v in (0.1, 0.2)]
    assert (attempt.evaluated, attempt.test) == ([2, 0], {"test_a": [0.7, None]})
    assert attempt.scores == ScoreRows(8, (2, 3), 5)


def test_only_a_decision_to_stop_ends_a_trial() -> None:
    history = fold(planned(), planned(2), started("1.1", 0), started("2.1", 0, sample=2))
    history.apply(decision("1.1", stop=False))
    history.apply(decision("2.1", stop=True, sample=2))
    assert [judgement.stop for judgement in history.decisions] == [False, True]
    assert {(judgement.rule, judgement.bracket) for judgement in history.decisions} == {("asha", None)}
    history.apply(replace(decision("1.1", stop=False), rule="hyperband", bracket=2))
    assert (history.decisions[-1].rule, history.decisions[-1].bracket) == ("hyperband", 2)
    assert status(history) == "running"
    assert status(history, sample=2) == "stopped"
    assert history.attempts["2.1"].reason == "early stopping at epoch 1"


def test_a_duplicate_stands_as_its_original() -> None:
    history = fold(planned(1), planned(2, twin=1), started("1.1", 0), *ending("failed", "1.1", 0))
    assert status(history, sample=2) == "failed"


def test_a_failure_keeps_its_reason_and_log() -> None:
    attempt = fold(planned(), started("1.1", 0), *ending("failed", "1.1", 0)).attempts["1.1"]
    assert (attempt.end, attempt.reason, attempt.log) == ("failed", "broke", "logs/1.1.log")


@pytest.mark.parametrize(
    ("evaluate", "metrics", "window", "expected"),
    [
        ("last", "{name: loss, mode: min}", 1, (4.0 + 2.0) / 2),
        ("best", "{name: loss, mode: min}", 1, (1.0 + 2.0) / 2),
        ("best", "[{name: other, mode: max}, {name: loss, mode: min}]", 1, (3.0 + 5.0) / 2),
        ("last", "{name: loss, mode: min}", 2, (3.5 + 3.0) / 2),
        ("best", "[{name: other, mode: max}, {name: loss, mode: min}]", 2, (2.0 + 5.0) / 2),
    ],
)
def test_the_choice_is_the_mean_up_to_the_evaluated_epoch(
    evaluate: str, metrics: str, window: int, expected: float
) -> None:
    loss = [(1.0, 5.0), (3.0, 4.0), (4.0, 2.0)]
    other = [(0.1, 0.9), (0.7, 0.9), (0.7, 0.3)]  # the first of two that are best counts
    history = fold(planned(), started("1.1", 0, 1))
    for number, (one, two) in enumerate(zip(loss, other, strict=True), 1):
        found = {"loss": list(one), "other": list(two)}
        history.apply(event("epoch", trial="1.1", epoch=number, metrics=found, durations_s=[0.5, 0.5]))
    text = f"task: a:b\nepochs: 3\nmetric: {metrics}\nevaluate: {evaluate}\nchoose: {{window: {window}}}\n"
    space = spaces.parse(f"{text}seeds: 2")
    assert history.configurations[1].choice(space, space.metrics[-1]) == expected
    assert history.configurations[1].choice(spaces.parse(f"{text}seeds: 3")) is None


def test_times_are_those_of_the_events() -> None:
    again = event("rerun", sample=1, compared=1, differing=0, device="cpu")
    events = [planned(), started("1.1", 0), epoch("1.1", 1, 0.5), event("opened"), again]
    history = fold(*(replace(each, t=float(second)) for second, each in enumerate(events)))
    assert history.configurations[1].planned_at == 0
    assert (history.attempts["1.1"].started_at, history.attempts["1.1"].last_at) == (1, 2)
