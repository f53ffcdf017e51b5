"""The commands, as a user gives them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tune_app
from tune_app import cli, continuing, verdict
from tune_app.report import figures
from tune_app.sweep import Sweep

REPOSITORY = Path(__file__).parents[1]

Tool = Callable[..., str]


@pytest.fixture
def tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in an empty folder; returns what it printed. A report has but two figures here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "KINDS", {kind: figures.KINDS[kind] for kind in ("intervals", "roc")})

    def call(*argv: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(argv))
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        return captured.out + captured.err

    return call


SMALL = ("--epochs", "2", "--seeds", "2", "--image-size", "16", "--address", "inline")


def test_a_run_from_start_to_report(tool: Tool, tmp_path: Path) -> None:
    out = tool("run", "grid", *SMALL)
    assert "grid: 9 configurations × 2 seeds × 2 epochs" in out
    assert "data phantom (1800 train, 200 validation, 400 test; sha256" in out
    assert "Chosen by val_accuracy: lr 3e-05" in out
    assert "runs/grid-1/results.csv" in out
    frame = pd.read_csv(tmp_path / "runs/grid-1/results.csv")
    assert list(frame["status"]) == ["finished"] * 9
    assert {path.name for path in (tmp_path / "runs/grid-1/report").glob("table3.*")} == {
        "table3.md",
        "table3.csv",
        "table3.tex",
    }
    for path in (tmp_path / "runs/grid-1").rglob("*.csv"):
        if path.name != "test_images.csv":
            assert set(pd.read_csv(path)["data"]) == {"phantom"}, path
    frames = tune_app.open(tmp_path / "runs/grid-1")
    assert len(frames.trials) == 9
    assert len(frames.seeds) == 18
    assert len(frames.curves) == 36
    assert frames.scores(3).shape == (2, 400)
    tested = verdict.judge(frames).test
    assert tested is not None
    assert (tested.unanswered, tested.images, len(tested.pairs)) == ({}, 400, 36)


def test_without_a_name_a_run_is_new_and_with_one_it_goes_on(tool: Tool, tmp_path: Path) -> None:
    tool("run", "grid", *SMALL)
    tool("run", "grid", *SMALL)
    before = (tmp_path / "runs/grid-2/seeds.csv").read_text()
    started = (tmp_path / "runs/grid-2/record.jsonl").read_text().count('"event":"started"')
    out = tool("run", "grid", *SMALL, "--name", "grid-2")
    assert "Chosen by" in out
    assert (tmp_path / "runs/grid-2/seeds.csv").read_text() == before
    assert (tmp_path / "runs/grid-2/record.jsonl").read_text().count('"event":"started"') == started
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["grid-1", "grid-2"]


def test_looking_at_runs(tool: Tool) -> None:
    assert "no runs in runs yet" in tool("ls")
    tool("run", "grid", *SMALL, "--name", "first")
    assert re.search(r"first +9 of 9 finished +phantom +lr 3e-05", tool("ls"))
    shown = tool("show", "first")
    assert shown.count("finished   ") >= 9
    assert "± " in shown
    written = [line for line in tool("report", "first").splitlines() if line.startswith("runs/")]
    assert {"runs/first/results.csv", "runs/first/report/index.html"} <= set(written)
    assert all(Path(path).is_file() for path in written)


def test_results_leave_in_every_form(tool: Tool, tmp_path: Path) -> None:
    tool("run", "grid", *SMALL, "--name", "first")
    assert {path.name for path in (tmp_path / "runs/first/report/figures").iterdir()} == {
        *("intervals.svg", "intervals.png", "roc.svg", "roc.png")
    }
    wish = ("--columns", "lr,val_accuracy", "--sort", "lr:desc", "--top", "2")
    out = tool("export", "first", *wish)
    lines = out.splitlines()
    assert lines[0] == "lr,val_accuracy_mean,val_accuracy_ci95,data,data_sha256"
    assert [line.split(",")[0] for line in lines[1:]] == ["3e-05", "3e-05"]
    assert "| 3e-5 |" in tool("export", "first", "--format", "markdown", *wish)
    tool("export", "first", "--format", "parquet", "--of", "curves", "--out", "c.parquet")
    assert len(pd.read_parquet("c.parquet")) == 36
    tool("export", "first", "--format", "xls", code=2)
    assert tool("plot", "first", "intervals", "--out", "x.pdf").split() == ["x.pdf"]
    assert "there are: intervals, roc" in tool("plot", "first", "roce", code=2)
    tool("report", "first", "--no-figures", "--digits", "3", "--top", "1")
    assert re.search(r"\d\d\.\d{3} ±", (tmp_path / "runs/first/report/results.md").read_text())


def test_runs_are_compared(tool: Tool) -> None:
    tool("run", "grid", *SMALL, "--name", "a")
    tool("run", "loss", *SMALL, "--name", "b")
    out = tool("compare", "a", "b")
    assert "Best first by validation accuracy (max)" in out
    assert re.search(r"^  a +lr 3e-5", out, re.M)
    tool("run", "loss", *SMALL[:4], "--image-size", "8", "--address", "inline", "--name", "c")
    assert "Not ranked: the data differ" in tool("compare", "a", "c", "--format", "markdown")
    assert "compare takes two runs or more" in tool("compare", "a", code=2)


def test_early_stopping_marks_what_it_stopped(tool: Tool, tmp_path: Path) -> None:
    tool("run", "grid", *SMALL, "--stop", "asha", "--epochs", "4")
    frame = pd.read_csv(tmp_path / "runs/grid-1/results.csv")
    stopped = frame[frame["status"] == "stopped"]
    assert not stopped.empty
    assert set(stopped["epochs"]) <= {1, 3}
    assert stopped["test_accuracy_mean"].isna().all()
    assert set(frame["status"]) == {"stopped", "finished"}
    assert "stopped" in (tmp_path / "runs/grid-1/report/results.md").read_text()


def test_a_run_is_gone_on_with_in_every_way(tool: Tool, tmp_path: Path) -> None:
    tool("run", "grid", *SMALL, "--name", "mine", "--set", "keep=last")
    inline = ("--address", "inline")
    assert "Chosen by" in tool("resume", "mine", *inline)
    assert "3 seeds" in tool("extend", "mine", "--seeds", "+1", *inline)
    frame = pd.read_csv(tmp_path / "runs/mine/results.csv")
    assert set(frame["n"]) == {3}
    assert "12 configurations" in tool("extend", "mine", "--add", "lr=1e-4", "--epochs", "3", *inline)
    frame = pd.read_csv(tmp_path / "runs/mine/results.csv")
    assert (len(frame), set(frame["epochs"]), set(frame["status"])) == (12, {3}, {"finished"})
    assert "the same, all" in tool("rerun", "mine", "2", *inline)
    out = tool("confirm", "mine", "--top", "2", "--seeds", "4", *inline)
    assert re.search(r"In mine the winner led the second by .* on 4 new seeds", out)
    assert (tmp_path / "runs/mine-confirm/report/confirmed.md").is_file()
    assert re.search(r"21 files removed, .* freed", tool("prune", "mine"))


def test_what_finished_trials_keep_decides_what_more_epochs_cost(tool: Tool) -> None:
    tool("run", "table3", *SMALL, "--name", "mine")
    out = tool("extend", "mine", "--epochs", "3", "--address", "inline")
    assert "keeps no states of finished trials (keep: best)" in out


def test_json_for_scripts(tool: Tool) -> None:
    tool("run", "table3", *SMALL, "--name", "mine")
    [listed] = json.loads(tool("ls", "--json"))
    assert (listed["run"], listed["states"], listed["live"]) == ("mine", {"finished": 5}, False)
    shown = json.loads(tool("show", "mine", "--json"))
    assert [row["status"] for row in shown["trials"]] == ["finished"] * 5
    best = json.loads(tool("best", "mine", "--json"))
    assert listed["best"] == best["results"] == shown["trials"][best["sample"] - 1]
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
    assert "1 of 2 configurations failed. The first: ValueError: no two" in out
    log = tool("logs", "mine", "2")
    assert log.startswith("Traceback")
    assert log.rstrip().endswith("ValueError: no two")
    assert tool("logs", "mine", "2.1") == log
    assert 'no trial called "2.7"' in tool("logs", "mine", "2.7", code=2)
    (tmp_path / "breaking.py").write_text("def task(config, context):\n    yield {'val_accuracy': 1}\n")
    sys.modules.pop("breaking")
    assert "2 of 2 finished" in tool("retry", "mine", "--address", "inline") + tool("ls")


def test_the_best_model_predicts(tool: Tool, tmp_path: Path) -> None:
    tool("run", "table3", *SMALL, "--name", "mine", "--set", "evaluate=best")
    out = tool("best", "mine", "--model", "m.pt")
    assert "m.pt" in out
    Image.fromarray(np.full((40, 30), 9, np.uint8)).save(tmp_path / "film.png")
    [seen] = json.loads(tool("predict", "m.pt", "film.png", "--json"))
    assert seen["name"] == "film.png"
    assert sum(seen["probabilities"].values()) == pytest.approx(1)
    assert re.fullmatch(r"film.png   (normal|pneumonia)   \d+\.\d%\n", tool("predict", "m.pt", "film.png"))


def begin(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A run called mine, of far more epochs than will be trained, in a process of its own."""
    argv = [sys.executable, "-m", "tune_app", "run", "grid", "--image-size", "16", "--seeds", "1"]
    argv += ["--name", "mine", "--epochs", "20000", *options]
    return subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def reach(epoch: int, process: subprocess.Popen[str], folder: Path, within_s: float) -> None:
    """Wait until it has recorded an epoch."""
    record, deadline = folder / "runs/mine/record.jsonl", time.monotonic() + within_s
    while not (record.exists() and f'"epoch":{epoch}' in record.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_another_process_is_watched_and_stopped(tool: Tool, tmp_path: Path) -> None:
    process = begin(tmp_path, "--address", "inline")
    try:
        reach(5, process, tmp_path, within_s=60)
        threading.Timer(1.0, lambda: continuing.ask_to_stop(Sweep.open(tmp_path / "runs/mine"), None)).start()
        out = tool("show", "mine", "--follow")
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "following mine" in out
    assert "interrupted" in out
    assert process.returncode == 1
    assert "tune-app resume mine" in err
    assert list((tmp_path / "runs/mine/checkpoints").glob("*-state.pt")), "what was under way is saved"


def test_check_counts_and_estimates(tool: Tool, tmp_path: Path) -> None:
    out = tool("check", "grid", "--stop", "asha", "--image-size", "16")
    assert "trials: 9   replicates: 45   epochs in all: 1,350" in out
    assert "early stopping: asha; decisions after epoch 1 (about 3 go on), epoch 3 (about 1 go on), " in out
    assert re.search(r"estimate: at most .+ \(one epoch of one replicate took", out)
    assert re.search(r"disk: up to \d+ MiB of checkpoints .* \d+ KiB stay, the best .*keep: best", out)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--stop", "none"], ["early stopping: none, every trial runs to the end", "estimate: about "]),
        (
            ["--stop", "hyperband", "--epochs", "9"],
            [
                "early stopping: hyperband, 2 brackets",
                "  bracket 1, 5 configurations: decisions after epoch 1 (about 2 go on), epoch 3 (about ",
                "  bracket 2, 4 configurations: decisions after epoch 3 (about 1 go on)",
                "estimate: at most ",
            ],
        ),
        (
            ["--stop", "hyperband", "--set", "stop.brackets=4"],
            ["  bracket 4, 0 configurations", "estimate: at most "],
        ),
        (
            ["--stop", "median", "--set", "stop.grace_period=2"],
            [
                "early stopping: median; decisions after each epoch from 2 on, once 3 others came there",
                "estimate: at most ",
            ],
        ),
        (
            ["--set", "stop={scheduler: none, patience: 5, min_delta: 0.01}"],
            [
                "early stopping: patience; ends a trial after 5 epochs without an improvement of more ",
                "estimate: at most ",
            ],
        ),
        (
            ["--stop", "asha", "--set", "stop.patience=1", "--epochs", "3"],
            [
                "early stopping: asha; decisions after epoch 1 (about 3 go on)",
                "early stopping: patience; ends a trial after 1 epoch without an improvement, from epoch 2",
                "estimate: at most ",
            ],
        ),
        (
            [
                *("--set", "metric=[{name: val_accuracy, mode: max}, {name: val_loss, mode: min}]"),
                *("--set", "stop={scheduler: asha, metric: val_loss}"),
            ],
            [
                "metric: val_accuracy (max), val_loss (min), of the last epoch",
                "early stopping goes by val_loss",
                "early stopping: asha; decisions after epoch 1",
            ],
        ),
    ],
)
def test_check_says_when_the_early_stopping_decides(tool: Tool, options: list[str], lines: list[str]) -> None:
    out = tool("check", "grid", "--image-size", "16", *options)
    places = [out.find(f"\n{line}") for line in lines]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("scheduler", ["hyperband", "median"])
def test_a_flag_names_any_scheduler(tool: Tool, tmp_path: Path, scheduler: str) -> None:
    tool("run", "grid", *SMALL, "--stop", scheduler, "--epochs", "4")
    frame = pd.read_csv(tmp_path / "runs/grid-1/results.csv")
    assert "stopped" in set(frame["status"])
    assert set(frame["status"]) == {"stopped", "finished"}


@pytest.mark.parametrize("name", ["grid", "table3", "loss", "optuna"])
def test_the_shipped_spaces_are_sound(tool: Tool, name: str) -> None:
    assert f"{name}: " in tool("check", name, "--image-size", "16")
    assert re.search(rf"^ +{name} ", tool("spaces"), re.M)


def test_schema_is_json(tool: Tool) -> None:
    assert json.loads(tool("schema"))["properties"]["space"]


def test_data_commands(tool: Tool, tmp_path: Path) -> None:
    out = tool("data", "show", "phantom", "--image-size", "16")
    assert "contact sheet: contact_sheet.png" in out
    assert (tmp_path / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_import_then_run_on_real_images(tool: Tool, tmp_path: Path, xrays: Path) -> None:
    out = tool("data", "import", str(xrays), "--out", "x16", "--image-size", "16")
    assert "x16/train/normal.npy: 1,000 images of 16x16" in out
    tool("run", "table3", "--data", "x16", *SMALL[:4], "--address", "inline")
    table = pd.read_csv(tmp_path / "runs/table3-1/report/table3.csv")
    assert list(table["published"]) == [0.83, 0.8025, 0.77, 0.7475, 0.7525]
    assert table["mean"].notna().all()
    assert set(table["inside"]) <= {"yes", "no"}
    assert (table["data"] == "x16").all()
    text = (tmp_path / "runs/table3-1/report/table3.md").read_text()
    assert "share a patient with training" in text
    assert "Differs from the paper" in text
    exists = tool("data", "import", str(xrays), "--out", "x16", code=2)
    assert "exists" in exists


def test_every_command_says_what_it_does() -> None:
    def walk(command: click.Command) -> Iterator[click.Command]:
        yield command
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield from walk(inner)

    for command in walk(cli.cli):
        assert command.help, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)


def test_every_command_is_documented() -> None:
    text = (REPOSITORY / "docs/commands.md").read_text()
    for name, command in cli.cli.commands.items():
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        for more in inner:
            assert f"`tune-app {name}{' ' + more if more else ''}" in text, (name, more)
    assert "tune-app" in (REPOSITORY / "README.md").read_text()


def test_help_is_light() -> None:
    program = (
        "import sys\nfrom tune_app import cli\ntry:\n    cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'pandas', 'numpy', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_callback_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    class Collected:
        pass

    def command(**_: object) -> None:
        collected = Collected()
        reference = weakref.ref(collected, lambda _: signal.raise_signal(number))
        del collected  # what the signal's handler raises is ignored here
        assert reference() is None
        time.sleep(20)

    monkeypatch.setattr(cli.cli, "main", command)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
        cli.main(["ls"])
    assert ended.type is KeyboardInterrupt or ended.value.code == code  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_good_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = begin(
        tmp_path, "--address", "local", "--set", "lr={grid: [3e-6, 3e-5]}", "--set", "step_size=4"
    )
    try:
        reach(30, process, tmp_path, within_s=90)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "tune-app resume mine" in err
    frame = pd.read_csv(tmp_path / "runs/mine/results.csv")
    assert "interrupted" in set(frame["status"])


def test_a_full_disk_ends_a_run_resumably(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk small enough to fill")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        argv = [
            sys.executable,
            "-m",
            "tune_app",
            "run",
            "table3",
            "--address",
            "local",
            "--image-size",
            "16",
            "--seeds",
            "1",
        ]
        argv += ["--address", "inline", "--runs-dir", str(disk), "--name", "mine", "--epochs", "100"]
        full = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert full.returncode == 1, full.stderr
        assert "Traceback" not in full.stderr
        assert "No space left on device" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        again = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert list(pd.read_csv(disk / "mine/results.csv")["status"]) == ["finished"] * 5
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_wheel_carries_the_spaces(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tune_app-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    argv = [sys.executable, "-m", "tune_app", "run", "grid", *SMALL]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(argv, cwd=empty, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (empty / "runs/grid-1/results.csv").is_file()
