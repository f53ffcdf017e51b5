"""Commands that train."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import threading
from pathlib import Path
from unittest.mock import Mock

import commands
import pandas as pd
import pytest
from commands import INLINE, POINT, SMALL, Tool, begin, reach, trained

import tune_app
from tune_app.report import figure_processes
from tune_app.results import verdict
from tune_app.results.verdict import compute
from tune_app.session import lifecycle
from tune_app.sweep import Sweep

tool, first = commands.tool, commands.first


def test_a_run_from_start_to_report() -> None:
    run, out = trained()
    assert "9 configurations × 2 seeds × 2 epochs" in out
    assert "1800 train, 200 validation, 400 test; sha256" in out
    assert "val_accuracy: lr 3e-5" in out
    assert "runs/grid-1/results.csv" in out
    frame = pd.read_csv(run / "results.csv")
    assert list(frame["status"]) == ["finished"] * 9
    assert {path.suffix for path in (run / "report").glob("table3.*")} == {".md", ".csv", ".tex"}
    for path in run.rglob("*.csv"):
        if path.name != "test_images.csv":
            assert set(pd.read_csv(path)["data"]) == {"phantom"}, path
    frames = tune_app.open(run)
    assert len(frames.trials) == 9
    assert len(frames.seeds) == 18
    assert len(frames.curves) == 36
    assert frames.scores(3).shape == (2, 400)
    tested = verdict.judge(frames).test
    assert tested is not None
    assert (tested.unanswered, tested.images, len(tested.pairs)) == ({}, 400, 36)


def test_without_a_name_a_run_is_new_and_with_one_it_is_resumed(tool: Tool, first: Path) -> None:
    before = [(first / name).read_text() for name in ("seeds.csv", "record.jsonl")]
    tool("run", "grid", *SMALL, "--name", "first")
    after = [(first / name).read_text() for name in ("seeds.csv", "record.jsonl")]
    assert after[0] == before[0]
    assert after[1].startswith(before[1])
    assert after[1].count('"event":"started"') == before[1].count('"event":"started"')
    for _ in range(2):
        tool("run", "grid", *SMALL, *POINT)
    assert sorted(path.name for path in first.parent.iterdir()) == ["first", "grid-1", "grid-2"]


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_a_flag_names_any_scheduler(tool: Tool, tmp_path: Path, scheduler: str) -> None:
    """Early stopping marks what it stopped, which has no test metrics."""
    (tmp_path / "rising.py").write_text(
        "def task(config, context):\n"
        "    for epoch in range(context.epochs):\n"
        "        yield {'val_accuracy': config['x'] * epoch, 'test_accuracy': 0.5}\n"
    )
    (tmp_path / "my.yaml").write_text(
        "task: rising:task\nspace: {x: {grid: [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]}}\n"
        "epochs: 4\nseeds: 2\nmetric: {name: val_accuracy, mode: max}\n"
    )
    tool("run", "my.yaml", *INLINE, "--stop", scheduler)
    frame = pd.read_csv(tmp_path / "runs/my-1/results.csv")
    stopped = frame[frame["status"] == "stopped"]
    assert not stopped.empty
    assert set(stopped["epochs"]) <= {1, 2, 3}
    assert stopped["test_accuracy_mean"].isna().all()
    assert set(frame["status"]) == {"stopped", "finished"}
    assert "stopped" in (tmp_path / "runs/my-1/report/results.md").read_text()


def test_a_run_is_resumed_extended_rerun_and_confirmed(tool: Tool, tmp_path: Path) -> None:
    two = ("--set", "lr={grid: [3e-6, 3e-5]}", "--set", "step_size={grid: [4]}")
    tool("run", "grid", *SMALL, *two, "--name", "mine", "--set", "keep=last")

    def rows() -> tuple[int, set[int], set[int], set[str]]:
        frame = pd.read_csv(tmp_path / "runs/mine/results.csv")
        return len(frame), set(frame["n"]), set(frame["epochs"]), set(frame["status"])

    tool("resume", "mine", *INLINE)
    assert rows() == (2, {2}, {2}, {"finished"})
    tool("extend", "mine", "--seeds", "+1", *INLINE)
    assert rows() == (2, {3}, {2}, {"finished"})
    tool("extend", "mine", "--add", "lr=1e-4", "--epochs", "3", *INLINE)
    assert rows() == (3, {3}, {3}, {"finished"})
    assert "the same" in tool("rerun", "mine", "2", *INLINE)
    tool("confirm", "mine", "--top", "2", "--seeds", "4", *INLINE)
    frame = pd.read_csv(tmp_path / "runs/mine-confirm/results.csv")
    assert (len(frame), set(frame["n"])) == (2, {4})
    assert (tmp_path / "runs/mine-confirm/report/confirmed.md").is_file()
    states = list((tmp_path / "runs/mine/checkpoints").iterdir())
    assert re.search(r"^\D*[1-9]\d* files? ", tool("prune", "mine"))
    assert len(list((tmp_path / "runs/mine/checkpoints").iterdir())) < len(states)


def test_a_run_is_settled_within_a_budget(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import random\n"
        "def task(config, context):\n"
        "    drawn = random.Random(f\"{config['x']} {context.seed}\").gauss(0, 1)\n"
        "    yield {'val_accuracy': config['x'] + 0.02 * drawn}\n"
    )
    (tmp_path / "my.yaml").write_text(
        "task: noisy:task\nspace: {x: {grid: [0.8, 0.795, 0.3]}}\nepochs: 1\nseeds: 3\n"
        "metric: {name: val_accuracy, mode: max}\n"
    )
    assert "Next: tune-app settle my-1" in tool("run", "my.yaml", *INLINE)
    out = tool("settle", "my-1", "--budget", "10", "--within", "0.1", *INLINE)
    assert "2 of 3 configurations may be the best" in out
    assert "batch 1: 2 of 2 left, 10 of 10 seeds spent" in out
    assert list(pd.read_csv(tmp_path / "runs/my-1/results.csv")["n"]) == [8, 8, 3]
    assert "Not settled with 10 more seeds" in (tmp_path / "runs/my-1/report/report.md").read_text()
    assert "nothing to settle" in tool("settle", "my-1", "--within", "20", *INLINE)
    assert "write 2 or more" in tool("settle", "my-1", "--budget", "1", *INLINE, code=2)
    tool("extend", "my-1", "--seeds", "+1", *INLINE)
    assert list(pd.read_csv(tmp_path / "runs/my-1/results.csv")["n"]) == [9, 9, 4]
    tool("extend", "my-1", "--seeds", "9", *INLINE)
    assert list(pd.read_csv(tmp_path / "runs/my-1/results.csv")["n"]) == [9, 9, 9]


def test_what_finished_trials_keep_decides_what_more_epochs_cost(tool: Tool) -> None:
    tool("run", "grid", *SMALL, *POINT, "--name", "mine")
    assert "keep: best" in tool("extend", "mine", "--epochs", "3", *INLINE)


def test_check_counts_and_estimates(tool: Tool, tmp_path: Path) -> None:
    out = tool("check", "grid", "--stop", "asha", "--image-size", "16")
    assert re.search(r"\b9\b.*\b45\b.*\b1,350\b", out), "trials, replicates, epochs in all"
    assert re.search(r"\basha\b.*epoch 1 \(.*\b3\b.*epoch 3 \(.*\b1\b", out)
    assert re.search(r"estimate: at most ", out)
    assert re.search(r"disk: .*\b\d+ MiB.*\b\d+ KiB.*keep: best", out)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--stop", "none"], ["none", "estimate: about "]),
        (
            ["--stop", "hyperband", "--epochs", "9"],
            [
                r"hyperband.*\b2 brackets",
                r"bracket 1\b.*\b5\b.*epoch 1 \(.*\b2\b.*epoch 3",
                r"bracket 2\b.*\b4\b.*epoch 3 \(.*\b1\b",
                "estimate: at most ",
            ],
        ),
        (
            ["--stop", "hyperband", "--set", "stop.brackets=4"],
            [r"bracket 4\b.*\b0\b", "estimate: at most "],
        ),
        (
            ["--stop", "median", "--set", "stop.grace_period=2"],
            [r"median.*\b2\b.*\b3\b", "estimate: at most "],
        ),
        (
            ["--set", "stop={scheduler: none, patience: 5, min_delta: 0.01}"],
            [r"patience.*\b5 epochs\b.*\b0\.01|patience.*\b5 epochs\b.*1 point", "estimate: at most "],
        ),
        (
            ["--stop", "asha", "--set", "stop.patience=1", "--epochs", "3"],
            [r"asha.*epoch 1 \(.*\b3\b", r"patience.*\b1 epoch\b.*\b2\b", "estimate: at most "],
        ),
        (
            [
                *("--set", "metric=[{name: val_accuracy, mode: max}, {name: val_loss, mode: min}]"),
                *("--set", "stop={scheduler: asha, metric: val_loss}"),
            ],
            [r"val_accuracy \(max\), val_loss \(min\)", "val_loss", r"asha.*epoch 1\b"],
        ),
    ],
)
def test_check_says_when_the_early_stopping_decides(tool: Tool, options: list[str], lines: list[str]) -> None:
    """Line for line, in this order: the rule, the epochs of its decisions, and how many trials go on."""
    out = iter(tool("check", "grid", "--image-size", "16", *options).splitlines())
    for pattern in lines:
        assert any(re.search(pattern, line) for line in out), pattern


@pytest.mark.slow
def test_another_process_is_watched_and_stopped(tool: Tool, tmp_path: Path) -> None:
    process = begin(tmp_path, "--address", "inline")
    try:
        reach(5, process, tmp_path, within_s=60)
        threading.Timer(1.0, lambda: lifecycle.request_stop(Sweep.open(tmp_path / "runs/mine"), None)).start()
        out = tool("show", "mine", "--follow")
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "interrupted" in out
    assert process.returncode == 1
    assert "tune-app resume mine" in err
    assert list((tmp_path / "runs/mine/checkpoints").glob("*-state.pt")), "what was under way is saved"


@pytest.mark.slow
def test_sigterm_saves_a_run_on_ray(tmp_path: Path) -> None:
    """As Ctrl-C does (``tests/chaos/test_signals.py``)."""
    process = begin(tmp_path, "--address", "local", *POINT)
    try:
        reach(3, process, tmp_path, within_s=200)
        process.terminate()
        _, err = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert "tune-app resume mine" in err
    frame = pd.read_csv(tmp_path / "runs/mine/results.csv")
    assert list(frame["status"]) == ["interrupted"]


@pytest.mark.slow
def test_a_run_that_a_full_disk_ended_is_resumed(tool: Tool, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk small enough to fill")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    size = ("--seeds", "1", "--image-size", "8", "--epochs", "100")
    argv = ("run", "table3", *INLINE, *size, "--runs-dir", str(disk), "--name", "mine")
    try:
        full = tool(*argv, code=1)
        assert os.strerror(errno.ENOSPC) in full
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        tool(*argv)
        assert list(pd.read_csv(disk / "mine/results.csv")["status"]) == ["finished"] * 5
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_verdict_is_printed_before_the_report_is_drawn_and_judged_once(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Mock(wraps=compute._judge)
    monkeypatch.setattr(compute, "_judge", judge)
    out = tool("run", "grid", *SMALL, *POINT)
    assert (
        out.index("val_accuracy") < out.index("results.csv") < out.index("drawing") < out.index("index.html")
    )
    assert judge.call_count == 1


def test_without_a_report_nothing_is_drawn_until_it_is_asked_for(tool: Tool, tmp_path: Path) -> None:
    folder = tmp_path / "runs/mine"
    out = tool("run", "grid", *SMALL, *POINT, "--name", "mine", "--no-report")
    assert "tune-app report mine" in out
    assert (folder / "results.csv").is_file()
    assert not (folder / "report").exists()
    assert "tune-app report mine" in tool("resume", "mine", "--no-report")
    assert not (folder / "report").exists()
    tool("resume", "mine")
    assert (folder / "report/index.html").is_file()
    tool("extend", "mine", "--seeds", "+1", *INLINE, "--no-report")
    assert "of 3 seeds" not in (folder / "report/report.md").read_text()
    assert "tune-app report mine" in tool("resume", "mine", "--no-report")
    tool("resume", "mine")
    assert "3 seeds" in (folder / "report/report.md").read_text()


def test_ctrl_c_while_the_report_is_drawn_leaves_a_finished_run(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(figure_processes.Helpers, "draw", interrupted)
        out = tool("run", "grid", *SMALL, *POINT, "--name", "mine", code=130)
    assert "on the test set" in out
    assert out.endswith("tune-app report mine\n")
    assert not (tmp_path / "runs/mine/report/index.html").exists()
    tool("resume", "mine")
    assert (tmp_path / "runs/mine/report/index.html").is_file()
