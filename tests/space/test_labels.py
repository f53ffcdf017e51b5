"""What values and configurations are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app import space
from tune_app.space import canonical
from tune_app.space.labels import SHORT, Labels, distinct, text

#: Values that are easily taken for one another.
AWKWARD: list[space.Value] = [
    *(None, "null", "Null", "~", "", " ", "-", "–", "nan", "NaN", "None", "NA", "N/A", "inf"),
    *(True, "true", "True", 1, "1", 1.5, "1.5", 0, False, "false", "a", "a ", "a  b", "a b", "a, b", "a; b"),
    *('"', '"null"', "a\nb", "a\tb", "a?b", "a\\nb", "x" * 40, "x" * 39 + "y", "x" * 21 + "..."),
    *(0.1234, 0.12341, 0.12342, 0.123449, 0.12345, 0.123451, 12345, 12345.04, 12345.3, 12346, 1e300, 5e-324),
]
SCALARS = st.sampled_from(AWKWARD) | st.none() | st.booleans() | st.integers() | st.text(max_size=60)
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.00003, "3e-5"),
        (0.0003, "3e-4"),
        (0.001, "0.001"),
        (0.123456, "0.1235"),
        (0.4, "0.4"),
        (4, "4"),
        (4.0, "4"),
        (12345678, "12345678"),
        (1e6, "1e6"),
        (True, "true"),
        (None, "null"),
        ("bce", "bce"),
        ("größer $x$", "größer $x$"),
        ("null", '"null"'),
        ("", '""'),
        ("1", '"1"'),
        ("a\n\x1b[2J", '"a\\n\\x1b[2J"'),
    ],
)
def test_a_value_by_itself(value: space.Value, expected: str) -> None:
    assert text(value) == expected


@given(st.floats(5e-324, 9.9994e-4) | st.floats(1e6, 1e300))
def test_a_small_or_large_number_has_an_exponent(value: float) -> None:
    assert re.fullmatch(r"[1-9](\.\d{1,3})?e(-?[1-9]\d*)", text(value))
    assert text(-value) == f"-{text(value)}"


@pytest.mark.parametrize("most", [None, SHORT])
def test_values_that_are_easily_confused_read_differently(most: int | None) -> None:
    found = distinct(AWKWARD, most)
    assert len(set(found.values())) == len({canonical(value) for value in AWKWARD})
    assert all(letters.isprintable() for letters in found.values())


@given(st.lists(SCALARS, max_size=30), st.sampled_from([None, 5, SHORT]))
def test_different_values_never_read_alike(values: list[space.Value], most: int | None) -> None:
    found = distinct(values, most)
    assert set(found) == {canonical(value) for value in values}
    assert len(set(found.values())) == len(found)


NAMES = ("lr", "step_size", "x")


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), SCALARS), max_size=12))
def test_different_configurations_are_never_called_the_same(configs: list[dict[str, space.Value]]) -> None:
    labels = Labels(configs, SHORT)
    for between in (", ", "  "):
        called = {canonical(config): labels.point(config, NAMES, between) for config in configs}
        assert len(set(called.values())) == len(called)


def test_only_what_reads_alike_gets_more_digits_or_letters() -> None:
    labels = Labels([{"x": 0.12341}, {"x": 0.5}, {"x": "a" * 40}], SHORT)
    assert labels.point({"x": 0.12341}, ["x"]) == "x 0.1234"
    assert labels.point({"x": "a" * 40}, ["x", "y"]) == f"x {'a' * 21}..."
    labels.add({"x": 0.12342})
    assert [labels.value("x", value) for value in (0.12341, 0.12342, 0.5)] == ["0.12341", "0.12342", "0.5"]
    assert labels.value("x", 7) == "7"
    assert labels.value("y", None) == "null"
