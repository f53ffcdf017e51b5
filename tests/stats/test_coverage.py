"""A small part of ``benchmarks.coverage``: its promises, with the error of fewer draws allowed for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import SECTIONS, Line
from benchmarks.simulate import Truth, generator, several_images
from tune_app.stats.per_image import per_image

DRAWS = 400


def slack(end: float) -> float:
    """Four standard errors of a share that is as large as it may be."""
    share = min(max(end, 0.5), 99.5) / 100
    return 400 * math.sqrt(share * (1 - share) / DRAWS)


@cache
def measured(section: Callable[[int], Iterator[Line]]) -> list[Line]:
    return list(section(DRAWS))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_promises_are_kept(section: Callable[[int], Iterator[Line]]) -> None:
    lines = measured(section)
    assert any(line.promised for line in lines)
    for line in lines:
        if line.promised:
            low, high = line.promised
            assert low - slack(low) <= line.measured <= high + slack(high), line


def test_a_bootstrap_over_few_seeds_would_not_keep_them() -> None:
    compared = [line for line in measured(coverage.over_seeds) if "bootstrap of 3" in line.cell]
    assert [60 < line.measured < 85 for line in compared] == [True]


def test_the_truth_is_the_mean_of_what_is_drawn() -> None:
    units, truth = several_images(), Truth(easy=(0.3, 1.5), seed=0.3, bias=0.2)
    drawn = truth.right(generator("truth"), units, 3000, 2)
    assert drawn.mean() == pytest.approx(truth.accuracy(units), abs=0.003)
    plain = Truth(seed=0.3, patient=0.5, image=0.5)
    scores = plain.scores(generator("auc"), units, 300, 1)[:, 0].astype(np.float32)
    found = per_image("test_auc", scores, units.label.astype(np.int64))
    assert found is not None
    assert found.values.mean() == pytest.approx(plain.auc(), abs=0.005)


def test_a_broken_promise_is_seen() -> None:
    assert not Line("", "", 92.9, coverage.COVERS).kept
    assert Line("", "", 93.0, coverage.COVERS).kept
    assert Line("s", "c", 92.94, coverage.COVERS).cells() == ("c", "92.9", "93.0 to 97.0", "NO")
    assert Line("s", "c", 50.0, None).cells() == ("c", "50.0", "", "")
    text = coverage.markdown([Line("s", "c", 95.0, coverage.COVERS)], 1.0)
    assert "## s\n\n| cell | % | promised | kept |\n" in text
    assert "| c | 95.0 | 93.0 to 97.0 | yes |\n" in text
