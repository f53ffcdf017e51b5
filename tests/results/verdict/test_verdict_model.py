"""A verdict: letters, intervals, pairs and the seeds that are needed."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from judging import on_test, three

from tune_app.results import verdict
from tune_app.stats.intervals import mean_interval
from tune_app.stats.paired_tests import sample_size


def test_letters_are_those_of_the_pairs(tmp_path: Path) -> None:
    found = on_test(verdict.judge(three(tmp_path)))
    for question in ("seeds", "patients"):
        for one, other in combinations(found.standings, 2):
            answer = getattr(found.pair(one.sample, other.sample), question)
            assert answer.significant != bool(set(one.letters[question]) & set(other.letters[question]))


def test_each_configuration_has_its_intervals(tmp_path: Path) -> None:
    frames = three(tmp_path)
    found = on_test(verdict.judge(frames))
    for standing in found.standings:
        values = frames.replicates(standing.sample, "test_accuracy")
        assert standing.mean == pytest.approx(values.mean())
        assert standing.half_width == mean_interval(values.tolist()).half_width
        assert standing.half_width is not None
        assert standing.both is not None
        assert standing.both > standing.half_width
        assert standing.images is None
        assert standing.n == 5
    assert found.standing(3).config["lr"] == 3e-6
    with pytest.raises(KeyError):
        found.standing(4)
    with pytest.raises(KeyError):
        found.pair(1, 4)


def test_needed_seeds_are_those_of_the_power_function(tmp_path: Path) -> None:
    frames = three(tmp_path)
    pair = on_test(verdict.judge(frames)).pair(1, 2)
    differences = frames.replicates(1, "test_accuracy") - frames.replicates(2, "test_accuracy")
    assert pair.seeds is not None
    assert pair.seeds.needed == sample_size(differences.mean(), differences.std(), 0.05 / 3)
