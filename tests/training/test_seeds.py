"""A seed for each purpose of each replicate in each epoch."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tune_app.training.seeds import BATCH_ORDER, FUNCTION, INITIALISATION, NOISE, derive_seed, function_seed


def test_no_two_purposes_replicates_or_epochs_share_a_seed() -> None:
    purposes = (INITIALISATION, BATCH_ORDER, NOISE, FUNCTION)
    found = [
        derive_seed(seed, *rest) for seed in (0, 1) for rest in itertools.product(purposes, *[range(4)] * 2)
    ]
    assert len(set(found)) == len(found) == 128
    assert all(0 <= each < 2**63 for each in found)


NUMBERS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 500), st.integers(0, 500))


@given(st.sets(NUMBERS, min_size=2, max_size=20))
def test_every_draw_has_a_seed_of_its_own(numbers: set[tuple[int, int, int, int]]) -> None:
    seeds = {derive_seed(*each) for each in numbers}
    assert len(seeds) == len(numbers)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_never_change() -> None:
    assert derive_seed(0, INITIALISATION, 0) == 2094613214458313471
    assert derive_seed(7, BATCH_ORDER, 2, 5) == 1091630500550289861
    assert derive_seed(7, BATCH_ORDER, 2, 3) == 5168399538067399530


def test_the_seed_of_a_function_fits_every_library() -> None:
    found = {function_seed(0, replicate) for replicate in range(100)}
    assert len(found) == 100
    assert all(0 <= each < 2**31 for each in found)
