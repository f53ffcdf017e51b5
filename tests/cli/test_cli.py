"""The commands, as a user gives them."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tune_app
from tune_app import cli
from tune_app.report import figures
from tune_app.results import verdict
from tune_app.session import stop
from tune_app.sweep import Sweep
from tune_app.tasks import task_folder

REPOSITORY = Path(__file__).parents[2]

Tool = Callable[..., str]
FIGURES = {kind: figures.KINDS[kind] for kind in ("intervals", "roc")}


@pytest.fixture
def tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in an empty folder; returns what it printed. A report has but two figures here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "KINDS", FIGURES)

    def tried(*argv: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = call(*argv)
        captured = capsys.readouterr()
        assert ended == code, captured.err
        return captured.out + captured.err

    return tried


INLINE = ("--address", "inline")
SMALL = ("--epochs", "2", "--seeds", "2", "--image-size", "16", *INLINE)
#: One configuration of the grid.
POINT = ("--set", "lr=3e-5", "--set", "step_size=4")


def call(*argv: str) -> int:
    """The exit code of a command, called in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(argv))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run of the grid, and what was printed on the way."""
    folder, output = tmp_path_factory.mktemp("trained"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        patch.chdir(folder)
        patch.setattr(figures, "KINDS", FIGURES)
        assert call("run", "grid", *SMALL) == 0, output.getvalue()
    return folder / "runs/grid-1", output.getvalue()


@pytest.fixture
def first(trained: tuple[Path, str], tool: Tool, tmp_path: Path) -> Path:
    """A copy of that run, called first."""
    return Path(shutil.copytree(trained[0], tmp_path / "runs/first"))


def test_a_run_from_start_to_report(trained: tuple[Path, str]) -> None:
    run, out = trained
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


def test_without_a_name_a_run_is_new_and_with_one_it_goes_on(tool: Tool, first: Path) -> None:
    before = [(first / name).read_text() for name in ("seeds.csv", "record.jsonl")]
    tool("run", "grid", *SMALL, "--name", "first")
    after = [(first / name).read_text() for name in ("seeds.csv", "record.jsonl")]
    assert after[0] == before[0]
    assert after[1].startswith(before[1])
    assert after[1].count('"event":"started"') == before[1].count('"event":"started"')
    for _ in range(2):
        tool("run", "grid", *SMALL, *POINT)
    assert sorted(path.name for path in first.parent.iterdir()) == ["first", "grid-1", "grid-2"]


def test_looking_at_runs(tool: Tool, trained: tuple[Path, str], tmp_path: Path) -> None:
    assert "runs" in tool("ls")
    shutil.copytree(trained[0], tmp_path / "runs/first")
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


def test_results_leave_in_every_form(tool: Tool, first: Path) -> None:
    assert {path.name for path in (first / "report/figures").iterdir()} == {
        *("intervals.svg", "intervals.png", "roc.svg", "roc.png")
    }
    wish = ("--columns", "lr,val_accuracy", "--sort", "lr:desc", "--top", "2")
    lines = tool("export", "first", *wish).splitlines()
    assert lines[0] == "lr,val_accuracy_mean,val_accuracy_ci95,data,data_sha256"
    assert [line.split(",")[0] for line in lines[1:]] == ["3e-05", "3e-05"]
    assert "| 3e-5 |" in tool("export", "first", "--format", "markdown", *wish)
    tool("export", "first", "--format", "parquet", "--of", "curves", "--out", "c.parquet")
    assert len(pd.read_parquet("c.parquet")) == 36
    tool("export", "first", "--format", "xls", code=2)
    assert tool("plot", "first", "intervals", "--out", "x.pdf").split() == ["x.pdf"]
    assert re.search(r"roce.*intervals, roc", tool("plot", "first", "roce", code=2), re.S)
    tool("report", "first", "--no-figures", "--digits", "3", "--top", "1")
    assert re.search(r"\d\d\.\d{3} \(", (first / "report/results.md").read_text())


def test_runs_are_compared(tool: Tool, first: Path) -> None:
    tool("run", "loss", *SMALL, "--set", "loss=bce", "--name", "b")
    assert re.search(r"^  first +lr 3e-5", tool("compare", "first", "b"), re.M)
    tool("run", "loss", *SMALL, "--set", "loss=bce", "--image-size", "8", "--name", "c")
    other = tool("compare", "first", "c", "--format", "markdown")
    assert re.search("data differ", other)
    assert "compare" in tool("compare", "first", code=2)


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


def test_a_run_is_gone_on_with_in_every_way(tool: Tool, tmp_path: Path) -> None:
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


def test_what_finished_trials_keep_decides_what_more_epochs_cost(tool: Tool) -> None:
    tool("run", "grid", *SMALL, *POINT, "--name", "mine")
    assert "keep: best" in tool("extend", "mine", "--epochs", "3", *INLINE)


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


@pytest.mark.slow
def test_another_process_is_watched_and_stopped(tool: Tool, tmp_path: Path) -> None:
    process = begin(tmp_path, "--address", "inline")
    try:
        reach(5, process, tmp_path, within_s=60)
        threading.Timer(1.0, lambda: stop.request_stop(Sweep.open(tmp_path / "runs/mine"), None)).start()
        out = tool("show", "mine", "--follow")
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "interrupted" in out
    assert process.returncode == 1
    assert "tune-app resume mine" in err
    assert list((tmp_path / "runs/mine/checkpoints").glob("*-state.pt")), "what was under way is saved"


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


@pytest.mark.slow
def test_sigterm_ends_a_run_on_ray_in_good_order(tmp_path: Path) -> None:
    """As Ctrl-C does (``tests/chaos/test_signals.py``)."""
    process = begin(tmp_path, "--address", "local", *POINT)
    try:
        reach(3, process, tmp_path, within_s=90)
        process.terminate()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert "tune-app resume mine" in err
    frame = pd.read_csv(tmp_path / "runs/mine/results.csv")
    assert list(frame["status"]) == ["interrupted"]


@pytest.mark.slow
def test_a_full_disk_ends_a_run_resumably(tool: Tool, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_the_wheel_carries_the_spaces(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tune_app-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    argv = [sys.executable, "-m", "tune_app", "run", "grid", *SMALL, *POINT]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(argv, cwd=empty, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (empty / "runs/grid-1/results.csv").is_file()
