"""Runs and results as values for JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edge_cases import CASES
from facts import lacking
from records import TWO_CURVES, TWO_POINTS, record

from tune_app.errors import RunError
from tune_app.results import Frames, json_views, ranked, verdict
from tune_app.sweep import run_summaries


@pytest.fixture
def finished(tmp_path: Path) -> Frames:
    return CASES["finished"](tmp_path)


def test_a_run_has_its_configurations_as_in_the_results(finished: Frames) -> None:
    found = json_views.run(finished)
    assert json.loads(json.dumps(found)) == found
    assert (found["run"], found["configurations"], found["states"]) == ("run", 6, {"finished": 6})
    assert [row["sample"] for row in found["trials"]] == finished.trials["sample"].tolist()
    assert found["trials"][0]["val_accuracy_mean"] == finished.trials["val_accuracy_mean"].iloc[0]


def test_a_summary_names_the_best_and_is_remembered(finished: Frames) -> None:
    found = json_views.summary(finished)
    best = int(ranked(finished)["sample"].iloc[0])
    assert found["best"]["sample"] == best
    assert found["shown"].startswith("lr ")
    json_views.write_summary(finished)
    folder = finished.sweep.paths.folder.parent
    [listed] = run_summaries.summaries(folder, lambda _: pytest.fail("the record was read"))
    assert listed["best"] == found["best"]


def test_the_best_has_its_configuration(finished: Frames) -> None:
    found = json_views.best(finished)
    config = finished.sweep.history.configurations[found["sample"]].config
    assert found["config"] == dict(config)
    assert found["metric"] == {"name": "val_accuracy", "mode": "max"}
    judged = verdict.judge(finished)
    assert found["best_set"] == list(judged.best_set)
    assert found["sample"] in found["best_set"]
    assert judged.expected is not None
    assert found["expected"] == {"mean": judged.expected.mean, "ci95": judged.expected.half_width}
    assert json.loads(json.dumps(found)) == found


def test_nothing_finished_has_no_best(tmp_path: Path) -> None:
    frames = CASES["nothing"](tmp_path)
    with pytest.raises(RunError, match="no configuration has finished"):
        json_views.best(frames)
    assert json_views.summary(frames)["best"] is None


def test_an_absent_parameter_has_no_key(tmp_path: Path) -> None:
    frames = CASES["conditional"](tmp_path)
    rows = json_views.rows(frames, frames.trials)
    assert {"momentum" in row for row in rows} == {True, False}
    assert json.dumps(rows, allow_nan=False)


def test_a_log_is_that_of_the_newest_trial(finished: Frames) -> None:
    with pytest.raises(RunError, match=r'"1.1" has left no log.*[Nn]or has any'):
        json_views.log(finished.sweep, "1.1")
    finished.sweep.paths.logs.mkdir()
    finished.sweep.paths.log("1.1").write_text("printed\n")
    assert json_views.log(finished.sweep, "1") == json_views.log(finished.sweep, "1.1") == "printed"
    with pytest.raises(RunError, match=r"There are logs of: 1\.1"):
        json_views.log(finished.sweep, "2")


def test_the_best_is_shown_by_what_it_was_chosen_by(tmp_path: Path) -> None:
    frames = record(tmp_path, f"{TWO_POINTS}choose: {{window: 2}}\n", TWO_CURVES)
    found = json_views.best(frames)
    assert (found["sample"], found["choose"]) == (1, {"window": 2})
    assert found["results"]["val_accuracy_choice"] == pytest.approx(0.805)
    assert lacking(json_views.summary(frames)["shown"], ["lr 1e-6", "last 2 epochs", "80.5%"]) == []
