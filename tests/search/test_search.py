"""``study.db`` is written again from the record, if no process is updating it."""

from __future__ import annotations

from pathlib import Path

import pytest
from searching import new, outcomes, parse, session, study_db, train

from tune_app import space as spaces
from tune_app.search import restore_study


def test_a_study_is_written_again_from_the_record(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    trials = train(sweep, file=False)
    assert not sweep.paths.study.exists()
    restore_study(sweep, pytest.fail)
    assert outcomes(study_db(sweep)) == outcomes(trials)


def test_a_study_that_a_session_updates_is_left_alone(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    with session(sweep, file=False):
        restore_study(sweep, pytest.fail)
    assert not sweep.paths.study.exists()


def test_a_grid_has_no_study(tmp_path: Path) -> None:
    sweep = new(spaces.parse("task: a:b\nspace: {x: {grid: [1]}}"), tmp_path)
    restore_study(sweep, pytest.fail)
    assert not sweep.paths.study.exists()
