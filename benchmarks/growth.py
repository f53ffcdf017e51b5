"""How looking at runs grows: seconds and memory of ``ls``, ``show`` and ``report`` over what is recorded.

``python -m benchmarks.growth`` writes records such as the driver would have written, without training,
and prints a table; it is kept in ``results/growth.md``. ``--quick`` leaves out the largest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.recorder import Recorder
from benchmarks.speed import ROOT, report
from tune_app import results
from tune_app import space as spaces
from tune_app.data.identity import DataIdentity
from tune_app.results import json_views
from tune_app.sweep import Sweep

DATA = DataIdentity(
    "made up", "folder", "ab" * 32, 64, "image", {"train": 1800, "val": 200, "test": 400}, ("No images.",)
)
METRICS = ("train_accuracy", "train_loss", "val_accuracy", "val_loss", "val_auc")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(argv)
    sizes = (100, 1_000, 10_000) if asked.quick else (100, 1_000, 10_000, 100_000)
    rows = []
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        for trials in sizes:
            folder = Path(name) / str(trials)
            begin = time.perf_counter()
            make_run(folder, trials, name="one")
            wrote_s = time.perf_counter() - begin
            for command in (["ls"], ["show", "one"], ["report", "one"]):
                wall, peak = measure(command, folder)
                rows.append(
                    {
                        "what": f"{command[0]}, one run of {trials:,} trials",
                        "seconds": round(wall, 2),
                        "MiB": round(peak / 2**20),
                    }
                )
            events = trials * 32
            rows.append(
                {
                    "what": f"writing that record: microseconds an event, {events:,} events",
                    "seconds": round(wrote_s / events * 1e6),
                    "MiB": round((folder / "runs/one/record.jsonl").stat().st_size / 2**20),
                }
            )
        many = Path(name) / "many"
        for index in range(1000):
            make_run(many, 9, name=f"run-{index}")
            json_views.write_summary(results.load(Sweep.open(many / "runs" / f"run-{index}")))
        wall, peak = measure(["ls"], many)
        rows.append(
            {"what": "ls, 1,000 runs of 9 trials", "seconds": round(wall, 2), "MiB": round(peak / 2**20)}
        )
    notes = ["30 epochs and one seed a trial; whole processes, seconds of wall time and peak memory."]
    report("growth", rows, notes, f"python -m benchmarks.growth{' --quick' if asked.quick else ''}")


def make_run(folder: Path, trials: int, name: str) -> None:
    """A finished run of so many configurations, as the driver would have recorded it."""
    values = ", ".join(f"{value:.6g}" for value in np.linspace(1e-6, 1e-3, trials))
    text = f"task: pneumonia\nspace: {{lr: {{grid: [{values}]}}}}\nepochs: 30\nseeds: 1\n"
    sweep = Sweep.create(spaces.parse(text, name="made"), DATA, folder / "runs", name)
    rng = np.random.default_rng(trials)
    with sweep.writing():
        recorder = Recorder.of(sweep)
        for sample in range(1, trials + 1):
            curve = np.round(rng.uniform(0.5, 1.0, (30, len(METRICS))), 6).tolist()
            rows = [{metric: [each] for metric, each in zip(METRICS, row, strict=True)} for row in curve]
            recorder.train(sample, *rows, test={"test_accuracy": [curve[-1][2]]})


def measure(command: list[str], folder: Path) -> tuple[float, int]:
    """Seconds and peak bytes of a ``tune-app`` command as a process of its own."""
    program = (
        "import sys\nfrom tune_app import cli\ntry:\n    cli.main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        # not getrusage, which counts this process into the one that it starts
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(status['VmHWM'].split()[0], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - begin, int(done.stderr.strip().splitlines()[-1]) * 1024


if __name__ == "__main__":
    main()
