"""Sweeps that are recorded by hand, and what the live view shows of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.recorder import Recorder
from tune_app import space
from tune_app.progress import drawing
from tune_app.progress.drawing import Timing
from tune_app.progress.snapshot import Row, Snapshot, SnapshotTaker
from tune_app.sweep import Sweep

GRID = """
task: pneumonia
space: {lr: {grid: [3e-6, 3e-5]}, step_size: {grid: [4, 8]}}
fixed: {gamma: 0.4}
epochs: 4
seeds: 2
metric: {name: val_accuracy, mode: max}
"""


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def new_sweep(folder: Path, text: str = GRID) -> Sweep:
    return Sweep.create(space.parse(text, name="hand"), runs_dir=folder / "runs")


@contextmanager
def recorded(folder: Path, text: str = GRID) -> Iterator[tuple[Sweep, Recorder]]:
    """A new sweep, open for writing."""
    with new_sweep(folder, text).writing() as sweep:
        yield sweep, Recorder.of(sweep)


def look(sweep: Sweep, live: bool = True) -> Snapshot:
    return SnapshotTaker(sweep).take(live)


def drawn(snapshot: Snapshot, width: int = 100, height: int = 40, timing: Timing | None = None) -> list[str]:
    """The lines of the table as a terminal of that size shows them."""
    console = Console(file=io.StringIO(), record=True, width=width, height=height, force_terminal=True)
    console.print(drawing.live(snapshot, timing or Timing(None, 0.0), width, height))
    return [line.rstrip() for line in console.export_text().splitlines()]


def row(sample: int, state: str) -> Row:
    ended = state not in ("waiting", "running")
    values = () if state == "waiting" else (sample / 100, sample / 100)
    epoch = None if state == "waiting" else 4 if ended else 2
    reason = "OSError: " + "long words " * 20 if state == "failed" else ""
    ranked = state == "finished"
    return Row(
        sample, {"lr": sample * 1e-5}, state, epoch, values, 1.0, "cpu", 8, ended, reason, ranked=ranked
    )


def snapshot_of(states: list[str], newest: list[int] | None = None) -> Snapshot:
    rows = [row(sample, state) for sample, state in enumerate(states, start=1)]
    ended = [each.sample for each in reversed(rows) if each.ended]
    best = next((each for each in rows if each.state == "finished"), None)
    wanted = len(rows) * 8
    return Snapshot(
        "val_accuracy",
        "",
        4,
        ["lr"],
        rows,
        newest or ended,
        0,
        wanted // 2,
        wanted,
        wanted // 2,
        best,
    )


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=40)


def text_of(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


#: Nine configurations of which a third trains on after epochs 1 and 3.
HALVING = """
task: pneumonia
space: {lr: {grid: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}
epochs: 6
seeds: 2
stop: {scheduler: halving}
"""


def wait_at_rung(recorder: Recorder, *samples: int) -> None:
    """Trials that wait after their first epoch."""
    for sample in samples:
        trial = recorder.start(sample)
        recorder.epoch(trial, [sample / 10])
        recorder.pause(trial, sample / 10)


def decide_rung(recorder: Recorder, promoted: Sequence[int], stopped: Sequence[int]) -> None:
    """What the first rung decides on trials that wait there."""
    for sample in promoted:
        recorder.promote(f"{sample}.1", sample / 10)
    for sample in stopped:
        recorder.decide(f"{sample}.1", sample / 10, 0.7, stop=True)
