from __future__ import annotations

import re
from pathlib import Path

from facts import lacking
from make_run import PHANTOM, make, write_tables
from records import constant

from benchmarks.recorder import Recorder
from tune_app import results, space
from tune_app.report.confirmation import confirmed, luck
from tune_app.results import Frames
from tune_app.sweep import Sweep

TWO = "task: pneumonia\nconfigs: [{lr: 1e-5}, {lr: 1e-4}]\nfixed: {step_size: 4}\nepochs: 2\nseeds: 3\n"


def confirming(folder: Path, first: list[float], second: list[float], original: str = "first-1") -> Frames:
    folder.mkdir()
    made = make(folder, TWO, {1: constant(val=[0.9] * 3), 2: constant(val=[0.88] * 3)}, PHANTOM, name="first")
    assert made.sweep.name == "first-1"
    again = space.changed(made.sweep.space, {"first_replicate": 3, "seeds": len(first)}, "again")
    sweep = Sweep.create(again, PHANTOM, folder / "runs", "second", confirms=original)
    with sweep.writing():
        for sample, values in ((1, first), (2, second)):
            Recorder.of(sweep).train(sample, values)
    return results.load(sweep)


def test_a_lead_that_lasts_one_that_does_not_and_one_that_turns(tmp_path: Path) -> None:
    # seed by seed 0.11, 0.10, 0.09, 0.10: sd 0.00816, t(3) 3.182, n 4
    lasting = confirming(tmp_path / "a", [0.91, 0.91, 0.91, 0.91], [0.80, 0.81, 0.82, 0.81])
    assert re.search(r"\bfirst-1\b.* 2\.0 points.*\b4 new seeds\b.* 10\.0 ± 1\.3 points", str(luck(lasting)))
    gone = confirming(tmp_path / "b", [0.90, 0.80, 0.92, 0.82], [0.80, 0.91, 0.82, 0.89])
    assert " 0.5 ±" in str(luck(gone))
    turned = confirming(tmp_path / "c", [0.80, 0.81, 0.82], [0.91, 0.90, 0.92])
    assert re.search(r"second leads.* 10\.0 ± ", str(luck(turned)))


def test_the_table_shows_both(tmp_path: Path) -> None:
    frames = confirming(tmp_path / "a", [0.90, 0.91, 0.92, 0.91], [0.80, 0.81, 0.82, 0.81])
    table = confirmed(frames)
    assert table
    assert [row[0] for row in table.rows] == ["1", "2"]
    assert table.rows[0][-4:] == ["90.0 ± 0.0", "3", "91.0 ± 1.3", "4"]
    assert list(table.frame["chosen_n"]) == [3, 3]
    assert {path.name for path in write_tables(frames, tmp_path / "report")} >= {
        "confirmed.md",
        "confirmed.tex",
    }


def test_what_cannot_be_said_is_not(tmp_path: Path) -> None:
    assert "±" not in str(luck(confirming(tmp_path / "a", [0.9], [0.8])))
    alike = confirming(tmp_path / "c", [0.9, 0.91], [0.89, 0.9])
    assert " 1.0 points" in str(luck(alike))
    lost = confirming(tmp_path / "b", [0.9, 0.8], [0.8, 0.7], original="elsewhere")
    assert lacking(str(luck(lost)), ["elsewhere"]) == []
    table = confirmed(lost)
    assert table
    assert [row[-4] for row in table.rows] == ["–", "–"]


def test_other_runs_have_no_such_table(tmp_path: Path) -> None:
    frames = make(tmp_path, TWO, {1: constant(val=[0.9] * 3)}, PHANTOM, name="first")
    assert confirmed(frames) is None
    assert luck(frames) is None
