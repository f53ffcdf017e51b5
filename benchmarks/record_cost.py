"""What an epoch costs in the record, and what reading it takes, against another version of tune-app.

``python -m benchmarks.record_cost --against COMMIT`` starts a process of each version. In turn, they record
batches of epochs as a driver does (`Sweep.note`), and read such a record (`Sweep.open`). Printed are medians,
and the median ratio of neighbouring batches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.worktree import ROOT, checked_out

_WORKER = """
import contextlib, sys, time
from pathlib import Path
from tune_app import space
from tune_app.sweep import Sweep

try:
    from tune_app.sweep.events import Epoch, Started
    old = None
except ImportError:
    Epoch = Started = dict
    old = True

SIZE = int(sys.argv[1])
NAMES = ("train_accuracy", "train_loss", "val_accuracy", "val_loss", "val_auc")
text = "task: pneumonia\\nspace: {lr: {grid: [0.1]}}\\nepochs: 1000000\\nseeds: 5\\n"

def note(sweep, kind, event):
    return sweep.note(kind, **event) if old else sweep.note(event)

def begun(name):
    sweep = Sweep.create(space.parse(text, name="my"), runs_dir=Path("runs"), name=name)
    sweep_ = sweep.writing()
    sweep_.__enter__()
    started = {"trial": "1.1", "sample": 1, "replicates": [0, 1, 2, 3, 4], "epoch": 0, "target": 10**6}
    note(sweep, "started", Started(**started, node="here"))
    return sweep, sweep_

def write(sweep, first):
    begin = time.process_time()
    for epoch in range(first, first + SIZE):
        metrics = {n: [((epoch * 7919 + i) % 9973) / 9973 for i in range(5)] for n in NAMES}
        more = {"metrics": metrics, "durations_s": [0.123456] * 5}
        note(sweep, "epoch", Epoch(trial="1.1", epoch=epoch, **more))
    return time.process_time() - begin

sweep, context = begun("long")
write(sweep, 1)
context.__exit__(None, None, None)
sweep, context = begun("more")
first = 1
for what in sys.stdin:
    begin = time.process_time()
    if what == "write\\n":
        seconds = write(sweep, first)
        first += SIZE
    else:
        Sweep.open("runs/long")
        seconds = time.process_time() - begin
    print(seconds / SIZE * 1e6, flush=True)
"""


class Version:
    """A process that has a version of tune-app loaded."""

    def __init__(self, tree: Path, folder: Path, size: int) -> None:
        folder.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(tree), "XDG_STATE_HOME": str(folder)},
        )

    def microseconds(self, what: str) -> float:
        """Processor time of one event of a batch that is written or read."""
        assert self._process.stdin
        assert self._process.stdout
        print(what, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; returns 1 where an epoch costs more than 10% more than in the other version."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record_cost", description=__doc__)
    parser.add_argument("--against", default="67302d6", metavar="COMMIT")
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--size", type=int, default=1000, help="Epochs of a batch.")
    asked = parser.parse_args(argv)
    ratios = {}
    with tempfile.TemporaryDirectory(prefix="record-cost-") as name, ExitStack() as stack:
        tree = stack.enter_context(checked_out(asked.against, Path(name)))
        versions = [
            Version(each, Path(name) / number, asked.size) for number, each in (("new", ROOT), ("old", tree))
        ]
        for version in versions:
            stack.callback(version.close)
        for what in ("write", "read"):
            pairs = [tuple(each.microseconds(what) for each in versions) for _ in range(asked.batches)]
            new, old = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratios[what] = statistics.median(pair[0] / pair[1] for pair in pairs)
            print(f"{what}: {new:.1f} µs an epoch, {old:.1f} at {asked.against}: {ratios[what]:.2f} times")
    return int(ratios["write"] > 1.1)


if __name__ == "__main__":
    sys.exit(main())
