"""The samplers draw as Ray Tune's do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune
from scipy import stats

from tune_app import space
from tune_app.space.samplers import read_sampler as make_sampler

CONTINUOUS: list[tuple[str, list[float]]] = [
    ("uniform", [-2, 3]),
    ("loguniform", [1e-7, 1e-3]),
    ("randn", [1.5, 0.5]),
]


DISCRETE: list[tuple[str, list[Any]]] = [
    ("choice", ["a", 1, None, 2.5]),
    ("quniform", [-1, 1, 0.25]),
    ("quniform", [0, 0.6, 0.1]),
    ("qloguniform", [1, 8, 0.5]),
    ("randint", [-3, 5]),
    ("lograndint", [1, 9]),
    ("qrandint", [1, 14, 4]),
    ("qrandint", [-8, 8, 4]),
]


DRAWS = 4000


def draws(kind: str, args: list[Any]) -> tuple[list[Any], list[Any]]:
    """As many draws of ours and of Ray Tune's sampler of the same name, with fixed seeds."""
    ours, rng = make_sampler({kind: args}), np.random.default_rng(1)
    theirs = tune.choice(args) if kind == "choice" else getattr(tune, kind)(*args)
    return [ours.draw(rng) for _ in range(DRAWS)], theirs.sample(
        size=DRAWS, random_state=np.random.default_rng(2)
    )


@pytest.mark.parametrize(("kind", "args"), CONTINUOUS)
def test_continuous_draws_have_ray_tunes_distribution(kind: str, args: list[float]) -> None:
    ours, theirs = draws(kind, args)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    if kind != "randn":
        assert args[0] <= min(ours)
        assert max(ours) <= args[1]


@pytest.mark.parametrize(("kind", "args"), DISCRETE)
def test_discrete_draws_have_ray_tunes_values_and_frequencies(kind: str, args: list[Any]) -> None:
    ours, theirs = (
        Counter(v if kind == "choice" else round(v, 9) for v in side) for side in draws(kind, args)
    )
    assert set(ours) == set(theirs)
    values = list(ours)
    table = [[side[value] for value in values] for side in (ours, theirs)]
    assert stats.chi2_contingency(table).pvalue > 0.01
    assert all(make_sampler({kind: args}).can_be(value) for value in values)


def test_the_bounds_are_ray_tunes() -> None:
    rng = np.random.default_rng(0)

    def support(kind: str, *args: float) -> set[space.Value]:
        return {make_sampler({kind: list(args)}).draw(rng) for _ in range(400)}

    assert support("randint", 1, 4) == support("lograndint", 1, 4) == {1, 2, 3}
    assert support("qrandint", 2, 6, 2) == {2, 4, 6}
    assert support("qrandint", 1, 7, 2) == {2, 4, 6}  # snapped inwards
    assert support("quniform", 0, 0.3, 0.1) == {0.0, 0.1, 0.2, 0.3}  # 0.3, not 0.30000000000000004
    assert support("qloguniform", 1, 3, 1) == {1.0, 2.0, 3.0}


def test_a_grid_is_not_drawn_from() -> None:
    with pytest.raises(TypeError, match="draws nothing"):
        make_sampler({"grid": [1]}).draw(np.random.default_rng(0))


def test_the_other_kinds_are_functions_of_ray_tune() -> None:
    others = {"grid", "normal", "lognormal"}
    assert all(callable(getattr(tune, kind)) for kind in space.KINDS.keys() - others)


SHARES = st.floats(1e-6, 1 - 1e-6)
#: Each distribution that Optuna lacks, and scipy's quantile function of it.
BY_SHARE: dict[str, tuple[dict[str, Any], Any]] = {
    "normal": ({"normal": [1.5, 0.5]}, stats.norm(1.5, 0.5).ppf),
    "randn": ({"randn": [1.5, 0.5]}, stats.norm(1.5, 0.5).ppf),
    "lognormal": ({"lognormal": [-7, 2]}, stats.lognorm(2, scale=np.exp(-7)).ppf),
    "qloguniform": (
        {"qloguniform": [0.5, 8, 0.5]},
        lambda u: 0.5 * np.round(stats.loguniform(0.5, 8).ppf(u) / 0.5),
    ),
    "choice": (
        {"choice": [0, 1, 2], "p": [0.5, 0.125, 0.375]},
        lambda u: stats.rv_discrete(values=([0, 1, 2], [0.5, 0.125, 0.375])).ppf(u),
    ),
}


@pytest.mark.parametrize("kind", BY_SHARE)
@given(u=SHARES)
def test_a_quantile_is_the_one_of_the_definition(kind: str, u: float) -> None:
    raw, quantile = BY_SHARE[kind]
    sampler = make_sampler(raw)
    value = sampler.quantile(u)
    assert sampler.by_share
    assert value == pytest.approx(float(quantile(u)), rel=1e-7, abs=1e-7)
    assert sampler.quantile(sampler.share(value)) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("kind", ["normal", "randn", "lognormal"])
def test_draws_without_bounds_have_the_distribution_of_the_definition(kind: str) -> None:
    sampler, rng = make_sampler(BY_SHARE[kind][0]), np.random.default_rng(1)
    drawn = np.array([sampler.draw(rng) for _ in range(DRAWS)], float)
    scale = stats.norm(1.5, 0.5) if kind != "lognormal" else stats.lognorm(2, scale=np.exp(-7))
    assert stats.kstest(drawn, scale.cdf).pvalue > 0.01


def test_a_choice_has_its_probabilities() -> None:
    sampler, rng = make_sampler({"choice": ["a", [1], None], "p": [0.7, 0.2, 0.1]}), np.random.default_rng(1)
    counts = Counter(space.canonical(sampler.draw(rng)) for _ in range(DRAWS))
    found = [counts[each] for each in ('"a"', "[1]", "null")]
    assert stats.chisquare(found, [DRAWS * each for each in (0.7, 0.2, 0.1)]).pvalue > 0.01
    assert make_sampler(sampler.plain()) == sampler
