"""The arguments of samplers, and their messages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import Case, cases, check_refused, one, parse

from tune_app.errors import SpaceError
from tune_app.space import KINDS
from tune_app.space.reader import read_value
from tune_app.space.scalars import literal

MALFORMED: list[Case] = [
    (
        "unknown sampler",
        one("lr: {loguniforn: [1e-6, 1e-3]}"),
        ["my.yaml:3: space.lr: ", '"loguniforn"', '"loguniform"'],
    ),
    ("far sampler", one("lr: {zzz: [1, 2]}"), ["my.yaml:3", "grid", "choice"]),
    ("bare value", one("lr: 3e-6"), ["my.yaml:3: space.lr: ", "{grid: [3e-06]}", "fixed:"]),
    ("bare list", one("lr: [1, 2]"), ["my.yaml:3: space.lr: ", "{grid: [1, 2]}"]),
    ("nothing", one("lr:"), ["my.yaml:3: space.lr: ", "fixed:"]),
    ("no sampler", one("lr: {}"), ["my.yaml:3: space.lr: "]),
    ("two samplers", one("lr: {grid: [1], choice: [2]}"), ["grid", "choice"]),
    ("no list", one("lr: {grid: 3}"), ["my.yaml:3: space.lr: ", "grid", "list", "not 3"]),
    ("empty grid", one("lr: {grid: []}"), ["my.yaml:3: space.lr: ", "empty", "grid"]),
    ("empty choice", one("lr: {choice: []}"), ["empty", "choice"]),
    ("list twice", one("lr: {grid: [[1, 2.0], [1.0, 2]]}"), ["[1.0, 2]", "grid", "twice"]),
    ("label twice", one("lr: {grid: [{label: a, value: 1}, {label: a, value: 2}]}"), ['"a"', "label"]),
    (
        "two labels",
        "task: a:b\nconfigs: [{a: {label: b, value: 1}}, {a: {label: c, value: 1}}]\n",
        ["my.yaml:2: configs[1].a: ", '"b"', '"c"', "two labels"],
    ),
    ("label of a word", one("lr: {grid: [{label: a, value: [1]}, a]}"), ['"a"', "[1]", "label"]),
    ("label of a number", one("lr: {grid: [{label: 3, value: [1]}]}"), ["3", "not a label"]),
    ("text of a list", one("lr: {grid: [[1, 2], '[1, 2]']}"), ["[1, 2]", '"[1, 2]"', "label"]),
    ("infinite in grid", one("lr: {grid: [.inf]}"), [".inf", "finite"]),
    ("4 and 4.0", one("lr: {grid: [4, 4.0]}"), ["4.0", "grid", "twice"]),
    ("twice", one("lr: {choice: [a, b, a]}"), ['"a"', "choice", "twice"]),
    ("three bounds", one("lr: {uniform: [1, 2, 3]}"), ["uniform", "[min, max]", "[1, 2, 3]", "3"]),
    ("no q", one("lr: {quniform: [1, 2]}"), ["quniform", "[min, max, q]"]),
    ("word as bound", one("lr: {uniform: [a, 2]}"), ['"a"']),
    ("quoted bound", one("lr: {uniform: ['1', 2]}"), ["remove the quotes"]),
    ("true as bound", one("lr: {uniform: [true, 2]}"), ["true"]),
    ("nan as bound", one("lr: {uniform: [.nan, 2]}"), [".nan", "finite"]),
    ("beyond", one("lr: {uniform: [0, 1e200]}"), ["1e+200", "1e100"]),
    ("int beyond", one("lr: {randint: [0, 9007199254740993]}"), ["9007199254740993", "9007199254740992"]),
    ("float for randint", one("lr: {randint: [1.0, 3]}"), ["1.0", "write 1"]),
    ("min above max", one("lr: {uniform: [2, 1]}"), ["min", "2.0", "max", "1.0", "[1.0, 2.0]"]),
    ("min is max", one("lr: {randint: [2, 2]}"), ["min", "2", "max"]),
    ("log of 0", one("lr: {loguniform: [0, 1]}"), ["0.0", "logarithm", "use uniform"]),
    ("log of -1", one("lr: {lograndint: [-1, 5]}"), ["-1", "logarithm", "use randint"]),
    ("q of 0", one("lr: {quniform: [0, 1, 0]}"), ["0.0", "step"]),
    ("q of -2", one("lr: {qrandint: [0, 4, -2]}"), ["-2"]),
    ("q of 1", one("lr: {qrandint: [0, 4, 1]}"), ["{randint: [0, 5]}"]),
    ("q too fine", one("lr: {quniform: [0, 1e50, 1]}"), ["step"]),
    ("q misses", one("lr: {qrandint: [4, 5, 3]}"), ["3"]),
    (
        "not a multiple",
        one("lr: {quniform: [0, 1, 0.3]}"),
        ["1.0", "0.3", "0.9", "1.2"],
    ),
    (
        "p of a range",
        one("lr: {uniform: [0, 1], p: [1]}"),
        ["3: space.lr: ", "choice", "leave p out"],
    ),
    ("p for one", one("lr: {choice: [1, 2], p: [1]}"), ["2 probabilities", "[1]"]),
    ("p of 0", one("lr: {choice: [1, 2], p: [0, 1]}"), ["0.0", "above 0"]),
    ("p of words", one("lr: {choice: [1, 2], p: [a, b]}"), ['"a"', "number"]),
    ("p beyond 1", one("lr: {choice: [1, 2], p: [3, 1]}"), ["sum to 4", "[0.75, 0.25]"]),
    ("too wide", one("lr: {lognormal: [0, 100]}"), ["my.yaml:3: space.lr: ", "too large"]),
    ("no spread", one("lr: {randn: [0, 0]}"), ["0.0"]),
    ("when is a word", one("a: {randint: [1, 3], when: b}"), ["my.yaml:3: space.a: ", "mapping"]),
    ("when nothing", one("a: {randint: [1, 3], when: {b: []}}"), []),
    ("when twice", one("a: {randint: [1, 3], when: {b: [1, 1]}}"), ["1", "list", "twice"]),
    ("when a mapping", one("a: {randint: [1, 3], when: {b: {c: 1}}}"), ['"b"']),
]


@pytest.mark.parametrize(("text", "facts"), cases(MALFORMED))
def test_wrong_arguments_of_a_sampler_are_refused(text: str, facts: list[str]) -> None:
    check_refused(text, facts)


NUMBERS = st.integers(-30, 30) | st.sampled_from([0.05, 0.12, 0.18, 0.5, 1e-6, -0.1, 2.5, 1e100, 2**53])


@given(st.sampled_from([name for name, kind in KINDS.items() if kind.count]), st.lists(NUMBERS, min_size=3))
def test_advice_on_arguments_leads_to_a_sampler_that_is_accepted(kind: str, drawn: list[float]) -> None:
    """Each piece of advice is followed in turn, as a person would, until nothing is refused."""
    args: Any = drawn[: KINDS[kind].count]
    for _ in range(8):
        raw = {kind: args}
        try:
            parse(one(f"lr: {literal(raw)}"))
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
