"""Where more seeds decide something: which configurations get them, and when that ends.

All looks of a settling are planned with its budget; see `stats.looks`. Between two looks, only the
configurations that may still be the best get seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tune_app.stats import equivalence, looks
from tune_app.stats.looks import Look

Floats = NDArray[np.float64]
Members = NDArray[np.bool_]

#: A batch brings each member to this many seeds more than the fewest of them.
SEEDS = 5

#: Error probability of the claim that a settling ends with.
_LEVEL = 0.05


@dataclass(frozen=True)
class SettlingPlan:
    """``looks`` of the whole settling, ``budget`` of replicates; ``margin`` in the unit of the values."""

    looks: int
    budget: int
    margin: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What follows a look: an end, and why; or ``seeds`` (K,) to add to each configuration.

    ``one`` member is left; all left are ``within`` the margin of each other; the ``budget`` is spent.
    """

    members: Members
    why: Literal["one", "within", "budget", ""]
    seeds: NDArray[np.int64]


def planned(members: int, budget: int) -> int:
    """The number of looks that a budget is planned for: one before it, and one after each batch for all."""
    return 1 + max(1, budget // (SEEDS * members))


def after_looks(
    values: Floats, plan: SettlingPlan, taken: Sequence[int], spent: int, step: float = 0.0
) -> Outcome:
    """What settling does after its last look: it adds seeds, or it ends.

    Args:
        values: (K, R), where larger is better, replicates in one order; NaN where one was not trained.
        plan: of the settling.
        taken: the number of replicates that a member had, for each look so far.
        spent: how many replicates the settling has added.
        step: as in `best_set.over_seeds`.
    """
    series = [Look(n, looks.planned_share(plan.looks)) for n in taken]
    return after_look(values, looks.members(values, series, step), plan, len(taken), spent, step)


def after_look(
    values: Floats, members: Members, plan: SettlingPlan, number: int, spent: int, step: float = 0.0
) -> Outcome:
    """What follows look ``number``, which left ``members``; the rest is as in `after_looks`."""
    share = looks.planned_share(plan.looks)
    seeds = np.zeros(len(values), dtype=np.int64)
    why: Literal["one", "within", "budget", ""] = ""
    if members.sum() < 2:
        why = "one"
    elif plan.margin is not None and _all_within(values[members], plan.margin, share, step):
        why = "within"
    elif number < plan.looks:
        seeds[members] = _batch(np.isfinite(values[members]).sum(axis=1), plan.budget - spent)
    if not why and not seeds.any():
        why = "budget"
    return Outcome(members, why, seeds)


def _all_within(values: Floats, margin: float, share: float, step: float) -> bool:
    shared = values[:, np.isfinite(values).all(axis=0)]
    return bool((equivalence.p_values(shared, margin, step) <= share * _LEVEL).all())


def _batch(there: NDArray[np.int64], left: int) -> NDArray[np.int64]:
    """Seeds for each: all are brought to one number of seeds, as far as the seeds ``left`` do."""
    for target in range(int(there.min()) + SEEDS, int(there.min()), -1):
        seeds = np.maximum(target - there, 0)
        if seeds.sum() <= left:
            return seeds
    return np.zeros_like(there)
