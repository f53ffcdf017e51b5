from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from records import Ended, record, steady

from benchmarks.recorder import Recorder
from tune_app import results
from tune_app.results import Frames, json_views
from tune_app.sweep import Sweep, run_summaries

TWO = "task: pneumonia\nspace: {lr: {grid: [1e-5, 1e-4]}}\nfixed: {step_size: 4}\nepochs: 2\nseeds: 2\n"


def made_of(folder: Path) -> dict[str, Any]:
    return json_views.summary(results.load(Sweep.open(folder)))


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return record(tmp_path / "runs", TWO, {1: Ended(steady(0.9, 0.8))}, name="my-1")


def test_a_summary_says_what_the_record_says(frames: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = frames.sweep.paths.folder.parent
    made = run_summaries.summaries(folder, made_of)
    assert run_summaries.listing(made, folder) == (
        "  my-1   1 of 2 finished, 1 planned   xrays   lr 1e-5: val_accuracy 85.0% (90.0, 80.0)"
    )
    json_views.write_summary(results.load(Sweep.open(frames.sweep.paths.folder)))

    def never(_: Any) -> None:
        raise AssertionError("the record was read")

    monkeypatch.setattr(results, "load", never)
    assert run_summaries.summaries(folder, made_of) == made


def test_a_summary_holds_until_the_record_grows(frames: Frames) -> None:
    folder = frames.sweep.paths.folder
    json_views.write_summary(frames)
    with Sweep.open(folder).writing() as sweep:
        recorder = Recorder.of(sweep)
        recorder.fail(recorder.start(2))
    [row] = run_summaries.summaries(folder.parent, made_of)
    assert row["states"] == {"finished": 1, "failed": 1}


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"version": 0, "record_bytes": 1}', "edited"])
def test_a_damaged_or_edited_summary_is_made_again(frames: Frames, damage: str) -> None:
    json_views.write_summary(frames)
    edited = frames.sweep.paths.summary.read_text().replace('"finished": 1', '"finished": 9')
    frames.sweep.paths.summary.write_text(edited if damage == "edited" else damage)
    assert run_summaries.summaries(frames.sweep.paths.folder.parent, made_of)[0]["states"] == {
        "finished": 1,
        "planned": 1,
    }


def test_a_run_that_is_copied_goes_by_its_own_name(frames: Frames) -> None:
    json_views.write_summary(frames)
    folder = frames.sweep.paths.folder
    shutil.copytree(folder, folder.parent / "copy")
    assert {row["run"] for row in run_summaries.summaries(folder.parent, made_of)} == {"my-1", "copy"}
    assert json.loads(frames.sweep.paths.summary.read_text())["run"] == "my-1"


@pytest.mark.parametrize("damage", [b"", b"no JSON\n", b'{"event": "created"}\n', b'{"event": "planned"}\n'])
def test_a_run_that_cannot_be_read_hides_no_other(frames: Frames, damage: bytes) -> None:
    folder = frames.sweep.paths.folder.parent
    for name in ("a", "z"):
        (folder / name).mkdir()
        (folder / name / "record.jsonl").write_bytes(damage)
    found = {each["run"]: each for each in run_summaries.summaries(folder, made_of)}
    assert found["my-1"]["states"] == {"finished": 1, "planned": 1}
    assert all(set(found[name]) == {"run", "folder", "error"} for name in ("a", "z"))
    lines = run_summaries.listing(list(found.values()), folder).splitlines()
    assert lines[0].split()[0] == "my-1"
    assert {line.split()[0] for line in lines[1:]} == {"a", "z"}


def test_nothing_is_told_of_nothing(tmp_path: Path) -> None:
    assert run_summaries.listing(run_summaries.summaries(tmp_path, made_of), tmp_path) == (
        f"no runs in {tmp_path} yet. Start one with: tune-app run grid"
    )
