"""The contract of every stopper, on reports and on records."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from deciding import (
    ARRIVALS,
    EACH,
    EPOCHS,
    OFTEN,
    SAMPLE,
    VALUES,
    WITH_DIVERGENCE,
    asha,
    live,
    made,
    recorded,
)
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recorder import Recorder
from tune_app import stopping
from tune_app.stopping import StoppingDecision
from tune_app.stopping.stopper import DIVERGED, Observation
from tune_app.sweep.configurations import mean
from tune_app.sweep.events import Diverged, Extended, Planned, Started
from tune_app.sweep.history import History


@EACH
@OFTEN
@given(arrivals=WITH_DIVERGENCE)
def test_decisions_are_deterministic(text: str, arrivals: list[tuple[int, float | None]]) -> None:
    assert live(made(text), arrivals) == live(made(text), arrivals)


@EACH
@OFTEN
@given(arrivals=WITH_DIVERGENCE)
def test_less_is_better_is_more_is_better_turned_around(
    text: str, arrivals: list[tuple[int, float | None]]
) -> None:
    def turned(value: float | None) -> float | None:
        return None if value is None else -value

    least = live(made(text, "min"), [(sample, turned(value)) for sample, value in arrivals])
    assert live(made(text), arrivals) == [
        (
            seen._replace(value=turned(seen.value)),
            [dataclasses.replace(d, value=turned(d.value), threshold=turned(d.threshold)) for d in decisions],
        )
        for seen, decisions in least
    ]


@EACH
@OFTEN
@given(arrivals=WITH_DIVERGENCE)
def test_each_decision_says_what_it_was_made_of(text: str, arrivals: list[tuple[int, float | None]]) -> None:
    life = live(made(text), arrivals)
    rules = {text.split(",")[0].removeprefix("scheduler: "), DIVERGED}
    judgements = recorded(life)
    for seen, decisions in life:
        assert all(not decision.stop for decision in decisions[:-1]), "nothing is decided after a stop"
        for decision in decisions:
            assert decision.rule in rules
            assert decision.rung <= seen.epoch
            assert (decision.bracket is not None) == (decision.rule == "hyperband")
            if decision.rule == DIVERGED:
                assert (seen.value, decision.value, decision.threshold, decision.stop) == (
                    None,
                    None,
                    None,
                    True,
                )
                continue
            assert decision.value is not None
            if decision.stop:
                assert decision.threshold is not None
                assert decision.value < decision.threshold
            else:
                assert decision.rule in ("asha", "hyperband"), (
                    "the others decide each epoch: only stops are told"
                )
                assert decision.threshold is None or decision.value >= decision.threshold
    keys = [(each.sample, each.rung, each.rule) for each in judgements]
    assert len(keys) == len(set(keys)), "judged once a rung and rule"


@EACH
@OFTEN
@given(arrivals=ARRIVALS)
def test_the_first_trial_at_a_rung_is_never_stopped_by_comparison(
    text: str, arrivals: list[tuple[int, float]]
) -> None:
    reached = set[int]()
    for seen, decisions in live(made(text), arrivals):
        if seen.epoch not in reached:
            assert all(not decision.stop for decision in decisions)
        reached.add(seen.epoch)


@EACH
@OFTEN
@given(first=st.floats(-1e3, 1e3), others=ARRIVALS)
def test_whoever_rises_above_all_others_is_never_stopped(
    text: str, first: float, others: list[tuple[int, float]]
) -> None:
    stopper = made(text)
    live(stopper, [(sample, min(value, first)) for sample, value in others])
    for epoch in range(1, EPOCHS):
        assert all(not decision.stop for decision in stopper.judge(99, epoch, first + epoch))


@EACH
@OFTEN
@given(arrivals=WITH_DIVERGENCE)
def test_a_diverged_trial_stops_at_once_and_nobody_is_held_against_it(
    text: str, arrivals: list[tuple[int, float | None]]
) -> None:
    life = live(made(text), arrivals)
    without = made(text)
    for seen, decisions in life:
        if seen.value is None:
            assert decisions == [StoppingDecision(seen.epoch, None, None, stop=True, rule=DIVERGED)]
        else:
            assert without.judge(*seen) == decisions


@EACH
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_no_threshold_can_be_made_of_counts_as_diverged(text: str, value: float | None) -> None:
    stopper = made(text)
    assert stopper.judge(1, 1, value) == [StoppingDecision(1, None, None, stop=True, rule=DIVERGED)]
    assert all(not decision.stop for decision in stopper.judge(2, 1, 0.5))


@EACH
@OFTEN
@given(
    arrivals=WITH_DIVERGENCE,
    cut=st.integers(0, 120),
    torn=st.integers(0, 2),
    again=st.lists(SAMPLE, unique=True),
)
def test_a_resumed_stopper_decides_as_one_that_never_stopped(
    text: str, arrivals: list[tuple[int, float | None]], cut: int, torn: int, again: list[int]
) -> None:
    """``torn``: how many of the last report's decisions were made, and not recorded, when the power failed.

    ``again``: samples that begin anew; those that come by later are the ones that train on from a checkpoint.
    """
    whole = live(made(text), arrivals)
    before, after = whole[:cut], whole[cut:]
    judgements = recorded(before)
    lost = before[-1][1][-torn:] if before and torn else []
    resumed = made(text)
    resumed.replay([seen for seen, _ in before], judgements[: len(judgements) - len(lost)])
    owner = before[-1][0] if lost else None
    for sample in again:
        for seen, _ in before:
            if seen.sample == sample:
                comes_by = owner is not None and (seen.sample, seen.epoch) == (owner.sample, owner.epoch)
                assert resumed.judge(*seen) == (
                    lost
                    if comes_by
                    else [StoppingDecision(seen.epoch, None, None, True, DIVERGED)]
                    if seen.value is None
                    else []
                )
    for seen, decisions in after:
        due = lost if owner and seen.sample == owner.sample and owner.sample not in again else []
        lost = [] if due else lost
        assert resumed.judge(*seen) == due + decisions


@EACH
@OFTEN
@given(arrivals=ARRIVALS, again=st.lists(st.booleans(), min_size=120, max_size=120))
def test_an_epoch_that_is_trained_again_does_not_count_twice(
    text: str, arrivals: list[tuple[int, float]], again: list[bool]
) -> None:
    stopper = made(text)
    for (seen, decisions), twice in zip(live(made(text), arrivals), again, strict=False):
        assert stopper.judge(*seen) == decisions
        if twice:
            assert stopper.judge(seen.sample, 1, -1e3) == stopper.judge(seen.sample, seen.epoch, 1e3) == []


@EACH
def test_after_the_last_epoch_nothing_is_left_to_be_stopped(text: str) -> None:
    stopper = made(text)
    for sample in range(1, 6):
        assert stopper.judge(sample, EPOCHS, -float(sample)) == []


def test_a_trial_that_ended_by_itself_stands_at_the_later_rungs_with_its_last_value() -> None:
    stopper = asha()
    stopper.judge(1, 1, 0.5)
    stopper.judge(1, 2, 0.75)
    stopper.judge(1, 2, 0.75, end=True)
    assert stopper.judge(2, 1, 0.6) == [StoppingDecision(1, 0.6, 0.5, False, "asha")]
    assert stopper.judge(2, 3, 0.7) == [StoppingDecision(3, 0.7, 0.75, True, "asha")]


@EACH
@OFTEN
@given(first=st.lists(VALUES, min_size=1, max_size=4), others=ARRIVALS)
def test_to_end_is_to_repeat_the_last_value(
    text: str, first: list[float], others: list[tuple[int, float]]
) -> None:
    ends, goes_on = made(text), made(text)
    for epoch, value in enumerate(first, start=1):
        assert ends.judge(99, epoch, value) == goes_on.judge(99, epoch, value)
    ends.judge(99, len(first), first[-1], end=True)
    for epoch in range(len(first) + 1, EPOCHS + 1):
        goes_on.judge(99, epoch, first[-1])
    assert live(ends, others) == live(goes_on, others)


@pytest.mark.parametrize(
    ("text", "compares"),
    [
        ("scheduler: none", False),
        ("scheduler: none, patience: 3", False),
        ("scheduler: asha", True),
        ("scheduler: hyperband", True),
        ("scheduler: median", True),
        ("scheduler: median, patience: 3", True),
    ],
)
def test_the_order_matters_where_trials_are_compared(text: str, compares: bool) -> None:
    assert (made(text).rule is not None) == compares


def test_without_early_stopping_nothing_is_decided() -> None:
    stopper = made("scheduler: none")
    stopper.replay([Observation(1, 1, 0.5)], [])
    assert stopper.judge(1, 1, None) == stopper.judge(1, 2, 0.5) == []


def test_a_decision_that_comes_late_is_made_of_what_was_known_then() -> None:
    """Epochs were added: what was the end of two trials is now a rung."""
    stopper = asha(grace=9)
    stopper.replay([Observation(1, 9, 0.5), Observation(2, 9, 0.25)], [])
    assert stopper.judge(2, 10, 0.9) == [StoppingDecision(9, 0.25, 0.5, True, "asha")]
    assert stopper.judge(1, 10, 0.1) == [StoppingDecision(9, 0.5, None, False, "asha")]


THIRDS = [0.1, 0.2, 0.4]


def planned() -> tuple[History, Recorder]:
    """A history with sample 4 planned, and a recorder of its trials of three replicates."""
    history = History()
    history.apply(Planned(sample=4, fingerprint="f", config={}, duplicate_of=None))
    return history, Recorder(history.apply, history, [0, 1, 2], EPOCHS)


@pytest.mark.parametrize(
    ("values", "diverged", "value"),
    [
        (THIRDS, {}, mean(THIRDS)),
        ([0.1, None, 0.4], {}, None),
        ([None, None, None], {}, None),
        (THIRDS, {1: 2}, None),
        (THIRDS, {1: 3}, mean(THIRDS)),
    ],
)
def test_what_was_reported_is_found_again_in_the_record(
    values: list[float | None], diverged: dict[int, int], value: float | None
) -> None:
    history, recorder = planned()
    trial = recorder.start(4, epoch=1)
    recorder.epoch(trial, values)
    for replicate, since in diverged.items():
        history.apply(Diverged(trial=trial, replicates=[replicate], epoch=since))
    assert stopping.replay_inputs(history, "val_accuracy") == ([Observation(4, 2, value)], [])
    assert stopping.replay_inputs(history, "val_auc") == ([Observation(4, 2, None)], [])
    # before its last epoch
    recorder.finish(trial)
    assert stopping.replay_inputs(history, "val_accuracy")[0][1:] == [Observation(4, 2, value, end=True)]


def test_replicates_that_follow_take_no_part_and_another_course_begins_anew() -> None:
    history, recorder = planned()
    trial = recorder.start(4)
    recorder.epoch(trial, THIRDS)
    value = mean(THIRDS)
    assert value is not None
    recorder.decide(trial, value, None, stop=False)
    follower: dict[str, Any] = {"replicates": [3, 4, 5], "target": EPOCHS, "follows": True}
    history.apply(Started(trial="4.2", sample=4, epoch=0, node="", **follower))
    recorder.epoch("4.2", THIRDS)
    observations, judgements = stopping.replay_inputs(history, "val_accuracy")
    assert observations == [Observation(4, 1, mean(THIRDS))]
    assert judgements == history.decisions
    history.apply(Extended(space="", asked="--seeds +1", from_start=False))
    assert stopping.replay_inputs(history, "val_accuracy") == (observations, judgements)
    history.apply(Extended(space="", asked="--epochs +1", from_start=True))
    assert stopping.replay_inputs(history, "val_accuracy") == ([], [])
    assert history.decisions == judgements, "what was decided is still to be read"
