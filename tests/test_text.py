"""Durations and states in text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app import text


@pytest.mark.parametrize(
    ("seconds", "taken", "left"),
    [
        (0.04, "0.0 s", "0 s left"),
        (18.04, "18.0 s", "18 s left"),
        (59.97, "1 min 00 s", "60 s left"),
        (125, "2 min 05 s", "2 min left"),
        (3599.9, "1 h 00 min", "1 h 00 min left"),
        (7500, "2 h 05 min", "2 h 05 min left"),
    ],
)
def test_durations(seconds: float, taken: str, left: str) -> None:
    assert (text.duration(seconds), text.time_left(seconds)) == (taken, left)


def test_rates_counts_and_sizes() -> None:
    assert [text.rate(value) for value in (0.0834, 2.0, 9.6)] == [
        "0.083 epochs/s",
        "2 epochs/s",
        "10 epochs/s",
    ]
    assert [text.counted(number, "seed") for number in (0, 1, 1500)] == ["0 seeds", "1 seed", "1,500 seeds"]
    assert [text.size(size) for size in (1500, 50 << 20, 3 << 29)] == ["1 KiB", "50 MiB", "1.5 GiB"]


def test_columns_are_aligned() -> None:
    assert text.aligned([["a", "bb", ""], ["ccc", "d", "e"]]) == "  a     bb\n  ccc   d    e"


@given(st.text(alphabet="ab ,-", max_size=200), st.integers(20, 120))
def test_no_word_is_broken_and_none_is_lost(line: str, width: int) -> None:
    found = text.wrapped(line, width)
    assert found.split() == line.split()
    for each in found.splitlines():
        assert len(each) <= width or len(each.split()) == 1
    assert text.wrapped(line, None) == line


@given(st.lists(st.text() | st.sampled_from(["a/b", "a-b", "a.b", "A-B", "a-b-2", "..", ""]), unique=True))
def test_slugs_are_safe_and_differ_on_any_disk(names: list[str]) -> None:
    found = text.slugs(names)
    assert set(found) == set(names)
    assert len({slug.casefold() for slug in found.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_+=][A-Za-z0-9_.+=-]{0,90}", slug) for slug in found.values())
