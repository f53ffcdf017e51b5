"""Commands as a user gives them: what several test files share."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from tune_app import cli
from tune_app.report import figure_processes, figures

#: Drawing all figures of a report takes long.
_FIGURES = {kind: figures.KINDS[kind] for kind in ("intervals", "roc")}
_FOLDER = tempfile.TemporaryDirectory(prefix="tune-app-commands-")

Tool = Callable[..., str]
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


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs a command in an empty folder; returns what it printed. A report has only two figures here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "KINDS", _FIGURES)
    monkeypatch.setattr(figure_processes, "MOST", 0)

    def run(*argv: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = call(*argv)
        captured = capsys.readouterr()
        assert ended == code, captured.err
        return captured.out + captured.err

    return run


@cache
def trained() -> tuple[Path, str]:
    """The folder of a run of the grid, and what was printed while it trained."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        patch.chdir(_FOLDER.name)
        patch.setattr(figures, "KINDS", _FIGURES)
        patch.setattr(figure_processes, "MOST", 0)
        assert call("run", "grid", *SMALL) == 0, output.getvalue()
    return Path(_FOLDER.name) / "runs/grid-1", output.getvalue()


@pytest.fixture
def first(tool: Tool, tmp_path: Path) -> Path:
    """A copy of a run of the grid, called first."""
    return Path(shutil.copytree(trained()[0], tmp_path / "runs/first"))


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
