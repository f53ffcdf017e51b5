"""One mean and one rounding."""

from __future__ import annotations

import math
import statistics
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tune_app.stats.arithmetic import mean, to_decimals, to_digits

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, min_size=1, max_size=12), st.randoms())
def test_the_mean_is_exact_and_knows_no_order(values: list[float], chance: object) -> None:
    shuffled = sorted(values, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert mean(values) == mean(shuffled) == statistics.mean(values)


@given(FINITE, st.integers(1, 50))
def test_the_mean_of_equal_values_is_that_value(value: float, count: int) -> None:
    assert mean([value] * count) == value


def test_a_mean_takes_a_value_and_passes_on_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean([])
    assert mean([1.0, math.inf]) == math.inf
    assert math.isnan(mean([1.0, math.nan]))


@given(st.integers(1, 2000), st.integers(1, 20), st.data())
def test_a_share_of_images_is_rounded_as_on_paper(images: int, seeds: int, data: st.DataObject) -> None:
    right = [data.draw(st.integers(0, images)) for _ in range(seeds)]
    exact = Fraction(100 * sum(right), images * seeds)
    wanted = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    assert to_decimals(mean(each / images for each in right), 1, shift=2) == str(wanted)


@pytest.mark.parametrize(
    ("value", "decimals", "shift", "text"),
    [
        (0.8485, 1, 2, "84.9"),
        (0.84849999, 1, 2, "84.8"),
        (2.5, 0, 0, "3"),
        (-2.5, 0, 0, "-3"),
        (-0.04, 1, 0, "0.0"),
        (1.7e308, 0, 0, "17" + "0" * 307),
        (5e-324, 3, 2, "0.000"),
        (math.inf, 1, 0, "inf"),
    ],
)
def test_fixed(value: float, decimals: int, shift: int, text: str) -> None:
    assert to_decimals(value, decimals, shift) == text


@pytest.mark.parametrize(
    ("value", "digits", "zeros", "text"),
    [
        (0.21245, 4, False, "0.2125"),
        (0.00003, 4, False, "3e-5"),
        (1.5e-7, 3, True, "1.50e-7"),
        (0.37, 3, True, "0.370"),
        (0.0, 3, True, "0.00"),
        (170.2, 3, True, "170"),
        (12345.6, 3, True, "12346"),
        (1.7e308, 3, True, "1.70e308"),
        (1.7976931348623157e308, 3, False, "1.8e308"),
        (99999.6, 4, False, "1e5"),
        (math.nan, 4, False, "nan"),
    ],
)
def test_significant(value: float, digits: int, zeros: bool, text: str) -> None:
    assert to_digits(value, digits, zeros) == text


@given(FINITE, st.integers(1, 17))
@example(1.0032058097450002e16, 11)
def test_significant_digits_are_as_near_as_they_can_be(value: float, digits: int) -> None:
    """Within half of the last digit of the number as it is written, to 12 digits or more."""
    found, written = Decimal(to_digits(value, digits)), Decimal(f"{value:.{max(12, digits)}g}")
    assert abs(found - written) <= abs(written) * Decimal(f"0.5e{1 - digits}")
    assert abs(written - Decimal(value)) <= abs(Decimal(value)) * Decimal("0.5e-11")
