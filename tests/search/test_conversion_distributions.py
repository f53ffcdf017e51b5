"""Parameters as Optuna's distributions, and their values in both directions."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_app.search.conversion import OptunaParameter, SuggestedParameter, logarithmic, optuna_parameters
from tune_app.space import KINDS, Sampler, Value, parse

#: A sampler of each kind, its distribution, and a value that it cannot give.
EACH: list[tuple[Sampler, BaseDistribution, Value]] = [
    (Sampler("choice", ("adam", 1, 2.5)), CategoricalDistribution(("adam", 1, 2.5)), True),
    (Sampler("uniform", (0.0, 1.0)), FloatDistribution(0.0, 1.0), 1.5),
    (Sampler("loguniform", (1e-4, 1.0)), FloatDistribution(1e-4, 1.0, log=True), "1"),
    (Sampler("quniform", (0.0, 0.9, 0.1)), FloatDistribution(0.0, 0.9, step=0.1), 0.25),
    (Sampler("randint", (1, 5)), IntDistribution(1, 4), 5),
    (Sampler("lograndint", (1, 100)), IntDistribution(1, 99, log=True), 100),
    (Sampler("qrandint", (1, 18, 4)), IntDistribution(4, 16, step=4), 18),
    (Sampler("qloguniform", (0.2, 4.0, 0.2)), FloatDistribution(0.2, 4.0, step=0.2), 0.3),
    (Sampler("normal", (1.0, 2.0)), FloatDistribution(-19.0, 21.0), 22.0),
    (Sampler("randn", (1.0, 2.0)), FloatDistribution(-19.0, 21.0), "1"),
    (Sampler("lognormal", (0.0, 0.1)), FloatDistribution(math.exp(-1), math.e, log=True), 0.0),
    (Sampler("choice", ([32], "b"), p=(0.9, 0.1)), CategoricalDistribution((0, 1)), 32),
]


@pytest.mark.parametrize(("sampler", "distribution", "other"), EACH)
def test_a_distribution_has_the_values_of_its_sampler(
    sampler: Sampler, distribution: BaseDistribution, other: Value
) -> None:
    assert OptunaParameter(sampler).distribution == distribution
    for parameter in (OptunaParameter(sampler), SuggestedParameter(sampler)):
        assert not parameter.contains(other)
        rng = np.random.default_rng(1)
        for value in (sampler.draw(rng) for _ in range(50)):
            assert parameter.contains(value)
            back = parameter.from_optuna(parameter.to_optuna(value))
            assert type(back) is type(value)
            assert back == pytest.approx(value) if isinstance(value, float) else back == value
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        for _ in range(50):
            assert parameter.contains(parameter.from_optuna(parameter.suggest(study.ask(), "x")))


@pytest.mark.parametrize("values", [(1, True), (2**60, 2**60 + 1), (0, False, None)])
def test_values_that_optuna_confuses_stay_different(values: tuple[Value, ...]) -> None:
    parameter = OptunaParameter(Sampler("choice", values))
    theirs = [parameter.to_optuna(value) for value in values]
    assert len(set(theirs)) == len(values)
    assert [repr(parameter.from_optuna(each)) for each in theirs] == [repr(value) for value in values]


def test_all_but_grids_are_parameters_of_a_study() -> None:
    space = parse(
        "task: a:b\nspace: {a: {randn: [0, 1]}, b: {grid: [1]}, c: {uniform: [0, 1]}}\n"
        "search: {algorithm: random, samples: 2}"
    )
    assert list(optuna_parameters(space)) == ["a", "c"]
    assert {sampler.kind for sampler, *_ in EACH} == set(KINDS) - {"grid"}
    with pytest.raises(TypeError, match="grid"):
        OptunaParameter(space.space["b"]).distribution  # noqa: B018


@pytest.mark.parametrize(
    ("sampler", "low", "high", "expected"),
    [
        (None, 1, 50, True),
        (None, 1, 49, False),
        (None, 0, 1000, False),
        (Sampler("grid", (1e-7, 1e-3)), 1e-7, 1e-3, True),
        (Sampler("loguniform", (1.0, 2.0)), 1, 2, True),
        (Sampler("uniform", (1.0, 1000.0)), 1, 1000, False),
    ],
)
def test_a_scale_is_logarithmic_by_its_sampler_or_its_range(
    sampler: Sampler | None, low: float, high: float, expected: bool
) -> None:
    assert logarithmic(sampler, low, high) is expected
