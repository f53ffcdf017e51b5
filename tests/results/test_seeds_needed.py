"""How many seeds show a difference, by the spread of a run that exists."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records import DATA, Ended, record, steady

from tune_app import space as spaces
from tune_app.results import Frames
from tune_app.results.seeds_needed import of_earlier_run, of_next_look
from tune_app.stats.looks import unplanned_share
from tune_app.stats.paired_tests import sample_size

TEXT = "task: pneumonia\nspace: {lr: {grid: [1e-6, 2e-6]}}\nepochs: 2\nseeds: 4\n"


def run(folder: Path, sd: float = 0.01) -> Frames:
    """Two configurations whose difference has this standard deviation."""
    noise = sd * np.array([1, -1, 1, -1]) / np.std([1, -1, 1, -1], ddof=1)
    return record(folder, TEXT, {1: Ended(steady(*(0.8 + noise))), 2: Ended(steady(*[0.8] * 4))})


def numbers(said: str | None) -> list[int]:
    assert said is not None
    return [int(text) for text in re.findall(r"about (\d+) show", said)]


def test_the_numbers_are_those_of_the_paired_test(tmp_path: Path) -> None:
    sweep = run(tmp_path).sweep
    said = of_earlier_run(sweep.space, DATA, tmp_path)
    assert numbers(said) == sample_size(np.array([0.01, 0.005]), 0.01).tolist()
    level = 0.05 * unplanned_share(2)
    assert numbers(of_next_look(sweep)) == sample_size(np.array([0.01, 0.005]), 0.01, level).tolist()


def test_only_a_run_of_the_same_space_and_data_counts(tmp_path: Path) -> None:
    space = run(tmp_path).sweep.space
    assert of_earlier_run(space, replace(DATA, fingerprint="other"), tmp_path) is None
    assert of_earlier_run(spaces.parse(TEXT, name="other"), DATA, tmp_path) is None
    assert of_earlier_run(space, DATA, tmp_path / "none") is None


@pytest.mark.parametrize("sd", [0.0, 0.17])
def test_without_a_spread_nothing_is_said_and_beyond_a_limit_no_number(tmp_path: Path, sd: float) -> None:
    said = of_earlier_run(run(tmp_path, sd).sweep.space, DATA, tmp_path)
    assert (said is None) == (sd == 0)
    assert said is None or "more than 1,000" in said
