"""The rules against hand-counted cases and Ray Tune's own; and a contract that every stopper keeps."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from tune_app import space as spaces
from tune_app import stopping
from tune_app.stopping import DIVERGED, Asha, Decision, Hyperband, Observation, Patience, Stopper
from tune_app.sweep.events import Decision as Recorded
from tune_app.sweep.events import Diverged, Epoch, Extended, Finished, Planned, Started
from tune_app.sweep.history import History, mean
from tune_app.sweep.numerics import Numerics
from tune_app.sweep.trial_spec import SweepSettings
from tune_app.training.protocol import EpochReport

EPOCHS = 30
SAMPLES = 8


@cache
def parse(text: str, mode: str = "max") -> spaces.SearchSpace:
    return spaces.parse(
        f"task: pneumonia\nspace: {{lr: {{grid: {list(range(SAMPLES))}}}}}\nepochs: {EPOCHS}\n"
        f"metric: {{name: val_accuracy, mode: {mode}}}\nstop: {{{text}}}",
        file="my.yaml",
    )


def made(text: str, mode: str = "max") -> Stopper:
    return stopping.make(parse(text, mode))


def asha(grace: int = 1, factor: float = 3, mode: str = "max") -> Stopper:
    return made(f"scheduler: asha, grace_period: {grace}, reduction_factor: {factor}", mode)


#: Every stopper keeps the contract.
STOPPERS = {
    "asha": "scheduler: asha",
    "asha, halving after 2": "scheduler: asha, grace_period: 2, reduction_factor: 2",
    "hyperband": "scheduler: hyperband, reduction_factor: 2",
    "hyperband of two brackets": "scheduler: hyperband, brackets: 2, grace_period: 2",
    "median": "scheduler: median",
    "median of one": "scheduler: median, grace_period: 3, min_samples_required: 1",
}
EACH = pytest.mark.parametrize("text", STOPPERS.values(), ids=STOPPERS)

#: For each of the stoppers in turn.
OFTEN = settings(max_examples=40)

# Few values, so that ties occur. Which of the trials reports next, and what.
VALUES = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(-1e3, 1e3)
SAMPLE = st.integers(1, SAMPLES)
ARRIVALS = st.lists(st.tuples(SAMPLE, VALUES), max_size=120)
WITH_DIVERGENCE = st.lists(st.tuples(SAMPLE, VALUES | st.just(None)), max_size=120)

Life = list[tuple[Observation, list[Decision]]]


def live(stopper: Stopper, arrivals: Iterable[tuple[int, float | None]]) -> Life:
    """Report after report, as an engine makes them: none of a trial that was stopped or is at its end."""
    life: Life = []
    epochs, stopped = Counter[int](), set[int]()
    for sample, value in arrivals:
        if sample in stopped or epochs[sample] == EPOCHS - 1:
            continue
        epochs[sample] += 1
        decisions = stopper.judge(sample, epochs[sample], value)
        life.append((Observation(sample, epochs[sample], value), decisions))
        if any(decision.stop for decision in decisions):
            stopped.add(sample)
    return life


def recorded(life: Life) -> list[Recorded]:
    """The decisions as a record gives them back."""
    return [
        Recorded(trial="t", sample=seen.sample, epoch=seen.epoch, **vars(decision))
        for seen, decisions in life
        for decision in decisions
    ]


# ---------------------------------------------------------------- the contract


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
            dataclasses.replace(seen, value=turned(seen.value)),
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
            assert decisions == [Decision(seen.epoch, None, None, stop=True, rule=DIVERGED)]
        else:
            assert without.judge(seen.sample, seen.epoch, seen.value) == decisions


@EACH
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_no_threshold_can_be_made_of_counts_as_diverged(text: str, value: float | None) -> None:
    stopper = made(text)
    assert stopper.judge(1, 1, value) == [Decision(1, None, None, stop=True, rule=DIVERGED)]
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
                assert resumed.judge(seen.sample, seen.epoch, seen.value) == (
                    lost
                    if comes_by
                    else [Decision(seen.epoch, None, None, True, DIVERGED)]
                    if seen.value is None
                    else []
                )
    for seen, decisions in after:
        due = lost if owner and seen.sample == owner.sample and owner.sample not in again else []
        lost = [] if due else lost
        assert resumed.judge(seen.sample, seen.epoch, seen.value) == due + decisions


@EACH
@OFTEN
@given(arrivals=ARRIVALS, again=st.lists(st.booleans(), min_size=120, max_size=120))
def test_an_epoch_that_is_trained_again_does_not_count_twice(
    text: str, arrivals: list[tuple[int, float]], again: list[bool]
) -> None:
    stopper = made(text)
    for (seen, decisions), twice in zip(live(made(text), arrivals), again, strict=False):
        assert stopper.judge(seen.sample, seen.epoch, seen.value) == decisions
        if twice:
            assert stopper.judge(seen.sample, 1, -1e3) == stopper.judge(seen.sample, seen.epoch, 1e3) == []


@EACH
def test_after_the_last_epoch_nothing_is_left_to_be_stopped(text: str) -> None:
    stopper = made(text)
    for sample in range(1, 6):
        assert stopper.judge(sample, EPOCHS, -float(sample)) == []


# ---------------------------------------------------------------- held against Ray Tune's own


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
        rays._trial_info[str(sample)] = rays._brackets[stopping.bracket(0, sample, brackets) - 1]
    agree(ours, rays, arrivals)


@given(ARRIVALS, st.integers(1, 4), st.integers(1, 5), MODES)
def test_median_stops_what_rays_stops(
    arrivals: list[tuple[int, float]], grace: int, needed: int, mode: str
) -> None:
    ours = made(f"scheduler: median, grace_period: {grace}, min_samples_required: {needed}", mode)
    rays = MedianStoppingRule("epoch", "value", mode, grace_period=grace, min_samples_required=needed)
    agree(ours, rays, arrivals)


# ---------------------------------------------------------------- asha


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
    assert stopper.judge(1, 3, 0.5) == [Decision(3, 0.5, None, False, "asha")]
    assert stopper.judge(2, 3, 0.8) == [Decision(3, 0.8, 0.5, False, "asha")]
    [third] = stopper.judge(3, 3, 0.6)  # the 2/3 quantile of 0.5 and 0.8
    assert third.threshold == pytest.approx(0.7)
    assert third.stop
    assert stopper.judge(2, 4, 0.1) == [], "between rungs"
    assert stopper.judge(2, 9, 0.1) == [Decision(9, 0.1, None, False, "asha")]
    [late] = stopper.judge(4, 5, 0.65)  # at the first epoch that reaches the rung: 2/3 of 0.5, 0.6, 0.8
    assert late.rung == 3
    assert late.threshold == pytest.approx(0.6 + 0.2 / 3)
    assert late.stop


def test_the_shipped_space_decides_after_epochs_3_9_and_27() -> None:
    shipped = spaces.load("optuna")
    assert [type(rule) for rule in stopping.make(shipped).rules] == [Asha]
    assert shipped.stop.rungs_by_bracket(shipped.epochs) == [[3, 9, 27]]


# ---------------------------------------------------------------- hyperband


def test_a_bracket_is_a_rung_shorter_than_the_one_before() -> None:
    wanted = parse("scheduler: hyperband")
    assert wanted.stop.rungs_by_bracket(EPOCHS) == [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27]]
    assert parse("scheduler: hyperband, brackets: 2").stop.rungs_by_bracket(EPOCHS) == [
        [1, 3, 9, 27],
        [3, 9, 27],
    ]
    assert [type(rule) for rule in stopping.make(wanted).rules] == [Hyperband]


def test_configurations_are_compared_within_their_bracket() -> None:
    stopper = made("scheduler: hyperband, brackets: 2")
    brackets = {1: list[int](), 2: list[int]()}
    for sample in range(1, 40):
        brackets[stopping.bracket(0, sample, 2)].append(sample)
    one, other = brackets[1][:2], brackets[2][:2]
    assert stopper.judge(one[0], 1, 0.9) == [Decision(1, 0.9, None, False, "hyperband", 1)]
    assert stopper.judge(other[0], 1, 0.1) == [], "its bracket starts at epoch 3"
    assert stopper.judge(one[0], 3, 0.9) == [Decision(3, 0.9, None, False, "hyperband", 1)]
    assert stopper.judge(other[0], 3, 0.1) == [Decision(3, 0.1, None, False, "hyperband", 2)]
    assert stopper.judge(other[1], 3, 0.05) == [Decision(3, 0.05, 0.1, True, "hyperband", 2)]
    assert stopper.judge(one[1], 1, 0.8) == [Decision(1, 0.8, 0.9, True, "hyperband", 1)]


@pytest.mark.parametrize("brackets", [1, 2, 4])
def test_brackets_are_drawn_with_the_weights_of_rays(brackets: int) -> None:
    sizes = np.array([len(each._rungs) for each in rays_asha(1, 3, "max", brackets)._brackets])
    weights = np.exp(sizes - sizes.max()) / np.exp(sizes - sizes.max()).sum()  # as in its on_trial_add
    draws = 20_000
    found = Counter(stopping.bracket(7, sample, brackets) for sample in range(1, draws + 1))
    for number, weight in enumerate(weights, start=1):
        error = (weight * (1 - weight) / draws) ** 0.5
        assert found[number] / draws == pytest.approx(weight, abs=4 * error + 1e-12)


def test_a_bracket_hangs_on_the_seed_and_the_sample_alone() -> None:
    drawn = [stopping.bracket(0, sample, 4) for sample in range(1, 13)]
    assert drawn == [1, 2, 2, 1, 1, 3, 1, 1, 3, 1, 2, 1], "recorded sweeps lean on these draws"
    assert drawn != [stopping.bracket(1, sample, 4) for sample in range(1, 13)]
    places = [stopping.lot(0, sample) for sample in range(1, 13)]
    assert places != [stopping.lot(0, sample, " bracket") for sample in range(1, 13)], (
        "the order is another draw"
    )


# ---------------------------------------------------------------- median


def test_a_hand_counted_median() -> None:
    stopper = made("scheduler: median, grace_period: 2")
    for sample, values in enumerate([(0.9, 0.4, 0.6), (0.9, 0.2, 0.4), (0.9, 0.6, 0.8)], start=1):
        for epoch, value in enumerate(values, start=1):
            assert stopper.judge(sample, epoch, value) == [], "fewer than three others"
    # from the grace period on the means of the others are 0.4, 0.2 and 0.6 at epoch 2; 0.5, 0.3 and 0.7 at 3
    assert stopper.judge(4, 1, 0.0) == [], "within the grace period"
    assert stopper.judge(4, 2, 0.4) == [], "as good as the median"
    assert stopper.judge(4, 3, 0.1) == [Decision(3, 0.4, 0.5, True, "median")], "its best counts"
    assert stopper.judge(5, 1, 0.45) == []
    # of four others: 0.2, 0.4, 0.4 and 0.6 at epoch 2; 0.25, 0.3, 0.5 and 0.7 at epoch 3
    assert stopper.judge(5, 2, 0.3) == [], "its best came before the grace period"
    assert stopper.judge(5, 3, 0.3) == [], "and 0.45 is above 0.4"
    assert stopper.judge(6, 1, 0.25) == []
    assert stopper.judge(6, 2, 0.1) == [Decision(2, 0.25, 0.4, True, "median")], "of 0.2, 0.3, 0.4, 0.4, 0.6"


# ---------------------------------------------------------------- patience


@pytest.mark.parametrize(
    ("text", "values", "end"),
    [
        ("patience: 3", [5, 4, 4, 4], 4),
        ("patience: 3", [5, 4, 4, 6, 6, 6, 6], 7),
        ("patience: 1", [5, 5], 2),
        ("patience: 1", [1, 2, 3, 4, 5], None),
        # small steps add up: 1.2 is more than 0.5 above 0.6, which did not count
        ("patience: 2, min_delta: 0.5", [0.0, 0.4, 0.6, 1.0, 1.2, 1.5, 1.6], 7),
        ("patience: 2, min_delta: 0.5", [0.0, 0.5, 0.5], 3),
        # patience runs from the grace period on, and the best before it counts
        ("patience: 2, grace_period: 4", [9, 1, 1, 1, 1, 1], 6),
        ("patience: 2, grace_period: 4", [9, 1, 1, 1, 1, 10, 1, 1], 8),
    ],
)
def test_hand_counted_patience(text: str, values: list[float], end: int | None) -> None:
    for mode, sign in (("max", 1), ("min", -1)):
        patience = Patience.of(SweepSettings.of(parse(f"scheduler: none, {text}", mode), Numerics()))
        assert patience
        ends = [patience.exhausted(epoch, sign * value) for epoch, value in enumerate(values, start=1)]
        assert ends == [epoch == end for epoch in range(1, len(values) + 1)]


# ---------------------------------------------------------------- trials that end by themselves


def test_a_trial_that_ended_by_itself_stands_at_the_later_rungs_with_its_last_value() -> None:
    stopper = asha()
    stopper.judge(1, 1, 0.5)
    stopper.judge(1, 2, 0.75)
    stopper.end(1, 2, 0.75)
    assert stopper.judge(2, 1, 0.6) == [Decision(1, 0.6, 0.5, False, "asha")]
    assert stopper.judge(2, 3, 0.7) == [Decision(3, 0.7, 0.75, True, "asha")]


@EACH
@OFTEN
@given(first=st.lists(VALUES, min_size=1, max_size=4), others=ARRIVALS)
def test_to_end_is_to_repeat_the_last_value(
    text: str, first: list[float], others: list[tuple[int, float]]
) -> None:
    ends, goes_on = made(text), made(text)
    for epoch, value in enumerate(first, start=1):
        assert ends.judge(99, epoch, value) == goes_on.judge(99, epoch, value)
    ends.end(99, len(first), first[-1])
    for epoch in range(len(first) + 1, EPOCHS + 1):
        goes_on.judge(99, epoch, first[-1])
    assert live(ends, others) == live(goes_on, others)


# ---------------------------------------------------------------- of a space, and of a record


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
    assert made(text).compares == compares


def test_without_early_stopping_nothing_is_decided() -> None:
    stopper = made("scheduler: none")
    stopper.replay([Observation(1, 1, 0.5)], [])
    assert stopper.judge(1, 1, None) == stopper.judge(1, 2, 0.5) == []


def test_a_decision_that_comes_late_is_made_of_what_was_known_then() -> None:
    """Epochs were added: what was the end of two trials is now a rung."""
    stopper = asha(grace=9)
    stopper.replay([Observation(1, 9, 0.5), Observation(2, 9, 0.25)], [])
    assert stopper.judge(2, 10, 0.9) == [Decision(9, 0.25, 0.5, True, "asha")]
    assert stopper.judge(1, 10, 0.1) == [Decision(9, 0.5, None, False, "asha")]


PLANNED = Planned(sample=4, fingerprint="f", config={}, twin=None)
STARTED = Started(trial="4.1", sample=4, replicates=[0, 1, 2], epoch=0, target=EPOCHS, node="")
THIRDS = [0.1, 0.2, 0.4]


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
    report = EpochReport(2, {"val_accuracy": values}, [0.1] * 3)
    history = History()
    history.apply(PLANNED)
    history.apply(STARTED)
    more: dict[str, Any] = {"metrics": report.metrics, "durations_s": report.durations_s}
    history.apply(Epoch(trial="4.1", epoch=report.epoch, **more))
    for replicate, since in diverged.items():
        history.apply(Diverged(trial="4.1", replicates=[replicate], epoch=since))
    assert stopping.recorded(history, "val_accuracy") == ([Observation(4, 2, value)], [])
    assert stopping.recorded(history, "val_auc") == ([Observation(4, 2, None)], [])
    # before its last epoch
    history.apply(Finished(trial="4.1", epoch=2, test={}, evaluated=[2] * 3, scores=None))
    assert stopping.recorded(history, "val_accuracy")[0][1:] == [Observation(4, 2, value, end=True)]


def test_replicates_that_follow_take_no_part_and_another_course_begins_anew() -> None:
    history = History()
    more: dict[str, Any] = {"metrics": {"val_accuracy": THIRDS}, "durations_s": [0.1] * 3}
    epoch = Epoch(trial="4.1", epoch=1, **more)
    decision: dict[str, Any] = {"rung": 1, "value": mean(THIRDS), "threshold": None, "stop": False}
    decided = Recorded(trial="4.1", sample=4, epoch=1, **decision)
    follower = replace(STARTED, trial="4.2", replicates=[3, 4, 5], follows=True)
    for event in (PLANNED, STARTED, epoch, decided, follower, replace(epoch, trial="4.2")):
        history.apply(event)
    observations, judgements = stopping.recorded(history, "val_accuracy")
    assert observations == [Observation(4, 1, mean(THIRDS))]
    assert judgements == history.decisions
    history.apply(Extended(space="", asked="--seeds +1", from_start=False))
    assert stopping.recorded(history, "val_accuracy") == (observations, judgements)
    history.apply(Extended(space="", asked="--epochs +1", from_start=True))
    assert stopping.recorded(history, "val_accuracy") == ([], [])
    assert history.decisions == judgements, "what was decided is still to be read"
