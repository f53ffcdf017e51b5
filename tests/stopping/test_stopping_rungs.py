"""Rungs at which configurations wait, against hand-counted cases and in any order of arrivals."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.stopping.rungs import Promotion, PromotionAsha, SynchronousHalving, best_of


def test_the_best_are_ranked_by_their_mean_and_of_equal_ones_the_first_counts() -> None:
    values = {4: [1.0, 3.0], 1: [2.0, 2.0], 2: [9.0, 0.0], 3: None}
    assert best_of(values, 2) == [2, 1]
    assert best_of(values, 9) == [2, 1, 4]
    assert best_of(values, 0) == best_of({3: None}, 1) == []


def test_ties_are_counted_in_paired_standard_errors_of_the_last_one_kept() -> None:
    # 2 is below 1 by 1, 2 and 3: 2 on average, with a standard error of 1 / sqrt(3)
    values = {1: [5.0, 5.0, 5.0], 2: [4.0, 3.0, 2.0], 3: [0.0, 0.0, 0.0]}
    errors = 2 * math.sqrt(3)
    assert best_of(values, 1, ties=errors - 0.01) == [1]
    assert best_of(values, 1, ties=errors + 0.01) == [1, 2]
    # equal differences have no error, and one seed has none to offer
    assert best_of({1: [2.0, 3.0], 2: [1.0, 2.0], 3: [2.0, 3.0]}, 1, ties=9) == [1, 3]
    assert best_of({1: [2.0], 2: [1.9]}, 1, ties=9) == [1]


def test_a_rung_decides_when_all_have_come_to_it() -> None:
    rule = SynchronousHalving(4, [1, 2], factor=2)
    for sample, value in ((1, 0.1), (2, 0.4), (3, 0.3)):
        rule.reach(sample, 1, [value])
    # of four, two train on: 2 is among them whatever 4 brings, 3 is not yet
    assert (rule.kept(1), rule.full(1)) == ([2], False)
    rule.reach(4, 1, [0.2])
    assert (rule.kept(1), rule.full(1)) == ([2, 3], True)
    rule.reach(2, 2, [0.1])
    assert (rule.kept(2), rule.full(2)) == ([], False)
    rule.reach(3, 2, [0.2])
    assert (rule.kept(2), rule.full(2)) == ([3], True)


def test_what_is_certain_passes_a_second_rung_while_the_first_is_not_full() -> None:
    rule = SynchronousHalving(9, [1, 2], factor=2)
    for sample in range(8):
        rule.reach(sample, 1, [float(sample)])
    assert rule.kept(1) == [7, 6, 5, 4]  # of five
    for sample in (7, 6, 5, 4):
        rule.reach(sample, 2, [float(sample)])
    assert rule.kept(2) == [7, 6]  # of three
    assert not rule.full(2)
    rule.reach(8, 1, None)
    assert rule.kept(1) == [7, 6, 5, 4, 3]


def test_diverged_configurations_fill_a_rung_and_never_train_on() -> None:
    rule = SynchronousHalving(3, [1, 2], factor=2)
    rule.reach(1, 1, None)
    rule.reach(2, 1, [0.0])
    assert rule.kept(1) == [2]
    rule.reach(3, 1, None)
    assert (rule.kept(1), rule.full(1)) == ([2], True)
    rule.reach(2, 2, None)
    assert (rule.kept(2), rule.full(2)) == ([], True)


def test_only_those_that_train_on_are_counted_at_the_next_rung() -> None:
    rule = SynchronousHalving(2, [1, 2], factor=2)
    for rung in (1, 2):  # 1 ended by itself, with the same value at each rung
        rule.reach(1, rung, [0.0])
    rule.reach(2, 1, [1.0])
    assert (rule.kept(1), rule.kept(2), rule.full(2)) == ([2], [], False)


@given(
    st.lists(st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=20),
    st.floats(1.1, 10),
    st.sampled_from([0.0, 1.0]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrivals_changes_nothing(
    values: list[float | None], factor: float, ties: float, random: random.Random
) -> None:
    rungs = [1, 2, 3]

    def gone_on(shuffled: bool) -> dict[int, set[int]]:
        rule = SynchronousHalving(len(values), rungs, factor, ties)
        training, found = [(sample, 1) for sample in range(len(values))], {rung: set[int]() for rung in rungs}
        while training:
            sample, rung = training.pop(random.randrange(len(training)) if shuffled else 0)
            value = values[(sample + rung) % len(values)] if rung > 1 else values[sample]
            rule.reach(sample, rung, None if value is None else [value, value / 2])
            for rung in rungs:
                new = set(rule.kept(rung)) - found[rung]
                found[rung] |= new
                training += [(sample, rung + 1) for sample in new if rung < rungs[-1]]
        # nobody goes on early whom the full rung stops
        assert all(rule.full(rung) and found[rung] == set(rule.kept(rung)) for rung in rungs)
        return found

    assert gone_on(False) == gone_on(True)


def test_promotion_keeps_the_best_of_those_that_have_come() -> None:
    rule = PromotionAsha([1, 3], factor=2, delay=False)
    rule.reach(1, 1, [0.1])
    assert rule.kept(1) == []
    rule.reach(2, 1, [0.2])
    assert rule.kept(1) == [2]
    rule.promote(Promotion(2, 1))
    rule.reach(2, 3, [0.9])
    rule.reach(3, 1, [0.3])
    rule.reach(4, 1, None)
    assert rule.kept(1) == [3, 2]
    rule.promote(Promotion(3, 1))
    rule.reach(3, 3, [0.8])
    assert rule.kept(3) == [2]
    # one that was promoted stays so, though it is no longer among the best
    for sample, value in ((5, 0.5), (6, 0.6)):
        rule.reach(sample, 1, [value])
    assert rule.kept(1) == [6, 5, 3, 2]
    assert not rule.full(1)
    rule.closed = True
    assert rule.full(1)


@pytest.mark.parametrize(("delay", "promoted"), [(False, 3), (True, 2)])
def test_the_delay_promotes_no_more_than_one_in_so_many(delay: bool, promoted: int) -> None:
    rule = PromotionAsha([1], factor=2, delay=delay)
    for sample in range(4):  # each is better than those before, so that without delay all of them look best
        rule.reach(sample, 1, [float(sample)])
        for kept in rule.kept(1):
            rule.promote(Promotion(kept, 1))
    assert len(rule.kept(1)) == promoted


@given(st.lists(st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=20), st.floats(1.1, 10))
def test_a_rung_promotes_its_share_of_those_that_can_train_on(
    values: list[float | None], factor: float
) -> None:
    rule = PromotionAsha([1], factor)
    promoted: set[int] = set()
    for came, value in enumerate(values, start=1):
        rule.reach(came, 1, None if value is None else [value])
        assert promoted <= set(rule.kept(1)), "no promotion is taken back"
        promoted = set(rule.kept(1))
        for sample in promoted:
            rule.promote(Promotion(sample, 1))
        usable = sum(each is not None for each in values[:came])
        assert len(promoted) == min(int(came / factor), usable)


def test_a_search_that_ends_finishes_its_best() -> None:
    rule = PromotionAsha([1, 3], factor=4)
    assert rule.last() is None
    for sample in (1, 2):
        rule.reach(sample, 1, [float(sample)])
    assert rule.kept(1) == []
    assert rule.last() == Promotion(2, 1)
    rule.promote(Promotion(2, 1))
    rule.reach(2, 3, [0.0])
    assert rule.last() == Promotion(2, 3)
    # if it fails on its last epochs, the next best takes its place
    rule.promote(Promotion(2, 3))
    assert rule.last() == Promotion(1, 1)
    rule.promote(Promotion(1, 1))
    assert rule.last() is None
