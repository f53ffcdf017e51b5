"""How far one driver reaches: trials a second over GPUs that are declared, and its own time a trial.

``python -m benchmarks.declared`` starts a Ray on this machine that believes in 1 to 64 GPUs, one a trial, and
drives trials on it that do nothing, or sleep for a second in all; nothing is trained. The table is kept in
``results/declared.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import ROOT, report

TASK = """
import time

def task(config, context):
    for epoch in range(context.epochs):
        time.sleep(config["sleep_s"] / context.epochs)
        yield {"val_accuracy": float(config["level"])}
"""

#: Runs in a process of its own: a Ray with so many GPUs, and a sweep on it. Prints what it took.
PROGRAM = """
import json, sys, time
from tune_app import space
from tune_app import stopping
from tune_app.driver import resources
from tune_app.engines.ray import connection
from tune_app.engines.ray import tune_engine
from tune_app.driver.driver import Driver
from tune_app.sweep import Sweep

gpus, asked = int(sys.argv[1]), space.parse(open("my.yaml").read(), name="my")
with connection.connect("local", cpus=gpus, gpus=gpus) as cluster:
    plan = resources.plan(asked.resources, cluster.cpus, cluster.gpus, asked.size())
    assert plan.concurrent == min(gpus, asked.size()), plan
    with Sweep.create(asked).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(asked))
        ends, report = [], driver.report
        def noted(*given):
            going = report(*given)
            if not going:
                ends.append((time.time(), time.process_time()))
            return going
        driver.report = noted
        tune_engine.run(driver, None, plan)
    assert sweep.statuses() == ["finished"] * asked.size()
print(json.dumps(ends))
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 4, 16, 64])
    asked = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="d") as name:
        folder = Path(name)
        (folder / "declared_task.py").write_text(TASK)
        for gpus in asked.gpus:
            nothing = drive(folder / f"n{gpus}", gpus, trials=400 + 2 * gpus, epochs=1, sleep_s=0.0)
            second = drive(folder / f"s{gpus}", gpus, trials=max(6, 6 * gpus), epochs=10, sleep_s=1.0)
            rows.append(
                {
                    "declared GPUs": gpus,
                    "no-op trials a second": round(nothing[0], 1),
                    "driver, ms a trial": round(1e3 * nothing[1], 1),
                    "1 s trials a second": round(second[0], 2),
                    "share of what they allow": f"{second[0] / gpus:.0%}",
                    "driver, ms a 1 s trial of 10 epochs": round(1e3 * second[1], 1),
                    "busy": f"{second[0] * second[1]:.0%}",
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    notes = [
        "Over the second half of the trials, when every worker has started. The workers share this machine's "
        "cores with the driver; those of the 1 s trials sleep.",
        "Driver: processor time of its process, Tune's loop and the record in it. Busy: its share of a core "
        "during the 1 s trials.",
    ]
    report("declared", rows, notes, f"python -m benchmarks.declared --gpus {' '.join(map(str, asked.gpus))}")


def drive(folder: Path, gpus: int, trials: int, epochs: int, sleep_s: float) -> tuple[float, float]:
    """Trials a second, and the driver's processor seconds a trial, over the second half of a sweep."""
    folder.mkdir()
    levels = ", ".join(map(str, range(trials)))
    text = f"task: declared_task:task\nspace: {{level: {{grid: [{levels}]}}}}\nepochs: {epochs}\nseeds: 1\n"
    text += f"fixed: {{sleep_s: {sleep_s}}}\nresources: {{gpus_per_trial: 1, cpus_per_trial: 1}}\n"
    (folder / "my.yaml").write_text(text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder.parent)))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(gpus)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{gpus} GPUs, {trials} trials: ended with {done.returncode}:\n{done.stderr[-2000:]}"
        )
    ends = json.loads(done.stdout.strip().splitlines()[-1])
    # From the end of a whole wave of trials, for those that take equally long end together.
    first = gpus * (len(ends) // gpus // 2) - 1
    wall, own = (ends[-1][which] - ends[first][which] for which in (0, 1))
    count = len(ends) - 1 - first
    return count / wall, own / count


if __name__ == "__main__":
    main()
