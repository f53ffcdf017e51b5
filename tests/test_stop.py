from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from tune_app import space as spaces
from tune_app import stop
from tune_app.errors import SpaceError
from tune_app.history import Judgement
from tune_app.stop import Asha, Decision, Never, Stopper

EPOCHS = 30


def parse(text: str) -> spaces.SearchSpace:
    return spaces.parse(
        f"task: pneumonia\nspace: {{lr: {{grid: [1]}}}}\nepochs: {EPOCHS}\n{text}", file="my.yaml"
    )


def asha(grace: int = 1, factor: float = 3, mode: str = "max") -> Stopper:
    return stop.make(
        parse(
            f"stop: {{scheduler: asha, grace_period: {grace}, reduction_factor: {factor}}}\n"
            f"metric: {{name: val_accuracy, mode: {mode}}}"
        )
    )


@dataclass
class RayTrial:
    """As much of Tune's trial as its scheduler looks at."""

    trial_id: str


# Which of eight trials reports next, and what: of few values, so that ties occur.
ARRIVALS = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(-1e3, 1e3)), max_size=150
)


@given(
    ARRIVALS,
    st.integers(1, 4),
    # A factor whose milestones lie an epoch or more apart: where they do not, Tune fills a lower rung with
    # what a trial reports epochs later, which is not what the rung is for.
    st.sampled_from([1.5, 2, 2.5, 3, 3.7, 4, 10]),
    st.sampled_from(["max", "min"]),
)
def test_decisions_are_those_of_ray_tunes_asha(
    arrivals: list[tuple[int, float]], grace: int, factor: float, mode: str
) -> None:
    ours = asha(grace, factor, mode)
    rays: Any = AsyncHyperBandScheduler(
        time_attr="epoch",
        metric="value",
        mode=mode,
        max_t=EPOCHS,
        grace_period=grace,
        reduction_factor=factor,
    )
    trials = [RayTrial(str(sample)) for sample in range(8)]
    for trial in trials:
        rays.on_trial_add(None, trial)
    epochs = [0] * 8
    for sample, value in arrivals:
        if epochs[sample] >= EPOCHS - 1:
            continue  # stopped, or at its end, where the engine asks no more
        epochs[sample] += 1
        result = {"epoch": epochs[sample], "value": value}
        expected = rays.on_trial_result(None, trials[sample], result) == TrialScheduler.STOP
        decision = ours.judge(sample, epochs[sample], value)
        assert bool(decision and decision.stop) == expected
        if expected:
            epochs[sample] = EPOCHS


@given(ARRIVALS, st.integers(0, 150), st.sampled_from(["max", "min"]))
def test_a_resumed_stopper_decides_as_one_that_never_stopped(
    arrivals: list[tuple[int, float]], cut: int, mode: str
) -> None:
    whole, first, second = asha(mode=mode), asha(mode=mode), asha(mode=mode)
    judgements: list[Judgement] = []
    epochs = [0] * 8
    for index, (sample, value) in enumerate(arrivals):
        if index == cut:
            second.replay(judgements)
        epochs[sample] += 1
        expected = whole.judge(sample, epochs[sample], value)
        decision = (first if index < cut else second).judge(sample, epochs[sample], value)
        assert decision == expected
        if decision:
            line = json.dumps([decision.rung, decision.value, decision.threshold, decision.stop])
            judgements.append(Judgement("t", sample, epochs[sample], *json.loads(line)))


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_in_whatever_order_they_arrive_the_best_so_far_goes_on(
    values: list[float], rng: random.Random
) -> None:
    stopper = asha()
    order = list(enumerate(values))
    rng.shuffle(order)
    for index, (sample, value) in enumerate(order):
        decision = stopper.judge(sample, 1, value)
        assert decision
        before = [v for _, v in order[:index]]
        assert (decision.threshold is None) == (not before)
        if value >= max(before, default=value):
            assert not decision.stop
        if before and value < min(before):
            assert decision.stop


def test_a_hand_counted_rung() -> None:
    stopper = asha(grace=3)
    assert stopper.judge(1, 2, 0.9) is None, "before the first rung"
    assert stopper.judge(1, 3, 0.5) == Decision(3, 0.5, None, stop=False)
    assert stopper.judge(2, 3, 0.8) == Decision(3, 0.8, 0.5, stop=False)
    third = stopper.judge(3, 3, 0.6)  # the 2/3 quantile of 0.5 and 0.8
    assert third
    assert third.threshold == pytest.approx(0.7)
    assert third.stop
    assert stopper.judge(2, 4, 0.1) is None, "between rungs"
    assert stopper.judge(2, 9, 0.1) == Decision(9, 0.1, None, stop=False)
    late = stopper.judge(4, 5, 0.65)  # at the first epoch that reaches the rung: 2/3 of 0.5, 0.6, 0.8
    assert late
    assert late.rung == 3
    assert late.threshold == pytest.approx(0.6 + 0.2 / 3)
    assert late.stop


def test_a_configuration_is_judged_once_a_rung() -> None:
    stopper = asha()
    assert stopper.judge(1, 1, 0.5)
    assert stopper.judge(1, 1, 0.4) is None, "a restarted trial comes by again"


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_diverged_trial_stops_and_enters_no_rung(mode: str) -> None:
    stopper = asha(mode=mode)
    assert stopper.judge(1, 1, None) == Decision(1, None, None, stop=True)
    assert stopper.judge(2, 1, 0.5) == Decision(1, 0.5, None, stop=False)
    again = asha(mode=mode)
    again.replay([Judgement("1.1", 1, 1, 1, None, None, True)])
    assert again.judge(2, 1, 0.5) == Decision(1, 0.5, None, stop=False)


def test_the_shipped_space_decides_after_epochs_3_9_and_27() -> None:
    made = stop.make(spaces.load("optuna"))
    assert isinstance(made, Asha)
    assert (made.rungs, made.reduction_factor, made.sign) == ([3, 9, 27], 3, 1)


def test_without_early_stopping_nothing_is_decided() -> None:
    made = stop.make(parse(""))
    assert isinstance(made, Never)
    made.replay([])
    assert made.judge(1, 1, None) is made.judge(1, EPOCHS, 0.5) is None


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_a_scheduler_that_is_not_there_is_told_at_its_line(name: str) -> None:
    with pytest.raises(SpaceError, match=f'my.yaml:4: .*"{name}" is not built yet; use asha or none'):
        stop.make(parse(f"stop: {{scheduler: {name}}}"))
