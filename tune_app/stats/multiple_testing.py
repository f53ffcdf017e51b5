"""Many comparisons at once: Holm's correction, and letters for what cannot be told apart."""

from __future__ import annotations

import string
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LETTERS = string.ascii_letters


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """p-values (..., M) adjusted along the last axis: a family's false alarms stay below the level.

    Sorted upwards, the i-th of m is multiplied by m - i + 1 and never falls below an earlier one;
    S. Holm, Scand. J. Stat. 6 (1979).
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, axis=-1, kind="stable")
    factors = np.arange(p.shape[-1], 0, -1)
    rising = np.maximum.accumulate(np.take_along_axis(p, order, -1) * factors, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(rising, 1.0), -1)
    return adjusted


def letters(count: int, apart: Iterable[tuple[int, int]]) -> list[str]:
    """The compact letter display: two of ``count`` share a letter exactly if they were not told apart.

    H.-P. Piepho, J. Comput. Graph. Stat. 13 (2004): every pair told apart splits each column of letters that
    holds both (insert), and a column within another is dropped (absorb). Where a and b, and b and c, are tied
    but a and c are not, b has two letters.

    0 is the best of ``count``, and letters go from the best to the worst. Beyond 52 columns a letter has a
    number: ``a1``.
    """
    columns = [frozenset(range(count))] if count else []
    for one, other in apart:
        split: dict[frozenset[int], None] = {}
        for column in columns:
            both = {one, other} <= column
            split |= dict.fromkeys([column - {one}, column - {other}] if both else [column])
        columns = [column for column in split if not any(column < wider for wider in split)]
    columns.sort(key=sorted)
    names = [_LETTERS[i % len(_LETTERS)] + str(i // len(_LETTERS) or "") for i in range(len(columns))]
    return [
        "".join(name for name, column in zip(names, columns, strict=True) if each in column)
        for each in range(count)
    ]
