"""Folders of runs: whatever in one leads out of it is refused, and what it leads to is left alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from records import record

from tune_app.errors import RunError
from tune_app.sweep import Sweep, run_summaries
from tune_app.sweep.paths import check_contained

TEXT = "task: pneumonia\nspace: {lr: {grid: [0.1]}}\nepochs: 1\nseeds: 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "runs", TEXT, {}, name="x")
    (tmp_path / "thesis.tex").write_text("mine")
    return tmp_path / "runs/x"


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/nowhere")


@pytest.mark.parametrize("make", [link, os.mkfifo])
@pytest.mark.parametrize(
    "name",
    ["results.csv", "results.csv.part", ".lock", "study.db-journal", "logs/1.1.log", "a/b/c", "summary.json"],
)
def test_what_leads_out_of_a_run_is_refused(name: str, make: Callable[[Path], None], folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    assert run_summaries.read(folder) is None
    with pytest.raises(RunError, match=name):
        Sweep.open(folder)


@pytest.mark.parametrize("target", ["thesis.tex", "runs/x/record.jsonl", "runs/x", "gone"])
def test_a_link_is_refused_wherever_it_leads(target: str, folder: Path, tmp_path: Path) -> None:
    (folder / "report").symlink_to(tmp_path / target)
    with pytest.raises(RunError, match=r"report.*link"):
        Sweep.open(folder)


def test_the_record_may_be_no_link(folder: Path, tmp_path: Path) -> None:
    (folder / "record.jsonl").rename(tmp_path / "record.jsonl")
    (folder / "record.jsonl").symlink_to(tmp_path / "record.jsonl")
    with pytest.raises(RunError, match="link"):
        Sweep.open(folder)


def test_a_run_may_itself_be_reached_by_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there").symlink_to(folder)
    with Sweep.open(tmp_path / "there").writing():
        pass


def test_a_file_with_a_second_name_is_read_and_not_written(folder: Path, tmp_path: Path) -> None:
    """A backup may share its files with the run, which must not change them."""
    (folder / "test_scores.bin").hardlink_to(tmp_path / "thesis.tex")
    sweep = Sweep.open(folder)
    with pytest.raises(RunError, match=r"test_scores\.bin.*hard link"), sweep.writing():
        pass
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_folder_that_cannot_be_looked_at_is_refused(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    (folder / "report").mkdir(mode=0o300)
    with pytest.raises(RunError, match="report"):
        check_contained(folder)


def test_what_a_crash_left_in_a_new_folder_may_be_no_link(tmp_path: Path) -> None:
    folder = tmp_path / "runs/new"
    folder.mkdir(parents=True)
    (folder / "record.jsonl.part").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(RunError, match="link"):
        record(folder.parent, TEXT, {}, name="new")
