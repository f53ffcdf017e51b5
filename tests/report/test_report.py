"""A whole report, and the files of its tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from edge_cases import CASES
from facts import lacking
from make_run import FIVE, ONE, PHANTOM, SAMPLES, SHA, XRAYS, make, write_tables, written
from pages import Page, Written, says
from records import constant

from tune_app import report
from tune_app.errors import StorageError
from tune_app.sweep.events import Opened


def test_how_to_do_it_again_comes_from_what_the_run_wrote_down(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    provenance = {
        "started": "2026-11-24T16:03:33+00:00",
        "command": ["tune-app", "run", "my space.yaml"],
        "versions": {"python": "3.11.7", "ray": None, "torch": "2.13.0"},
        "git": {"commit": "abc123", "branch": "main", "dirty": True},
        "os": "Linux-6",
        "hardware": {"cpu": "EPYC", "cores": 2, "gpus": [{"name": "H100"}]},
        "settings": {},
    }
    with frames.sweep.writing() as sweep:
        sweep.note(Opened(provenance=provenance))
    sweep.paths.provenance.write_text('{"command": ["a", "copy", "that", "was", "edited"]}')
    report.write(frames, tmp_path / "report", figures=False)
    text = Page((tmp_path / "report/index.html").read_text(encoding="utf-8")).text
    assert "tune-app run 'my space.yaml'" in text
    assert "edited" not in text
    assert "python 3.11.7, torch 2.13.0" in text
    assert says(text, "abc123", "uncommitted")
    assert says(text, "EPYC", "2 cores", "H100")


def test_a_report_without_figures_is_quick_and_says_nothing_of_them(tmp_path: Path) -> None:
    files = report.write(CASES["finished"](tmp_path), tmp_path / "report", figures=False)
    assert not [path for path in files if path.suffix in (".png", ".svg")]
    assert '<h2 id="figures">' not in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_report(tmp_path: Path) -> None:
    made = Written(CASES["stopped"](tmp_path), tmp_path / "first")
    first = {name: path.read_bytes() for name, path in made.files.items()}
    again = report.write(made.frames, tmp_path / "report")
    assert {str(p.relative_to(tmp_path / "report")): p.read_bytes() for p in again} == first


def test_results_rank_the_finished_and_mark_the_others(tmp_path: Path) -> None:
    outcomes = {
        1: constant(test=[0.8, 0.81, 0.82], val=[0.90, 0.91, 0.92]),
        2: constant(end="diverged", epochs=2),
        3: constant(test=[0.7, 0.71, 0.72], val=[0.95, 0.96, 0.97]),
        4: constant(end="failed", epochs=3),
    }
    texts = written(write_tables(make(tmp_path, SAMPLES, outcomes), tmp_path))
    rows = [line for line in texts["results.md"].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0] == [
        "sample",
        "lr",
        "step_size",
        "status",
        "validation accuracy (last 5 epochs), %",
        "test accuracy, %",
        "ties",
        "n",
    ]
    # every seed has the same lead of 5 points: seeds play no part
    assert cells[2] == ["3", "3e-7", "4", "finished", "96.0 ± 2.5", "71.0 ± 2.5", "a", "3"]
    assert cells[3] == ["1", "3e-6", "4", "finished", "91.0 ± 2.5", "81.0 ± 2.5", "b", "3"]
    assert [row[0] for row in cells[4:]] == ["2", "4", "5"]
    assert [row[3] for row in cells[4:]] == ["diverged in 1 run, at epoch 2", "failed at epoch 3", "planned"]
    assert "not finished: 1 diverged, 1 failed, 1 planned" in texts["results.md"]
    frame = pd.read_csv(tmp_path / "results.csv")
    assert frame["sample"].tolist() == [3, 1, 2, 4, 5]
    assert frame["val_accuracy_mean"].iloc[0] == pytest.approx(0.96)


@pytest.mark.parametrize("end", ["running", "interrupted", "failed"])
def test_a_run_that_has_not_ended_well_has_a_report(tmp_path: Path, end: str) -> None:
    frames = make(tmp_path, SAMPLES, {i: constant(end=end, epochs=4) for i in range(1, 6)})
    texts = written(write_tables(frames, tmp_path))
    assert f"not compared: {end} at epoch 4" in texts["table3.md"]
    assert lacking(texts["table3.md"], ["two"]) == []
    assert f"not finished: 5 {end}" in texts["results.md"]
    assert pd.read_csv(tmp_path / "table3.csv")["mean"].isna().all()


def test_one_trial_with_one_seed_has_no_interval_and_says_why(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, ONE, {1: constant(test=[0.83], epochs=2)}), tmp_path))
    assert "|      1 | finished |                   83.0 |             83.0 |   1 |" in texts["results.md"]
    assert lacking(texts["results.md"], ["two"]) == []
    assert "83.0 |    – |   1 | not compared: 1 run |" in texts["table3.md"]
    assert lacking(texts["table3.md"], ["two"]) == []
    row = pd.read_csv(tmp_path / "table3.csv").iloc[0]
    assert row["mean"] == 0.83
    assert pd.isna(row["ci95"])
    assert pd.isna(row["inside"])


def test_phantom_results_never_stand_beside_the_papers(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, SAMPLES, FIVE, data=PHANTOM), tmp_path))
    for name in ("table1", "table3"):
        assert "Phantom" in texts[f"{name}.md"]
        assert "Phantom" in texts[f"{name}.tex"]
        assert "published" not in texts[f"{name}.md"] + texts[f"{name}.tex"]
        assert pd.read_csv(tmp_path / f"{name}.csv")["published"].isna().all()
    assert not any(figure in texts["table3.md"] for figure in ("80.25", "74.75", "75.25", "inside"))
    assert pd.read_csv(tmp_path / "table3.csv")["inside"].isna().all()


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    frames = make(tmp_path, SAMPLES, FIVE)
    first = written(write_tables(frames, tmp_path / "report"))
    assert written(write_tables(frames, tmp_path / "report")) == first
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(first)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    frames = make(tmp_path, ONE, {})
    (tmp_path / "report").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageError, match=r"results\.md: "):
        write_tables(frames, tmp_path / "report")


def test_the_data_stands_on_every_table(tmp_path: Path) -> None:
    for file in write_tables(make(tmp_path, SAMPLES, FIVE, data=XRAYS), tmp_path):
        text = file.read_text(encoding="utf-8").replace("\\", "")
        if file.suffix == ".csv":
            assert all(line.endswith(f"chest_xray_256,{SHA}") for line in text.splitlines()[1:])
        else:
            assert "chest_xray_256 (1800 train, 200 validation, 400 test; sha256" in text
            assert "34 of 200" in text
