"""Which configurations get more seeds, and when that ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import settling as bench
from tune_app.stats.settling import SEEDS, Outcome, SettlingPlan, after_looks, planned

Floats = NDArray[np.float64]


def settle(every: Floats, plan: SettlingPlan, first: int = 5) -> tuple[Outcome, NDArray[np.int64], int]:
    """The end of a settling of ``every`` (K, R) possible value, the numbers of seeds, and how many looks."""
    there, taken, spent = np.full(len(every), first), [first], 0
    while True:
        known = np.where(np.arange(every.shape[1]) < there[:, None], every, np.nan)
        found = after_looks(known, plan, taken, spent)
        if found.why:
            return found, there, len(taken)
        assert found.seeds[~found.members].sum() == 0
        there, spent = there + found.seeds, spent + int(found.seeds.sum())
        assert spent <= plan.budget
        taken.append(int(there.max()))


@given(st.integers(0, 500), st.floats(0, 4), st.integers(2, 6), st.integers(1, 150))
@settings(max_examples=30, deadline=None)
def test_it_ends_within_its_budget_and_its_looks(seed: int, lead: float, count: int, budget: int) -> None:
    every = np.random.default_rng(seed).standard_normal((count, 5 + budget))
    every[0] += lead
    plan = SettlingPlan(planned(count, budget), budget)
    found, there, looks = settle(every, plan)
    assert found.members.any()
    assert looks <= plan.looks
    assert (there - 5).sum() <= budget
    assert found.why == ("one" if found.members.sum() == 1 else "budget")


def test_only_members_get_seeds_and_all_get_the_same_number() -> None:
    every = np.random.default_rng(0).standard_normal((4, 60))
    every += np.array([[8.0], [8.3], [0.0], [0.0]])
    found, there, looks = settle(every, SettlingPlan(11, 100))
    assert there[2:].tolist() == [5, 5]
    assert there[0] == there[1] == 5 + SEEDS * (looks - 1)
    assert found.members[:2].any()


def test_it_ends_once_all_that_are_left_are_within_the_margin() -> None:
    every = 0.3 * np.random.default_rng(1).standard_normal((3, 200))
    every[2] -= 5
    plan = SettlingPlan(planned(3, 300), 300, margin=0.5)
    found, there, _ = settle(every, plan)
    assert (found.why, found.members.tolist()) == ("within", [True, True, False])
    assert there[2] == 5
    assert settle(every, SettlingPlan(plan.looks, plan.budget))[0].why != "within"


def test_the_last_batch_is_as_large_as_the_budget_allows() -> None:
    every = np.random.default_rng(2).standard_normal((2, 30))
    found, there, _ = settle(every, SettlingPlan(3, 14))
    assert (found.why, there.tolist()) == ("budget", [12, 12])


def test_simulated_claims_are_seldom_wrong_and_take_fewer_seeds_than_all_alike() -> None:
    kind = next(each for each in bench.kinds() if "rival" in each.case.name)
    assert kind.share is not None
    found = bench.settled(kind, sweeps=60)
    assert sum(found.ends.values()) == 60
    assert found.wrong <= 3
    assert found.seeds <= kind.share * found.alike


def test_simulated_looks_seldom_find_what_is_not_there() -> None:
    first, anyone, pairs = bench.looked_at(next(bench.equal_cases()), sweeps=60)
    assert first == sorted(first)
    assert anyone == sorted(anyone)
    assert max(*anyone, *pairs) < 15
