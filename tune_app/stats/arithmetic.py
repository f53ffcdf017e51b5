"""The mean of a few values, and how a number is rounded: once, for all that compares or prints one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal

#: Significant digits of a float that are taken as meant: the rest is the error of earlier arithmetic.
_MEANT = 12

#: Numbers from 10 to this power on are written with an exponent, as are those below 0.001.
_LARGE = 6


def mean(values: Iterable[float]) -> float:
    """The exact mean, rounded once: that of equal values is that value. Raises ValueError for no value."""
    found = [float(value) for value in values]
    if not found:
        raise ValueError("a mean takes at least one value")
    if not all(map(math.isfinite, found)):
        return sum(found) / len(found)
    ratios = [value.as_integer_ratio() for value in found]
    common = max(denominator for _, denominator in ratios)  # all are powers of 2
    return sum(above * (common // below) for above, below in ratios) / (common * len(found))


def to_decimals(value: float, decimals: int, shift: int = 0) -> str:
    """``value * 10**shift`` with ``decimals`` decimals; halves are rounded away from zero.

    What counts is the number as it is written, to 12 digits: 0.8485 is 84.9%, though the float that stands
    for it lies below.

    >>> to_decimals(0.8485, 1, shift=2), to_decimals(2.5, 0), to_decimals(-0.00001, 1)
    ('84.9', '3', '0.0')
    """
    if not math.isfinite(value):
        return str(value)
    unit = Decimal(1).scaleb(-decimals)
    # a float has up to 309 digits before the point
    rounded = _written(value).scaleb(shift).quantize(unit, context=Context(400 + decimals, ROUND_HALF_UP))
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def to_digits(value: float, digits: int, zeros: bool = False) -> str:
    """``value`` with ``digits`` significant digits, halves away from zero; ``zeros`` keeps zeros at the end.

    >>> to_digits(0.21245, 4), to_digits(0.2, 3, zeros=True), to_digits(0.0003, 4)
    ('0.2125', '0.200', '3e-4')
    """
    if not math.isfinite(value):
        return str(value)
    rounded = Context(digits, ROUND_HALF_UP).create_decimal(_written(value, digits))
    exponent = rounded.adjusted() if rounded else 0
    if -4 < exponent < (max(digits, _LARGE) if zeros else digits):
        return to_decimals(value, max(0, digits - 1 - exponent)) if zeros else f"{rounded.normalize():f}"
    number = rounded.scaleb(-exponent)
    return f"{to_decimals(float(number), digits - 1) if zeros else f'{number.normalize():f}'}e{exponent}"


def _written(value: float, digits: int = 0) -> Decimal:
    return Decimal(f"{value:.{max(_MEANT, digits)}g}")
