"""Run folders and model files that a stranger has made up; `benchmarks.chaos.strangers` has many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.intrusion import Cell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("not sys.platform.startswith('linux')", reason="what a call reads is seen on Linux"),
]

CASES = (
    "the weights of a finished event is '../../../../outside/thesis.tex'",
    "a log at an absolute path",
    "data elsewhere",
    "a storage elsewhere",
    "a task of an extension",
    "a sampler of its own",
    "checkpoints is a link",
    "a checkpoint with code",
    "10^9 replicates",
    "a line of 100 MB",
    "an archive that runs a command",
    "the task 'evil:Task'",
    "a config that grows",
    "10^9 nodes",
    "a tensor of 10^12 numbers",
    "a bit flipped at 60% of a tensor",
)


def test_what_a_stranger_made_up_reaches_nothing_outside() -> None:
    """In a process of its own: one in which torch has trained cannot be forked."""
    chosen = [part for case in CASES for part in ("--case", case)]
    args = [sys.executable, "-m", "benchmarks.chaos", "strangers", "--few", "--flips", "5", *chosen]
    done = subprocess.run(args, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{len(CASES) + 5} cases, ")


def test_what_is_touched_outside_is_seen(tmp_path: Path) -> None:
    """Else none of the above would mean anything."""
    cell = Cell(tmp_path, ["this"])
    (cell.outside / "secret.txt").write_text("mine")

    def main(_: object) -> None:
        (cell.outside / "secret.txt").read_text()
        (cell.outside / "new").write_text("")
        __import__("this")
        raise ValueError("seen")

    faults = cell.call([], main).faults
    for part in (
        "opened outside",
        "secret.txt",
        "outside is not as it was",
        "imported this",
        "a traceback",
    ):
        assert any(part in each for each in faults), part
