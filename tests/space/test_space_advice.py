"""Whoever follows a message's advice gets a space that is accepted, and that means the same."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app import space as spaces
from tune_app.errors import SpaceError
from tune_app.space import KINDS, Sampler, SearchSpace
from tune_app.space.reader import read_value
from tune_app.space.scalars import literal

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
        ("{distribution: normal, mu: 2, sigma: 3}", "randn", (2, 3)),
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


@pytest.mark.parametrize("written", ["val_loss", "{name: val_loss}"])
def test_a_direction_that_is_not_said_is_not_guessed(written: str) -> None:
    with pytest.raises(SpaceError, match=r"mode: min.* if less of it is better, else mode: max"):
        spaces.parse(f"task: a:b\nmetric: {written}\n")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("epochs: 1\nstop: {scheduler: asha}", ""),
        ("epochs: 3\nstop: {scheduler: asha, grace_period: 7}", "stop.grace_period=2"),
        ("epochs: 3\nstop: {scheduler: none, min_delta: 0.1}", "stop.patience=1"),
        ("stop: asha", "stop={scheduler: asha}"),
        ("search: grid", "search={algorithm: grid}"),
        ("description: 3", 'description="3"'),
        ("stop: {scheduler: ASHA}", "stop.scheduler=asha"),
    ],
)
def test_the_advised_value_of_a_key_is_accepted(text: str, advice: str) -> None:
    whole = f"task: a:b\n{text}\n"
    with pytest.raises(SpaceError) as caught:
        spaces.parse(whole)
    if advice:
        assert advice.partition("=")[2].replace('"', "") in str(caught.value).replace('"', "")
        spaces.parse(whole, [advice])
    else:
        assert "less" not in str(caught.value)


@pytest.mark.parametrize("written", ['"1_000"', '"inf"', '".nan"', '"9e999"', '"true"', '"١"'])
def test_quotes_are_in_the_way_of_finite_numbers_alone(written: str) -> None:
    for text in (f"{{uniform: [0, {written}]}}",):
        with pytest.raises(SpaceError) as caught:
            parse(text)
        assert "quotes" not in str(caught.value)
    with pytest.raises(SpaceError) as caught:
        spaces.parse(f"task: a:b\nepochs: {written}\n")
    assert "quotes" not in str(caught.value)


NUMBERS = st.integers(-30, 30) | st.sampled_from([0.05, 0.12, 0.18, 0.5, 1e-6, -0.1, 2.5, 1e100, 2**53])


@given(st.sampled_from([name for name, kind in KINDS.items() if kind.count]), st.lists(NUMBERS, min_size=3))
def test_advice_on_arguments_leads_to_a_sampler_that_is_accepted(kind: str, drawn: list[float]) -> None:
    """Each piece of advice is followed in turn, as a person would, until nothing is refused."""
    args: Any = drawn[: KINDS[kind].count]
    for _ in range(8):
        raw = {kind: args}
        try:
            parse(literal(raw))
        except SpaceError as error:
            message = str(error).splitlines()[0]
        else:
            return
        if found := re.search(r"write (\{.*\})", message):
            [(kind, args)] = read_value(found[1], "").items()
        elif found := re.search(r"write (\[.*\])", message):
            args = read_value(found[1], "")
        elif found := re.search(r"or use (\w+)", message):
            kind = found[1]
        elif found := re.search(r" ([^ ]+) is not a (whole number|multiple of q).* write ([^ ]+)", message):
            args = [read_value(found[3], "") if arg == read_value(found[1], "") else arg for arg in args]
        elif found := re.search(r"(sd|q) is .*write (.+)$", message):
            args = [*args[:-1], read_value(found[2], "")]
        else:
            return
    pytest.fail(f"advice that never ends: {message}")
