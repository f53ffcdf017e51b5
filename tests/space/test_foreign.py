"""Samplers and modes in the words of other tools: the message suggests ours, with the same meaning."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from tune_app import space as spaces
from tune_app.errors import SpaceError
from tune_app.space import Sampler, SearchSpace

RANDOM = "search: {algorithm: random, samples: 3}\n"


_SNIPPET = r"(\{(?:[^{}]|\{[^{}]*\})*\}|\[[^\]]*\]|-?[0-9][^ ,]*)"


def parse(parameter: str, more: str = RANDOM) -> SearchSpace:
    return spaces.parse(
        f"task: a:b\nspace:\n  x: {parameter}\n  y: {{uniform: [0, 1]}}\n{more}", file="my.yaml"
    )


def advised(parameter: str, more: str = RANDOM) -> tuple[str, str]:
    """What a message advises to write in place of a parameter, and the message."""
    with pytest.raises(SpaceError) as caught:
        parse(parameter, more)
    message = str(caught.value).splitlines()[0]
    found = re.search(rf"write {_SNIPPET}", message)
    assert found, message
    return found[1], message


def values(sampler: Sampler) -> set[Any]:
    if sampler.kind == "grid":
        return set(sampler.args)
    rng = np.random.default_rng(0)
    return {sampler.draw(rng) for _ in range(1000)}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{qrandint: [1, 20, 1]}", range(1, 21)),
        ("{min: 1, max: 20}", range(1, 21)),
        ("{distribution: int_uniform, min: 1, max: 5}", range(1, 6)),
        ("{int: [1, 20]}", range(1, 21)),
        ("{low: 1, high: 4, log: true}", range(1, 5)),
        ("{values: [1, 2]}", (1, 2)),
        ("{categorical: [1, 2]}", (1, 2)),
        ("tune.choice([1, 2])", (1, 2)),
        ("ray.tune.randint(1, 5)", range(1, 5)),
        ("tune.qrandint(2, 6, 2)", (2, 4, 6)),
        ('"tune.grid_search([a, b])"', ("a", "b")),
        ("{grid_search: [1, 2]}", (1, 2)),
        ("{qlograndint: [2, 8, 2]}", (2, 4, 6, 8)),
        ("{distribution: q_uniform, min: 0, max: 4, q: 2}", (0, 2, 4)),
        ("[1, 2]", (1, 2)),
        ("3", (3,)),
    ],
)
def test_the_advised_sampler_gives_the_same_values(written: str, expected: Any) -> None:
    text, _ = advised(written)
    assert values(parse(text).space["x"]) == set(expected)


@pytest.mark.parametrize(
    ("written", "kind", "ends"),
    [
        ("{min: 0.5, max: 2}", "uniform", (0.5, 2)),
        ("{distribution: log_uniform_values, min: 1e-5, max: 0.1}", "loguniform", (1e-5, 0.1)),
        ("{distribution: log_uniform, min: -5, max: -1}", "loguniform", (math.exp(-5), math.exp(-1))),
        ("{distribution: normal, mu: 2, sigma: 3}", "normal", (2, 3)),
        ("{distribution: log_normal, mu: 2, sigma: 0.5}", "lognormal", (2, 0.5)),
        ("{log_normal: [2, 0.5]}", "lognormal", (2, 0.5)),
        ("tune.loguniform(1e-5, 0.1)", "loguniform", (1e-5, 0.1)),
        ("{log_uniform: [1e-5, 0.1]}", "loguniform", (1e-5, 0.1)),
        ("{float: [0, 1]}", "uniform", (0, 1)),
    ],
)
def test_the_advised_range_is_the_same(written: str, kind: str, ends: tuple[float, float]) -> None:
    sampler = parse(advised(written)[0]).space["x"]
    assert sampler.kind == kind
    assert sampler.args == pytest.approx(ends)


@pytest.mark.parametrize(
    "written",
    [
        "{qrandn: [0, 1, 0.1]}",
        "{values: []}",
        "{min: 2, max: 1}",
        "tune.sample_from(f)",
        "{min: 1, max: 9, step: 2}",
    ],
)
def test_what_has_no_equal_here_gets_no_wrong_advice(written: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse(written)
    message = str(caught.value).splitlines()[0]
    assert "Did you mean" not in message
    assert not re.search(r"write \{(?!grid: \[\"tune)", message)


@pytest.mark.parametrize(
    ("written", "mode"),
    [
        ("{name: val_loss, goal: minimize}", "min"),
        ("{goal: minimize}", "min"),
        ("{name: val_auc, goal: maximize}", "max"),
        ("{name: val_loss, direction: minimize}", "min"),
        ("{name: val_loss, mode: minimize}", "min"),
        ("{name: val_loss, mode: MAX}", "max"),
        ("{name: val_loss, goal: min}", "min"),
        ("[{name: val_loss, objective: Minimize}]", "min"),
    ],
)
def test_the_advised_direction_is_the_one_that_was_meant(written: str, mode: str) -> None:
    with pytest.raises(SpaceError) as caught:
        spaces.parse(f"task: a:b\nmetric: {written}\n", file="my.yaml")
    message = str(caught.value).splitlines()[0]
    assert re.search(rf"write (mode: )?{mode}\b", message)
    assert not re.search(rf"\b{'max' if mode == 'min' else 'min'}\b", message.replace("max, min", ""))


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("method: bayes", "search: {algorithm: "),
        ("parameters: {lr: {values: [1]}}", "space: "),
        ("run_cap: 20", "search: {algorithm: optuna, samples: 20}"),
        ("early_terminate: {type: hyperband}", "stop: {scheduler: "),
        ("goal: minimize", "metric: {name: val_loss, mode: min}"),
        ("max_t: 9", "epochs: 9"),
        ("stop: {scheduler: asha, min_iter: 3}", "grace_period: 3"),
        ("stop: {scheduler: asha, eta: 4}", "reduction_factor: 4"),
    ],
)
def test_other_tools_keys_are_answered_with_ours(written: str, fix: str) -> None:
    with pytest.raises(SpaceError) as caught:
        spaces.parse(f"task: a:b\n{written}\n", file="my.yaml")
    message = str(caught.value).splitlines()[0]
    assert message.startswith("my.yaml:2: ")
    assert f"write {fix}" in message
