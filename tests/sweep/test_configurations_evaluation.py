"""The rules of which epoch counts and which configuration is best, held against the plainest way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.space import Metric, SearchSpace, parse
from tune_app.sweep.configurations import (
    LARGEST,
    EpochRow,
    evaluated_epoch,
    improved_value,
    rank_key,
    usable,
    window_mean,
)

VALUES = st.none() | st.sampled_from([0.0, 0.25, 0.5]) | st.floats(-1e3, 1e3)
MODES = st.sampled_from(["max", "min"])


def metric(mode: str) -> Metric:
    return Metric.model_validate({"name": "val_loss", "mode": mode})


def rows(values: Sequence[float | None]) -> list[EpochRow]:
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


def space_of(window: int, mode: str = "max", evaluate: str = "last", epochs: int = 9) -> SearchSpace:
    text = f"task: a:b\nepochs: {epochs}\nmetric: {{name: val_loss, mode: {mode}}}\nevaluate: {evaluate}\n"
    return parse(f"{text}choose: {{window: {window}}}")


@given(MODES, st.sampled_from(["last", "best"]), st.lists(VALUES, max_size=9))
def test_by_a_window_of_one_epoch_the_evaluated_one_chooses(
    mode: str, evaluate: str, values: list[float | None]
) -> None:
    space = space_of(1, mode, evaluate)
    evaluated = evaluated_epoch(rows(values), space.metric, evaluate)
    assert window_mean(rows(values), space, "val_loss") == (evaluated[1]["val_loss"] if evaluated else None)


@given(st.integers(1, 9), st.sampled_from(["last", "best"]), st.floats(-1e3, 1e3), st.integers(1, 9))
def test_a_constant_curve_is_chosen_by_its_value(
    window: int, evaluate: str, value: float, epochs: int
) -> None:
    assert window_mean(rows([value] * epochs), space_of(window, "max", evaluate), "val_loss") == value


@given(st.integers(1, 9), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), st.randoms())
def test_the_order_of_the_epochs_that_choose_does_not_matter(
    window: int, values: list[float], random: Random
) -> None:
    before, chosen = values[:-window], values[-window:]
    expected = window_mean(rows(values), space_of(window), "val_loss")
    assert expected == pytest.approx(sum(chosen) / len(chosen))
    random.shuffle(before)
    random.shuffle(chosen)
    assert window_mean(rows([*before, *chosen]), space_of(window), "val_loss") == expected


@pytest.mark.parametrize(
    ("evaluate", "values", "expected"),
    [
        ("last", [1.0, None, 2.0, 4.0], 3.0),
        ("last", [1.0, 2.0, None, 4.0], None),
        ("last", [1.0, 2.0, 4.0, None], None),
        ("best", [1.0, 2.0, 4.0, None], 3.0),
        ("best", [9.0, 2.0, 4.0, None], 9.0),
        ("best", [None, None], None),
        ("last", [], None),
    ],
)
def test_no_epoch_that_chooses_may_lack_the_metric(
    evaluate: str, values: list[float | None], expected: float | None
) -> None:
    assert window_mean(rows(values), space_of(2, evaluate=evaluate), "val_loss") == expected
