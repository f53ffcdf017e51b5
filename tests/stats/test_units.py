"""How metrics are written."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.stats.units import MetricUnits, interval_legend, shares_out_of_range

TEN = (0.84, 0.98, 0.82, 0.88, 0.835, 0.955, 0.94, 0.95, 0.92, 0.865)


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("val_accuracy", (0.93561,), "93.6%"),
        ("val_auc", (0.9, 0.9, 0.9), "90.0% ± 0.0"),
        ("val_accuracy", (0.92, 0.93, 0.94), "93.0% ± 2.5"),  # t(2) = 4.303, sd 0.01: 0.0248
        ("val_accuracy", (0.414, 0.58), "49.7% (41.4, 58.0)"),
        ("val_accuracy", (0.9, 0.99, 1.0), "96.3% (82.7 to 100.0)"),
        ("val_accuracy", (0.0, 0.01, 0.1), "3.7% (0.0 to 17.3)"),
        ("val_accuracy", (1.0, 1.0, 1.0), "100.0% ± 0.0"),
        ("val_loss", (0.212345,), "0.212"),
        ("val_loss", (0.2, 0.3, 0.4), "0.300 ± 0.25"),
        ("val_loss", (0.2, 0.3), "0.250 (0.200, 0.300)"),
        ("val_loss", (1.5e-7,), "1.50e-7"),
        ("val_loss", (-2.0, 0.5, 3.0), "0.500 ± 6.2"),
        ("score", (170.2, 175.0, 165.4), "170 ± 12"),
        ("inaccuracy", (0.5,), "0.500"),
        ("val_accuracy", TEN, "89.9% ± 4.1"),  # 0.8985 on paper; the float next to it lies below
    ],
)
def test_a_mean_with_what_its_spread_allows_to_say(name: str, values: tuple[float, ...], text: str) -> None:
    assert MetricUnits().measure(name, values, unit=True) == text
    assert MetricUnits().measure(name, values) == text.replace("%", "")


def test_digits_and_nothing() -> None:
    assert MetricUnits().measure("val_accuracy", (0.12345,), digits=3) == "12.345"
    assert MetricUnits().measure("val_loss", (0.12345,), digits=3) == "0.12345"
    assert MetricUnits().measure("val_accuracy", ()) == "–"
    assert (
        MetricUnits().number("val_accuracy", None)
        == MetricUnits().number("val_accuracy", float("nan"))
        == "–"
    )


@pytest.mark.parametrize(
    ("name", "values", "plain"),
    [
        ("val_accuracy", [66.7], True),
        ("val_accuracy", [0.5, None, 1.5], True),
        ("val_accuracy", [-0.1], True),
        ("val_accuracy", [0.0, 1.0, None], False),
        ("val_accuracy", [1.0000001], False),  # a mean of float32
        ("accuracy", [66.7], True),
        ("val_top5_accuracy", [99.0], True),
        ("val_error_rate", [12.0], False),
        ("val_loss", [66.7], False),
    ],
)
def test_a_share_outside_of_0_to_1_is_none(name: str, values: list[float | None], plain: bool) -> None:
    assert shares_out_of_range({name: values}) == ({name} if plain else set())
    units = MetricUnits(frozenset(shares_out_of_range({name: values})))
    assert bool(units.note()) is plain
    if plain:
        assert not units.is_share(name)
        assert units.measure(name, (66.7,), unit=True) == "66.7"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_what_is_shown_of_a_share_lies_between_0_and_100(values: list[float]) -> None:
    text = MetricUnits().measure("val_accuracy", values)
    if "±" in text:
        middle, half = map(float, text.split(" ± "))
        assert middle - half >= -0.11
        assert middle + half <= 100.11
    else:
        numbers = [float(part.strip("(),")) for part in text.replace(" to ", " ").split()]
        assert all(0 <= number <= 100 for number in numbers)


def test_the_legend_speaks_of_two_seeds_where_there_are_two() -> None:
    assert "two seeds" not in interval_legend(pd.Series([3, 3, 3, 1]))
    assert "two seeds" in interval_legend(pd.Series([3, 2]))
