from __future__ import annotations

import string
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.stats.multiple_testing import holm, letters

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_as_its_step_down_procedure(p_values: list[float], level: float) -> None:
    rejected = set[int]()
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - rank) > level:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


@given(p_values, st.floats(0, 1))
def test_holm_keeps_the_order_and_never_lowers(p_values: list[float], other: float) -> None:
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert all(a <= b for a, b in zip(np.array(adjusted)[order], np.array(adjusted)[order][1:], strict=False))
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    assert all(more >= a for more, a in zip(holm([*p_values, other]), adjusted, strict=False))


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=5))
def test_families_are_adjusted_each_by_itself(families: list[list[float]]) -> None:
    assert holm(families).tolist() == [holm(family).tolist() for family in families]


def test_letters_where_being_tied_is_not_transitive() -> None:
    assert letters(3, [(0, 2)]) == ["a", "ab", "b"]
    assert letters(4, [(0, 2), (0, 3), (1, 3)]) == ["a", "ab", "bc", "c"]


def test_letters_at_the_ends() -> None:
    assert letters(0, []) == []
    assert letters(1, []) == ["a"]
    assert letters(3, []) == ["a", "a", "a"]
    assert letters(3, combinations(range(3), 2)) == ["a", "b", "c"]


def test_letters_of_a_cycle() -> None:
    # five in a ring, each tied with its neighbours alone: five columns of two
    apart = [(0, 2), (0, 3), (1, 3), (1, 4), (2, 4)]
    assert letters(5, apart) == ["ab", "ac", "cd", "de", "be"]


def test_more_columns_than_letters() -> None:
    texts = letters(60, combinations(range(60), 2))
    assert texts[:2] == ["a", "b"]
    assert texts[51:54] == ["Z", "a1", "b1"]
    assert len(set(texts)) == 60


@given(
    st.integers(2, 9).flatmap(
        lambda k: st.tuples(st.just(k), st.sets(st.sampled_from(list(combinations(range(k), 2)))))
    )
)
def test_two_share_a_letter_exactly_if_they_were_not_told_apart(
    drawn: tuple[int, set[tuple[int, int]]],
) -> None:
    count, apart = drawn
    texts = letters(count, apart)
    for one, other in combinations(range(count), 2):
        assert bool(set(texts[one]) & set(texts[other])) == ((one, other) not in apart)
    used = sorted(set("".join(texts)))
    assert used == list(string.ascii_letters[: len(used)])
    # each column is there for something that no other column shows
    columns = [{i for i, text in enumerate(texts) if letter in text} for letter in used]
    assert not any(a < b for a in columns for b in columns)


@given(st.permutations(list(combinations(range(5), 2))), st.integers(0, 10))
def test_the_order_of_the_pairs_does_not_count(pairs: list[tuple[int, int]], number: int) -> None:
    apart = pairs[:number]
    assert letters(5, apart) == letters(5, [(b, a) for a, b in reversed(apart)])
