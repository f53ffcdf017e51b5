"""The rules against hand-counted cases and Ray Tune's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from deciding import (
    ARRIVALS,
    EPOCHS,
    SAMPLES,
    asha,
    made,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from tune_app import space as spaces
from tune_app import stopping
from tune_app.stopping import Stopper, StoppingDecision
from tune_app.stopping.rules import Halving


@dataclass(frozen=True)
class RayTrial:
    """As much of Tune's trial as its schedulers look at."""

    trial_id: str


class RayController:
    """As much of Tune's controller as MedianStoppingRule looks at: no trial waits, so none is paused."""

    def get_live_trials(self) -> list[RayTrial]:
        return []


def agree(ours: Stopper, rays: Any, arrivals: list[tuple[int, float]]) -> None:
    """Both stop the same trials at the same epochs."""
    trials = {sample: RayTrial(str(sample)) for sample in range(1, SAMPLES + 1)}
    epochs = Counter[int]()
    for sample, value in arrivals:
        if epochs[sample] >= EPOCHS - 1:
            continue  # stopped, or at its end, where the engine asks no more
        epochs[sample] += 1
        result = {"epoch": epochs[sample], "value": value}
        expected = rays.on_trial_result(RayController(), trials[sample], result) == TrialScheduler.STOP
        decisions = ours.judge(sample, epochs[sample], value)
        assert any(decision.stop for decision in decisions) == expected
        if expected:
            epochs[sample] = EPOCHS


MODES = st.sampled_from(["max", "min"])


# A factor whose milestones lie an epoch or more apart: where they do not, Tune fills a lower rung with
# what a trial reports epochs later, which is not what the rung is for.
FACTORS = st.sampled_from([1.5, 2, 2.5, 3, 3.7, 4, 10])


def rays_asha(grace: int, factor: float, mode: str, brackets: int = 1) -> Any:
    scheduler = AsyncHyperBandScheduler(
        "epoch", "value", mode, max_t=EPOCHS, grace_period=grace, reduction_factor=factor, brackets=brackets
    )
    for sample in range(1, SAMPLES + 1):
        scheduler.on_trial_add(None, RayTrial(str(sample)))  # type: ignore[arg-type, unused-ignore]
    return scheduler


@given(ARRIVALS, st.integers(1, 4), FACTORS, MODES)
def test_asha_stops_what_rays_stops(
    arrivals: list[tuple[int, float]], grace: int, factor: float, mode: str
) -> None:
    agree(asha(grace, factor, mode), rays_asha(grace, factor, mode), arrivals)


@given(ARRIVALS, st.integers(1, 2), FACTORS, MODES)
def test_hyperband_stops_what_rays_stops_in_the_same_brackets(
    arrivals: list[tuple[int, float]], grace: int, factor: float, mode: str
) -> None:
    ours = made(f"scheduler: hyperband, grace_period: {grace}, reduction_factor: {factor}", mode)
    brackets = len(
        parse(f"scheduler: asha, grace_period: {grace}, reduction_factor: {factor}").stop.rungs(EPOCHS)
    )
    rays = rays_asha(grace, factor, mode, brackets)
    for sample in range(1, SAMPLES + 1):  # Tune draws them from numpy's global generator
        rays._trial_info[str(sample)] = rays._brackets[stopping.bracket_of(0, sample, brackets) - 1]
    agree(ours, rays, arrivals)


@given(ARRIVALS, st.integers(1, 4), st.integers(1, 5), MODES)
def test_median_stops_what_rays_stops(
    arrivals: list[tuple[int, float]], grace: int, needed: int, mode: str
) -> None:
    ours = made(f"scheduler: median, grace_period: {grace}, min_samples_required: {needed}", mode)
    rays = MedianStoppingRule("epoch", "value", mode, grace_period=grace, min_samples_required=needed)
    agree(ours, rays, arrivals)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=12).flatmap(st.permutations))
def test_in_whatever_order_they_arrive_the_best_so_far_goes_on(values: list[float]) -> None:
    stopper = asha()
    for index, value in enumerate(values):
        [decision] = stopper.judge(index, 1, value)
        before = values[:index]
        assert (decision.threshold is None) == (not before)
        if value >= max(before, default=value):
            assert not decision.stop
        if before and value < min(before):
            assert decision.stop


def test_a_hand_counted_rung() -> None:
    stopper = asha(grace=3)
    assert stopper.judge(1, 2, 0.9) == [], "before the first rung"
    assert stopper.judge(1, 3, 0.5) == [StoppingDecision(3, 0.5, None, False, "asha")]
    assert stopper.judge(2, 3, 0.8) == [StoppingDecision(3, 0.8, 0.5, False, "asha")]
    [third] = stopper.judge(3, 3, 0.6)  # the 2/3 quantile of 0.5 and 0.8
    assert third.threshold == pytest.approx(0.7)
    assert third.stop
    assert stopper.judge(2, 4, 0.1) == [], "between rungs"
    assert stopper.judge(2, 9, 0.1) == [StoppingDecision(9, 0.1, None, False, "asha")]
    [late] = stopper.judge(4, 5, 0.65)  # at the first epoch that reaches the rung: 2/3 of 0.5, 0.6, 0.8
    assert late.rung == 3
    assert late.threshold == pytest.approx(0.6 + 0.2 / 3)
    assert late.stop


def test_the_shipped_space_decides_after_epochs_3_9_and_27() -> None:
    shipped = spaces.load("optuna")
    assert type(stopping.make_stopper(shipped).rule) is Halving
    assert shipped.stop.rungs_by_bracket(shipped.epochs) == [[3, 9, 27]]


def test_a_bracket_is_a_rung_shorter_than_the_one_before() -> None:
    wanted = parse("scheduler: hyperband")
    assert wanted.stop.rungs_by_bracket(EPOCHS) == [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27]]
    assert parse("scheduler: hyperband, brackets: 2").stop.rungs_by_bracket(EPOCHS) == [
        [1, 3, 9, 27],
        [3, 9, 27],
    ]
    assert type(stopping.make_stopper(wanted).rule) is Halving


def test_configurations_are_compared_within_their_bracket() -> None:
    stopper = made("scheduler: hyperband, brackets: 2")
    brackets = {1: list[int](), 2: list[int]()}
    for sample in range(1, 40):
        brackets[stopping.bracket_of(0, sample, 2)].append(sample)
    one, other = brackets[1][:2], brackets[2][:2]
    assert stopper.judge(one[0], 1, 0.9) == [StoppingDecision(1, 0.9, None, False, "hyperband", 1)]
    assert stopper.judge(other[0], 1, 0.1) == [], "its bracket starts at epoch 3"
    assert stopper.judge(one[0], 3, 0.9) == [StoppingDecision(3, 0.9, None, False, "hyperband", 1)]
    assert stopper.judge(other[0], 3, 0.1) == [StoppingDecision(3, 0.1, None, False, "hyperband", 2)]
    assert stopper.judge(other[1], 3, 0.05) == [StoppingDecision(3, 0.05, 0.1, True, "hyperband", 2)]
    assert stopper.judge(one[1], 1, 0.8) == [StoppingDecision(1, 0.8, 0.9, True, "hyperband", 1)]


@pytest.mark.parametrize("brackets", [1, 2, 4])
def test_brackets_are_drawn_with_the_weights_of_rays(brackets: int) -> None:
    sizes = np.array([len(each._rungs) for each in rays_asha(1, 3, "max", brackets)._brackets])
    weights = np.exp(sizes - sizes.max()) / np.exp(sizes - sizes.max()).sum()  # as in its on_trial_add
    draws = 20_000
    found = Counter(stopping.bracket_of(7, sample, brackets) for sample in range(1, draws + 1))
    for number, weight in enumerate(weights, start=1):
        error = (weight * (1 - weight) / draws) ** 0.5
        assert found[number] / draws == pytest.approx(weight, abs=4 * error + 1e-12)


def test_a_bracket_hangs_on_the_seed_and_the_sample_alone() -> None:
    drawn = [stopping.bracket_of(0, sample, 4) for sample in range(1, 13)]
    assert drawn == [1, 2, 2, 1, 1, 3, 1, 1, 3, 1, 2, 1], "recorded sweeps lean on these draws"
    assert drawn != [stopping.bracket_of(1, sample, 4) for sample in range(1, 13)]
    places = [stopping.order_key(0, sample) for sample in range(1, 13)]
    assert places != [stopping.order_key(0, sample, " bracket") for sample in range(1, 13)], (
        "the order is another draw"
    )


def test_a_hand_counted_median() -> None:
    stopper = made("scheduler: median, grace_period: 2")
    for sample, values in enumerate([(0.9, 0.4, 0.6), (0.9, 0.2, 0.4), (0.9, 0.6, 0.8)], start=1):
        for epoch, value in enumerate(values, start=1):
            assert stopper.judge(sample, epoch, value) == [], "fewer than three others"
    # from the grace period on the means of the others are 0.4, 0.2 and 0.6 at epoch 2; 0.5, 0.3 and 0.7 at 3
    assert stopper.judge(4, 1, 0.0) == [], "within the grace period"
    assert stopper.judge(4, 2, 0.4) == [], "as good as the median"
    assert stopper.judge(4, 3, 0.1) == [StoppingDecision(3, 0.4, 0.5, True, "median")], "its best counts"
    assert stopper.judge(5, 1, 0.45) == []
    # of four others: 0.2, 0.4, 0.4 and 0.6 at epoch 2; 0.25, 0.3, 0.5 and 0.7 at epoch 3
    assert stopper.judge(5, 2, 0.3) == [], "its best came before the grace period"
    assert stopper.judge(5, 3, 0.3) == [], "and 0.45 is above 0.4"
    assert stopper.judge(6, 1, 0.25) == []
    assert stopper.judge(6, 2, 0.1) == [StoppingDecision(2, 0.25, 0.4, True, "median")], (
        "of 0.2, 0.3, 0.4, 0.4, 0.6"
    )
