"""The samplers by name, and those of users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from searching import (
    new,
    parse,
    train,
)

from tune_app.errors import SpaceError
from tune_app.search.sampler import make_sampler
from tune_app.session.request import Request

UserModule = Callable[[str], str]


def test_samplers_have_the_options_that_are_documented() -> None:
    tpe = make_sampler(parse())
    assert isinstance(tpe, optuna.samplers.TPESampler)
    named = {
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
        "cmaes": optuna.samplers.CmaEsSampler,
        "random": optuna.samplers.RandomSampler,
        "qmc": optuna.samplers.QMCSampler,
        "nsga2": optuna.samplers.NSGAIISampler,
    }
    assert {name: type(make_sampler(parse(sampler=name))) for name in named} == named


@pytest.mark.parametrize(
    ("source", "reference", "words"),
    [
        ("", "nowhere_at_all:Sampler", ["ModuleNotFoundError"]),
        ("", "MODULE:Sampler", ["AttributeError"]),
        ("def Sampler(seed): raise ValueError('no luck')", "MODULE:Sampler", ["ValueError: no luck"]),
        ("class Sampler: pass", "MODULE:Sampler", ["TypeError"]),
        ("def Sampler(seed): return seed", "MODULE:Sampler", ["makes a int", "optuna BaseSampler"]),
    ],
)
def test_a_sampler_that_cannot_be_had_is_told_before_anything_is_written(
    user_module: UserModule, source: str, reference: str, words: list[str]
) -> None:
    name = user_module(source + "\ndef task(config, context):\n    yield {}\n")
    space = parse(sampler=reference.replace("MODULE", name))
    asked = Request(space.model_copy(update={"task": f"{name}:task"}), address="inline")
    with pytest.raises(SpaceError) as caught:
        asked.load()
    for word in (f"search.sampler: {space.search.sampler}", *words):
        assert word in str(caught.value)
    assert not Path("runs").exists()


def test_a_sampler_that_has_suggested_every_point_repeats_them(tmp_path: Path) -> None:
    sampler = "optuna.samplers:BruteForceSampler"
    sweep = new(parse("x: {choice: [0, 1]}, y: {choice: [1, 10]}", sampler, samples=6), tmp_path)
    train(sweep)
    assert [c.duplicate_of is None for c in sweep.history.configurations.values()] == [True] * 4 + [False] * 2
    assert sweep.statuses() == ["finished"] * 6
