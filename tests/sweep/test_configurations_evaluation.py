"""The rules of which epoch counts and which configuration is best, held against the plainest way."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tune_app.space import Metric
from tune_app.sweep.configurations import LARGEST, EpochRow, evaluated_epoch, improved_value, rank_key, usable

VALUES = st.none() | st.sampled_from([0.0, 0.25, 0.5]) | st.floats(-1e3, 1e3)
MODES = st.sampled_from(["max", "min"])


def metric(mode: str) -> Metric:
    return Metric.model_validate({"name": "val_loss", "mode": mode})


def rows(values: list[float | None]) -> list[EpochRow]:
    return [(epoch, {"val_loss": value, "other": 1.0}, 0.1) for epoch, value in enumerate(values, start=1)]


@given(MODES, st.lists(VALUES, max_size=9))
def test_the_best_epoch_is_the_first_of_the_best(mode: str, values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    found = evaluated_epoch(rows(values), metric(mode), "best")
    if not known:
        assert found is None
    else:
        best = max(known) if mode == "max" else min(known)
        assert found
        assert found[0] == values.index(best) + 1


@given(MODES, st.lists(VALUES, max_size=9))
def test_who_follows_epoch_by_epoch_finds_the_same_as_who_looks_back(
    mode: str, values: list[float | None]
) -> None:
    best, at = None, None
    for epoch, found, _ in rows(values):
        value = improved_value(found, ("val_loss", metric(mode).sign), best)
        if value is not None:
            best, at = value, epoch
    looked = evaluated_epoch(rows(values), metric(mode), "best")
    assert at == (looked[0] if looked else None)


@given(st.lists(VALUES, max_size=9))
def test_the_last_epoch_is_the_last_whatever_it_holds(values: list[float | None]) -> None:
    found = evaluated_epoch(rows(values), metric("max"), "last")
    assert (found[0] if found else 0) == len(values)


@given(MODES, st.permutations([(1, 0.5), (2, 0.5), (3, 0.25), (4, 0.75), (5, 0.25)]))
def test_of_equal_means_the_lowest_number_is_first(mode: str, found: list[tuple[int, float]]) -> None:
    order = sorted(found, key=lambda each: rank_key(metric(mode), each[1], each[0]))
    assert [number for number, _ in order] == ([4, 1, 2, 3, 5] if mode == "max" else [3, 5, 1, 2, 4])


@given(st.floats())
def test_usable_is_what_can_be_averaged(value: float) -> None:
    assert usable(value) == (math.isfinite(value) and -LARGEST <= value <= LARGEST)
    assert not usable(None)
    assert not usable(float("nan"))
