"""Files of a run that a crash, a full disk or a hand has damaged: made up for, or refused in words."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.chaos import checks, damage
from benchmarks.chaos.forks import Called
from benchmarks.chaos.inline import Mortal

Make = Callable[[str], Mortal]


def interrupted(runs: Mortal, kind: str, share: float) -> Path:
    """A run that has died at a step of some kind, about so far into its life."""
    steps = [at for at, step in enumerate(runs.steps, 1) if step.startswith(kind)]
    run = runs.begin()
    called = runs.sit(run, steps[int(share * len(steps))])
    assert called.code == -9
    return run


def resume(runs: Mortal, run: Path) -> Called:
    called = runs.sit(run)
    assert called.code == 0, called.output
    return called


def assert_undisturbed(runs: Mortal, run: Path) -> None:
    whole = runs.whole
    found = checks.events(run / "record.jsonl")
    faults = checks.same_tables(run, whole) + checks.same_scores(run, whole) + checks.same_files(run, whole)
    assert faults + checks.finished_once(found) + checks.decisions_follow(run / "record.jsonl") == []


def test_half_a_line_is_left_out_by_readers_and_cut_by_the_next_session(mortal: Make) -> None:
    runs = mortal("asha")
    run = interrupted(runs, "half of append", 0.6)
    torn = (run / "record.jsonl").read_bytes()
    assert not torn.endswith(b"\n")
    looked = runs.call(["show", "run"])
    assert looked.code == 0, looked.output
    assert (run / "record.jsonl").read_bytes() == torn, "who only looks changes nothing"
    resume(runs, run)
    assert_undisturbed(runs, run)


def test_a_record_damaged_before_its_end_is_refused_with_the_place(mortal: Make) -> None:
    runs = mortal("grid")
    run = interrupted(runs, "append", 0.5)
    lines = (run / "record.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3][: len(lines[3]) // 2] + b"\n"
    (run / "record.jsonl").write_bytes(b"".join(lines))
    called = runs.sit(run)
    assert called.code == 2
    assert f"record.jsonl: damaged at byte {sum(map(len, lines[:3]))}" in called.output
    assert (run / "record.jsonl").read_bytes() == b"".join(lines)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(0).randrange(len(content))] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_a_trial_whose_checkpoint_is_damaged_starts_again_and_says_so(
    damage: Callable[[Path], None], mortal: Make
) -> None:
    runs = mortal("grid")
    run = interrupted(runs, "append", 0.6)
    recorded = [e["saved"]["file"] for e in checks.events(run / "record.jsonl") if e["event"] == "checkpoint"]
    path = run / "checkpoints" / recorded[-1]
    damage(path)
    said = " ".join(resume(runs, run).output.split())
    assert f"note: {path.name}, the checkpoint of configuration 2, is missing or damaged" in said
    assert_undisturbed(runs, run)
    epochs = [(e["trial"], e["epoch"]) for e in checks.events(run / "record.jsonl") if e["event"] == "epoch"]
    assert {("2.1", 1), ("2.2", 1)} <= set(epochs)
    assert ("1.2", 1) not in epochs, "what had finished stands"


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def a_journal_of_another_life(path: Path) -> None:
    path.with_name(f"{path.name}-journal").write_bytes(path.read_bytes()[:4096])


def another_study(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE studies (study_id INTEGER, study_name TEXT)")
        database.execute("INSERT INTO studies VALUES (1, 'my')")
    database.close()


@pytest.mark.parametrize("damage", [Path.unlink, truncate, garbage, a_journal_of_another_life, another_study])
def test_a_damaged_study_is_made_again_from_the_record(damage: Callable[[Path], None], mortal: Make) -> None:
    runs = mortal("optuna, asha")
    run = interrupted(runs, "append", 0.6)
    damage(run / "study.db")
    resume(runs, run)
    assert_undisturbed(runs, run)
    found, whole = (checks.events(each / "record.jsonl") for each in (run, runs.whole))
    assert checks.same_decisions(found, whole) == []
    assert trials(run) == trials(runs.whole)


def trials(run: Path) -> list[tuple[object, ...]]:
    """The trials of a study with their states and values."""
    with sqlite3.connect(run / "study.db") as database:
        rows = database.execute(
            "SELECT number, state, value FROM trials LEFT JOIN trial_values USING (trial_id) ORDER BY number"
        ).fetchall()
    database.close()
    return rows


def test_half_a_provenance_or_report_is_no_hindrance(mortal: Make) -> None:
    runs = mortal("grid")
    run = interrupted(runs, "append", 0.5)
    for name in ("provenance.json", "seeds.csv", "record.jsonl"):
        (run / f"{name}.part").write_text('{"half')
    (run / "seeds.csv").write_text("half a ta")
    resume(runs, run)
    assert json.loads((run / "provenance.json").read_text())
    assert checks.same_tables(run, runs.whole) == []


def test_no_damage_gives_another_result_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of the cases of ``python -m benchmarks.chaos damage``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    damage.make(tmp_path)
    found = [*damage.records(tmp_path, 60, 24, seed=1), *damage.files(tmp_path, 10, seed=1)]
    assert [each.fault for each in found if each.fault] == []
    assert len(found) == 60 + 24 + 4 * 10
    # Without checksums there are other results: else the above would mean nothing.
    for run in (tmp_path / "runs").iterdir():
        plain = [{k: v for k, v in e.items() if k != "crc"} for e in checks.events(run / "record.jsonl")]
        plain[0]["version"] = 1
        (run / "record.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in plain))
    assert any(each.fault for each in damage.records(tmp_path, 120, 40, seed=1))
