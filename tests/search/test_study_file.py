"""``study.db``: it equals the record, whatever happens to the file."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from searching import (
    ASHA,
    COMPLETE,
    bowl,
    events,
    extend,
    new,
    outcomes,
    parse,
    session,
    study_db,
    train,
)

from benchmarks.in_flight import Flight
from tune_app.search import restore_study, study_file


def test_no_test_metric_is_in_the_study_while_it_searches(tmp_path: Path) -> None:
    sweep = new(parse(text=ASHA), tmp_path)
    with session(sweep) as (search, driver):
        Flight(driver, bowl, lanes=2).run()
        assert events(sweep, "finished")[0]["test"] == {"test_loss": [0.87654321]}
        raw = sweep.paths.study.read_bytes()
        assert struct.pack(">d", 0.87654321) not in raw
        for word in (b"0.87654321", b"test_loss"):
            assert word not in raw
        with contextlib.closing(sqlite3.connect(sweep.paths.study)) as database:
            tables = [
                name for (name,) in database.execute("select name from sqlite_master where type='table'")
            ]
            cells = [
                cell for table in tables for row in database.execute(f"select * from {table}") for cell in row
            ]
        assert len(cells) > 500
        assert not [c for c in cells if c == 0.87654321 or (isinstance(c, str) and "0.87654" in c)]
        assert "test_loss" not in str([(t.user_attrs, t.system_attrs) for t in search.trials()])


def test_while_more_is_trained_the_file_shows_it_as_running(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    train(sweep)
    extend(sweep, epochs="+1")
    with session(sweep):
        assert {t.state for t in study_db(sweep)} == {TrialState.RUNNING}
    train(sweep)
    assert {t.state for t in study_db(sweep)} == {COMPLETE}


def test_what_is_noted_in_the_dashboard_stays_as_long_as_it_can(tmp_path: Path) -> None:
    sweep = new(parse(samples=6, text=ASHA), tmp_path)
    train(sweep, reports=11)
    storage = optuna.storages.RDBStorage(f"sqlite:///{sweep.paths.study}")
    storage.set_study_system_attr(1, "dashboard:0:note_str:0", "look at this one")
    storage.engine.dispose()
    inode = sweep.paths.study.stat().st_ino
    trials = train(sweep)
    assert sweep.paths.study.stat().st_ino == inode
    assert outcomes(study_db(sweep)) == outcomes(trials)

    def notes() -> list[str]:
        with contextlib.closing(sqlite3.connect(sweep.paths.study)) as database:
            return [row[0] for row in database.execute("select value_json from study_system_attributes")]

    assert '"look at this one"' in notes()
    extend(sweep, seeds="+1")  # takes back how they ended, which Optuna cannot
    train(sweep)
    assert '"look at this one"' not in notes()


def test_a_value_that_somebody_changed_is_set_right(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    trials = train(sweep)
    for change in (
        "update trial_values set value = 7 where trial_id = 2",
        "update trial_params set param_value = 1 where trial_id = 1",
        "update trial_intermediate_values set intermediate_value = 7",
        "update trials set state = 'FAIL'",
        "update studies set study_name = 'other'",
        "update study_directions set direction = 'MAXIMIZE'",
        "update version_info set schema_version = 1",
        "update alembic_version set version_num = 'v0.9.0.a'",
        "delete from trial_user_attributes",
        "drop table trial_values",
    ):
        with contextlib.closing(sqlite3.connect(sweep.paths.study)) as database, database:
            assert database.execute(change)
        train(sweep)
        assert outcomes(study_db(sweep)) == outcomes(trials), change


def damage(path: Path, how: str) -> None:
    raw = path.read_bytes()
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(b"not a database at all, but long enough to be taken for one" * 100)
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "holes":
            path.write_bytes(raw[:4096] + bytes(len(raw) - 4096))
        case "journal":  # as a crash in mid-write leaves it: pages that would be put back
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("pragma cache_size = 1")
                database.execute("begin immediate")
                database.execute("update trial_user_attributes set value_json = hex(zeroblob(3000))")
                left = path.with_name("study.db-journal").read_bytes()
                database.execute("rollback")
            path.with_name("study.db-journal").write_bytes(left)
        case "another":
            with contextlib.closing(sqlite3.connect(path)) as database, database:
                database.execute("delete from trials where trial_id > 2")


DAMAGE = ["missing", "empty", "garbage", "cut", "holes", "journal", "another"]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_missing_or_damaged_file_is_made_again(tmp_path: Path, how: str) -> None:
    sweep = new(parse(text=ASHA), tmp_path)
    train(sweep, reports=20)
    damage(sweep.paths.study, how)
    trials = train(sweep)
    assert outcomes(study_db(sweep)) == outcomes(trials)
    straight = new(parse(text=ASHA), tmp_path)
    assert [t[1:5] for t in outcomes(trials)] == [t[1:5] for t in outcomes(train(straight))]


@pytest.mark.parametrize("how", ["missing", "garbage", "cut", "another"])
def test_a_file_that_is_damaged_while_the_sweep_trains_is_made_again(tmp_path: Path, how: str) -> None:
    sweep = new(parse(samples=8), tmp_path)
    with session(sweep) as (_, driver):
        Flight(driver, bowl).run(reports=6)
        damage(sweep.paths.study, how)
        # the trial that was under way is killed with it
    trials = train(sweep)
    assert outcomes(study_db(sweep)) == outcomes(trials)

    sweep = new(parse(samples=8), tmp_path)

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if next(calls) == 6:
            damage(sweep.paths.study, how)
        return bowl(config, replicate, epoch)

    calls = itertools.count()
    trials = train(sweep, function)
    assert next(calls) == 16
    assert outcomes(study_db(sweep)) == outcomes(trials)


def test_somebody_who_meddles_with_a_running_trial_is_overruled(tmp_path: Path) -> None:
    sweep = new(parse(samples=4), tmp_path)

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if next(calls) == 3:
            study = optuna.load_study(study_name=sweep.name, storage=f"sqlite:///{sweep.paths.study}")
            study.tell(study.trials[-1].number, 1e9)
        return bowl(config, replicate, epoch)

    calls = itertools.count()
    trials = train(sweep, function)
    assert outcomes(study_db(sweep)) == outcomes(trials)


@contextlib.contextmanager
def unwritable(path: Path, how: str) -> Iterator[None]:
    """A ``study.db`` that cannot be written: a folder in its place, or a lock of another process."""
    if how == "folder":
        path.unlink(missing_ok=True)
        path.mkdir()
        yield
        path.rmdir()
        return
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.parametrize("how", ["folder", "lock"])
@pytest.mark.parametrize("since", [0, 3])
def test_a_study_file_that_cannot_be_written_never_ends_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, since: int
) -> None:
    monkeypatch.setattr(study_file, "_LOCK_TIMEOUT_S", 0.1)
    sweep, calls = new(parse(samples=4), tmp_path), itertools.count()
    told: list[str] = []

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if next(calls) == since:
            stack.enter_context(unwritable(sweep.paths.study, how))
        return bowl(config, replicate, epoch)

    with contextlib.ExitStack() as stack:
        with session(sweep) as (search, driver):
            monkeypatch.setattr(search, "_notify", told.append)
            Flight(driver, function).run()
            trials = search.trials()
        assert (driver.ending, driver.fatal, sweep.statuses()) == (None, None, ["finished"] * 4)
        assert len(told) == 1
        assert "study.db" in told[0]
        restore_study(sweep, told.append)
        assert len(told) == 2
    restore_study(sweep, told.append)
    assert len(told) == 2
    assert outcomes(study_db(sweep)) == outcomes(trials)


def test_a_study_that_another_thread_wrote_is_closed_without_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray's calls have a thread of their own."""
    sweep = new(parse(samples=2), tmp_path)
    with session(sweep) as (_, driver):
        thread = threading.Thread(target=Flight(driver, bowl).run)
        thread.start()
        thread.join()
    assert sweep.statuses() == ["finished"] * 2
    assert caplog.records == []


def test_an_odd_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "50% {of} a ?query#"
    folder.mkdir()
    sweep = new(parse(samples=2), folder)
    train(sweep)
    assert sweep.paths.study.stat().st_size > 10_000
