"""Commands that read runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import commands
import numpy as np
import pytest
from commands import POINT, SMALL, Tool, trained
from edge_cases import CASES
from PIL import Image

from tune_app.session import lifecycle
from tune_app.tasks import task_folder

tool = commands.tool


def test_runs_are_listed_and_shown(tool: Tool, tmp_path: Path) -> None:
    assert "runs" in tool("ls")
    shutil.copytree(trained()[0], tmp_path / "runs/first")
    assert re.search(r"first +9 of 9 finished +phantom +lr 3e-5", tool("ls"))
    shown = tool("show", "first")
    assert shown.count("finished   ") >= 9
    assert re.search(r"\d\d\.\d% \(\d\d\.\d, \d\d\.\d\)", shown)
    written = [line for line in tool("report", "first").splitlines() if line.startswith("runs/")]
    assert {"runs/first/results.csv", "runs/first/report/index.html"} <= set(written)
    assert all(Path(path).is_file() for path in written)
    [listed] = json.loads(tool("ls", "--json"))
    assert (listed["run"], listed["states"], listed["live"]) == ("first", {"finished": 9}, False)
    rows = json.loads(tool("show", "first", "--json"))["trials"]
    assert [row["status"] for row in rows] == ["finished"] * 9
    best = json.loads(tool("best", "first", "--json"))
    assert listed["best"] == best["results"] == rows[best["sample"] - 1]
    assert best["config"]["step_size"] in (2, 4, 8)
    assert best["results"]["test_accuracy_ci95"] > 0


def test_a_failed_trials_log_is_shown(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "breaking.py").write_text(
        "def task(config, context):\n"
        "    if config['x'] == 2:\n        raise ValueError('no two')\n"
        "    yield {'val_accuracy': 1}\n"
    )
    (tmp_path / "my.yaml").write_text(
        "task: 'breaking:task'\nspace: {x: {grid: [1, 2]}}\nepochs: 1\nseeds: 1\n"
    )
    out = tool("run", "my.yaml", "--name", "mine", "--address", "inline", code=1)
    assert "1 of 2" in out
    assert "ValueError: no two" in out
    log = tool("logs", "mine", "2")
    assert log.startswith("Traceback")
    assert log.rstrip().endswith("ValueError: no two")
    assert tool("logs", "mine", "2.1") == log
    assert '"2.7"' in tool("logs", "mine", "2.7", code=2)
    (tmp_path / "breaking.py").write_text("def task(config, context):\n    yield {'val_accuracy': 1}\n")
    task_folder._folders.clear()  # as a new process begins
    assert "2 of 2 finished" in tool("retry", "mine", "--address", "inline") + tool("ls")


def test_the_best_model_predicts(tool: Tool, tmp_path: Path) -> None:
    tool("run", "grid", *SMALL, *POINT, "--name", "mine", "--set", "evaluate=best")
    out = tool("best", "mine", "--model", "m.pt")
    assert "m.pt" in out
    Image.fromarray(np.full((40, 30), 9, np.uint8)).save(tmp_path / "film.png")
    [seen] = json.loads(tool("predict", "m.pt", "film.png", "--json"))
    assert seen["name"] == "film.png"
    assert sum(seen["probabilities"].values()) == pytest.approx(1)
    assert seen["model"]["kind"] == "phantom"
    assert seen["model"]["warning"]
    *about, line = tool("predict", "m.pt", "film.png").splitlines()
    assert re.fullmatch(r"film.png   (normal|pneumonia)   \d+\.\d%", line)
    assert [each.partition(":")[0] for each in about[:2]] == ["model", "warning"]
    assert "phantom" in about[0]


def test_one_that_waits_at_a_rung_stops_at_once(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES["waiting"](tmp_path)
    monkeypatch.setattr(lifecycle, "request_stop", lambda *_: None)
    waits, trains = (tool("stop", "run", sample, "--runs-dir", str(tmp_path)) for sample in "24")
    assert "stops at once" in waits
    assert "after its current epoch" in trains
