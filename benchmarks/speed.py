"""tune-app against its peers: the same models, data and epochs, interleaved, whole processes with start-up.

``python -m benchmarks.speed grid`` trains the paper's nine configurations on 28x28 phantom images, ``table3``
its five samples at 256x256, ``gpu`` those with 20 seeds on a GPU; ``many`` trains 1,000 random
configurations for 5 epochs; ``startup`` measures no-op trials, ``end`` the waits for the first epoch and for
the verdict, ``warm`` runs on the Ray of ``tune-app up`` beside runs that start their own. Each prints a table
and keeps it in ``results/``. A peer is a process of its own; its wall time is taken from outside. The time
per model at the margin is what one more seed of every configuration adds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import roofline
from tune_app import data
from tune_app import space as spaces
from tune_app.session import provenance

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PEERS = {
    "plain Ray Tune (function)": ("plain_ray", ""),
    "Ray Tune, class, reuse_actors": ("ray_reuse", ""),
    "plain Optuna": ("plain_optuna", ""),
    "loop, DataLoader": ("loops", "dataloader"),
    "loops by hand, index batches, Adam": ("loops", "index"),
    "loops by hand, index batches, fused Adam": ("loops", "fused"),
}
OURS = "tune-app"
#: Trials of a peer that share a GPU.
GPU_TRIALS = 8


@dataclass
class Measured:
    """What one tool took: whole-process seconds of each repetition, for few seeds and for all."""

    name: str
    seeds: int
    few: int
    models: int
    wall_s: list[float] = field(default_factory=list)
    few_s: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    @property
    def per_model_s(self) -> float:
        """Whole process, start-up in it, divided by its models."""
        return statistics.median(self.wall_s) / self.models

    @property
    def marginal_s(self) -> float:
        """What one more model adds, from ``few`` seeds to ``seeds``; no number where the few were not run."""
        if not self.few_s:
            return math.nan
        more = self.models * (self.seeds - self.few) / self.seeds
        return (statistics.median(self.wall_s) - statistics.median(self.few_s)) / more


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["grid", "table3", "gpu", "many", "startup", "end", "warm"])
    parser.add_argument(
        "--seeds", type=int, help="Seeds of each configuration.  [grid: 10, table3: 2, gpu: 20]"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--only", action="append", help="Leave out the other peers; part of a name.")
    parser.add_argument(
        "--once", action="append", help="Peers that run once, with all seeds; part of a name."
    )
    asked = parser.parse_args(argv)
    if asked.what in ("startup", "end", "many"):
        {"startup": startup, "end": end, "many": many}[asked.what](asked.repeats)
        return
    if asked.what == "warm":
        warm(asked.repeats, asked.seeds or 10)
        return
    on_gpu = asked.what == "gpu"
    if on_gpu and not torch.cuda.is_available():
        parser.error("gpu: torch finds no GPU here; it is for a machine with one")
    sizes = {"grid": (10, 28), "table3": (2, 256), "gpu": (20, 256)}
    seeds, size = sizes[asked.what]
    seeds, size = asked.seeds or seeds, asked.image_size or size
    only = asked.only or (["plain Ray"] if on_gpu else None)
    compare("table3" if on_gpu else asked.what, seeds, size, asked.repeats, only, asked.once or [], on_gpu)


def compare(
    name: str,
    seeds: int,
    size: int,
    repeats: int,
    only: list[str] | None,
    once: Sequence[str] = (),
    on_gpu: bool = False,
) -> None:
    """Train ``name`` with every tool in turn; plain Ray Tune has ``GPU_TRIALS`` of its trials on a GPU."""
    space = spaces.load(name)
    configs = [{k: c[k] for k in ("lr", "step_size")} for c in space.planned()]
    few = max(1, seeds // 5)
    tools = [tool for tool in PEERS if not only or any(part in tool for part in only)]
    measured = {tool: Measured(tool, seeds, few, seeds * len(configs)) for tool in [OURS, *tools]}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        arrays = Path(folder) / "arrays.npz"
        _write(arrays, size)
        for turn in range(repeats):
            for tool, found in measured.items():
                single = any(part in tool for part in once)
                if single and turn:
                    continue
                counts = ((few, found.few_s), (seeds, found.wall_s))
                for number, walls in counts[1:] if single else counts:
                    wall, accuracy = _run(tool, name, arrays, configs, number, size, Path(folder), on_gpu)
                    walls.append(wall)
                    print(f"  {tool}, {number} seeds: {wall:.1f} s", file=sys.stderr, flush=True)
                found.accuracy.append(accuracy)
    machine = roofline.measure("cuda" if on_gpu else "cpu")
    floor = roofline.model_seconds(machine, size * size, space.epochs)
    floor /= 1 if on_gpu else os.cpu_count() or 1
    ours = measured[OURS]
    rows = [
        {
            "tool": each.name,
            "models": each.models,
            "wall_s": round(statistics.median(each.wall_s), 1),
            "s_a_model": round(each.per_model_s, 3),
            "times_ours": round(each.per_model_s / ours.per_model_s, 2),
            "runs": len(each.wall_s),
            "s_a_model_more": round(each.marginal_s, 3) if each.few_s else "",
            "times_ours_more": round(each.marginal_s / ours.marginal_s, 2) if each.few_s else "",
            "roofline_share": f"{floor / each.marginal_s:.0%}" if each.few_s else "",
            "val_accuracy": f"{statistics.mean(each.accuracy):.1%}",
        }
        for each in measured.values()
    ]
    work = f"{len(configs)} configurations x {seeds} seeds x {space.epochs} epochs at {size}x{size}"
    core, everything = ("the GPU", "it") if on_gpu else ("a core", "all cores")
    flops, moved = roofline.step_flops(size * size) / 1e6, roofline.step_bytes(size * size) / 1e6
    notes = [
        f"{work}, phantom images; median of the runs, interleaved; whole processes with start-up. "
        f"s_a_model_more is what a model adds, from {few} to {seeds} seeds.",
        f"Roofline: {machine.flops / 1e9:.0f} GFLOP/s and {machine.bytes_s / 1e9:.1f} GB/s on {core}, so on "
        f"{everything} a model takes at least {floor:.3f} s: {flops:.1f} MFLOP and {moved:.2f} MB a step, "
        "see benchmarks/roofline.py. A model whose bytes stay in a cache may be faster than that.",
    ]
    what = "gpu" if on_gpu else name
    command = f"python -m benchmarks.speed {what} --seeds {seeds} --repeats {repeats}"
    command += "".join(
        f" --{flag} '{part}'" for flag, parts in (("only", only), ("once", once)) for part in parts or ()
    )
    report(f"speed_{what}", rows, notes, command)


def _write(path: Path, size: int | None) -> None:
    dataset = data.load("phantom", image_size=size)
    parts = {"train": dataset.train, "val": dataset.val}
    np.savez(path, **{f"{k}_{name}": getattr(part, k) for name, part in parts.items() for k in "xy"})


def _run(
    tool: str,
    name: str,
    arrays: Path,
    configs: list[dict[str, Any]],
    seeds: int,
    size: int,
    folder: Path,
    on_gpu: bool,
) -> tuple[float, float]:
    if tool == OURS:
        run = f"{name}-{time.time_ns()}"
        argv = [sys.executable, "-m", "tune_app", "run", name, "--seeds", str(seeds)]
        argv += ["--image-size", str(size), "--name", run]
        wall, _ = _timed(argv, folder)
        frame = pd.read_csv(folder / "runs" / run / "results.csv")
        return wall, float(frame["val_accuracy_mean"].mean())
    module, variant = PEERS[tool]
    argv = [sys.executable, "-m", f"benchmarks.peers.{module}", str(arrays), "--seeds", str(seeds)]
    argv += ["--configs", json.dumps(configs), *(["--variant", variant] if variant else [])]
    argv += ["--gpus", str(1 / GPU_TRIALS)] if on_gpu else []
    wall, out = _timed(argv, folder)
    last = json.loads(out.strip().splitlines()[-1])
    if last["models"] != seeds * len(configs):
        raise RuntimeError(f"{tool} trained {last['models']} models, not {seeds * len(configs)}")
    return wall, float(last["val_accuracy"])


def _timed(argv: list[str], folder: Path) -> tuple[float, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    # No warm Ray but that of ``warm``.
    environment |= {"RAY_ADDRESS": "local", "XDG_STATE_HOME": str(folder / "state")}
    begin = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[:4])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return wall, done.stdout


NOOP = """
def task(config, context):
    for epoch in range(context.epochs):
        yield {"val_accuracy": float(config["level"])}
"""

NOOP_RAY = """
import sys
from ray import tune

def trainable(config):
    tune.report({"val_accuracy": float(config["level"])})

tuner = tune.Tuner(
    tune.with_resources(trainable, {"cpu": 1}),
    param_space={"level": tune.grid_search(list(range(int(sys.argv[1]))))},
)
print(len(tuner.fit()))
"""


def startup(repeats: int) -> None:
    """No-op trials: what is left when nothing is trained."""
    walls: dict[str, list[float]] = {"plain Ray Tune, 20 trials": [], "tune-app, 20 trials": []}
    rates: list[float] = []
    firsts: dict[str, list[float]] = {"class-Trainable script": [], "tune-app run grid": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "noop.py").write_text(NOOP)
        (folder / "noop_ray.py").write_text(NOOP_RAY)

        def ours(trials: int) -> tuple[float, Path]:
            levels = ", ".join(map(str, range(trials)))
            text = f"task: 'noop:task'\nspace: {{level: {{grid: [{levels}]}}}}\nepochs: 1\nseeds: 1\n"
            (folder / "noop.yaml").write_text(text)
            run = f"noop-{time.time_ns()}"
            argv = [sys.executable, "-m", "tune_app", "run", "noop.yaml", "--name", run]
            return _timed(argv, folder)[0], folder / "runs" / run / "record.jsonl"

        arrays = folder / "arrays.npz"
        _write(arrays, None)
        for _ in range(repeats):
            for tool, first in firsts.items():
                first.append(_first_result(tool, arrays, folder))
            wall, _ = _timed([sys.executable, "noop_ray.py", "20"], folder)
            walls["plain Ray Tune, 20 trials"].append(wall)
            walls["tune-app, 20 trials"].append(ours(20)[0])
            rates.append(_trials_a_second(ours(500)[1]))
    medians = {name: statistics.median(each) for name, each in walls.items()}
    plain, own = medians.values()
    rows = [{"what": f"{name}: seconds", "value": round(wall, 1)} for name, wall in medians.items()]
    rows.append({"what": "tune-app as a share of plain Ray Tune", "value": f"{own / plain:.0%}"})
    rows.append(
        {
            "what": "tune-app, 500 trials: trials a second, after the first",
            "value": round(statistics.median(rates), 1),
        }
    )
    bare, grid = (statistics.median(each) for each in firsts.values())
    rows += [
        {"what": "class-Trainable script, first result: seconds", "value": round(bare, 1)},
        {"what": "tune-app run grid, first result: seconds", "value": round(grid, 1)},
        {"what": "tune-app as a multiple of the script", "value": round(grid / bare, 2)},
    ]
    notes = [
        f"Median of {repeats}, interleaved; whole processes with start-up; a no-op trial does nothing, once.",
        "First result: from the start of the process to the first epoch that is reported; the script trains "
        "the same grid and images, one model a trial (benchmarks/peers/ray_reuse.py).",
    ]
    report("speed_startup", rows, notes, f"python -m benchmarks.speed startup --repeats {repeats}")


def warm(repeats: int, seeds: int) -> None:
    """Runs on a warm Ray, and runs that start a Ray of their own."""
    grid = ["grid", "--image-size", "28", "--seeds", str(seeds)]
    levels = ", ".join(map(str, range(20)))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "noop.py").write_text(NOOP)
        text = f"task: 'noop:task'\nspace: {{level: {{grid: [{levels}]}}}}\nepochs: 1\nseeds: 1\n"
        (folder / "noop.yaml").write_text(text)
        tool = [sys.executable, "-m", "tune_app"]
        found: list[dict[str, Any]] = []

        def run(work: str, space: list[str], address: str) -> None:
            run, begin = f"run-{time.time_ns()}", time.time()
            argv = [*tool, "run", *space, "--name", run, "--address", address]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall, _ = _timed(argv, folder)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            lines = (folder / "runs" / run / "record.jsonl").read_text().splitlines()
            first: dict[str, float] = {}
            for event in map(json.loads, lines):
                first.setdefault(event["event"], event["t"] - begin)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found.append({"run": work, "ray": "its own" if address == "local" else "warm"})
            found[-1] |= {"created_s": first["created"], "first_epoch_s": first["epoch"], "whole_s": wall}
            found[-1] |= {"driver_cpu_s": used}
            print(f"  {found[-1]}", file=sys.stderr, flush=True)

        try:
            up, _ = _timed([*tool, "up"], folder)
            run("first", ["noop.yaml"], "local")  # it compiles modules, and is left out
            for _ in range(repeats):
                for work, space in (
                    (f"grid, {seeds} seeds, 28x28", grid),
                    ("20 no-op trials", ["noop.yaml"]),
                ):
                    for address in ("local", "warm"):
                        run(work, space, address)
                        time.sleep(8)  # new workers load torch
        finally:
            _timed([*tool, "down", "--force"], folder)
    table = pd.DataFrame(found[1:]).groupby(["run", "ray"], sort=False).median().round(2).reset_index()
    notes = [
        f"Median of {repeats}, interleaved; seconds from the start of the process to the run's creation, to "
        "its first epoch and to its end, with report. driver_cpu_s is of the process and of those it starts.",
        f"tune-app up took {up:.1f} s.",
    ]
    command = f"python -m benchmarks.speed warm --seeds {seeds} --repeats {repeats}"
    report("speed_warm", [dict(row) for _, row in table.iterrows()], notes, command)


def _first_result(tool: str, arrays: Path, folder: Path) -> float:
    """Seconds from the start of a process to its first result."""
    configs = [{k: c[k] for k in ("lr", "step_size")} for c in spaces.load("grid").planned()]
    begin = time.time()
    if tool == "tune-app run grid":
        run = f"grid-{time.time_ns()}"
        _timed([sys.executable, "-m", "tune_app", "run", "grid", "--name", run], folder)
        events = map(json.loads, (folder / "runs" / run / "record.jsonl").read_text().splitlines())
        return float(next(e["t"] for e in events if e["event"] == "epoch")) - begin
    argv = [sys.executable, "-m", "benchmarks.peers.ray_reuse", str(arrays), "--seeds", "1"]
    _, out = _timed([*argv, "--configs", json.dumps(configs)], folder)
    [said] = [line for line in out.splitlines() if line.startswith("first result at ")]
    return float(said.rsplit(" ", 1)[1]) - begin


def end(repeats: int) -> None:
    """How long users wait: for the first epoch, and after the last trial for the verdict and the report."""
    waits: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for _ in range(repeats + 1):  # the first run also measures whether to stack
            run = f"grid-{time.time_ns()}"
            argv = [sys.executable, "-m", "tune_app", "run", "grid", "--image-size", "28", "--name", run]
            argv += ["--address", "local"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": name}
            begin = time.time()
            said: dict[str, float] = {}
            with subprocess.Popen(
                argv, cwd=name, env=environment, stdout=subprocess.PIPE, text=True
            ) as process:
                for line in process.stdout or ():
                    said.setdefault(line.split(" ")[0], time.time())
            over = time.time()
            if process.returncode:
                raise RuntimeError(f"tune-app run grid ended with {process.returncode}")
            text = (Path(name) / "runs" / run / "record.jsonl").read_text()
            times = [(e["event"], e["t"]) for e in map(json.loads, text.splitlines())]
            last = max(t for event, t in times if event == "finished")
            found = {
                "start of the process to the first epoch": min(t for e, t in times if e == "epoch") - begin,
                "last trial to the verdict": said["Chosen"] - last,
                "last trial to the report": said["Report:"] - last,
                "last trial to the end of the process": over - last,
            }
            for what, wait in found.items():
                waits.setdefault(what, []).append(wait)
    first = waits["start of the process to the first epoch"][0]
    rows = [{"what": "the same of the very first run, which measures", "seconds": round(first, 2)}]
    medians = {what: statistics.median(each[1:]) for what, each in waits.items()}
    rows = [{"what": what, "seconds": round(wait, 2)} for what, wait in medians.items()] + rows
    notes = [
        f"`tune-app run grid --image-size 28` with a Ray of its own; median of {repeats} after a first run."
    ]
    report("speed_end", rows, notes, f"python -m benchmarks.speed end --repeats {repeats}")


MANY = """
task: pneumonia
space: {lr: {loguniform: [1e-6, 1e-3]}, step_size: {randint: [1, 12]}}
fixed: {gamma: 0.4, batch_size: 128, loss: bce}
search: {algorithm: random, samples: 1000}
epochs: 5
seeds: 1
"""
#: Configurations that plain Ray Tune trains; it takes a second for each.
FEW = 60


def many(repeats: int) -> None:
    """Models a second where there are many short trials."""
    models: dict[str, list[float]] = {OURS: [], "plain Ray Tune (function)": []}
    by_hand = "loops by hand, index batches, fused Adam"
    models[by_hand] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        arrays = folder / "arrays.npz"
        _write(arrays, 28)
        (folder / "many.yaml").write_text(MANY)
        for _ in range(repeats):
            run = f"many-{time.time_ns()}"
            argv = [sys.executable, "-m", "tune_app", "run", "many.yaml", "--image-size", "28", "--name", run]
            wall, _ = _timed(argv, folder)
            drawn = pd.read_csv(folder / "runs" / run / "results.csv")
            models[OURS].append(len(drawn) / wall)
            configs = drawn[["lr", "step_size"]].to_dict("records")
            for tool, count in (("plain Ray Tune (function)", FEW), (by_hand, len(configs))):
                module, variant = PEERS[tool]
                argv = [sys.executable, "-m", f"benchmarks.peers.{module}", str(arrays), "--seeds", "1"]
                argv += ["--epochs", "5", "--configs", json.dumps(configs[:count])]
                wall, _ = _timed([*argv, *(["--variant", variant] if variant else [])], folder)
                models[tool].append(count / wall)
    medians = {tool: statistics.median(each) for tool, each in models.items()}
    rows = [
        {"tool": tool, "models_a_s": round(rate, 2), "of_ours": f"{rate / medians[OURS]:.1%}"}
        for tool, rate in medians.items()
    ]
    notes = [
        f"1,000 random configurations, 1 seed, 5 epochs at 28x28 on phantom images; plain Ray Tune trains "
        f"{FEW} of them. Median of {repeats}, interleaved; whole processes with start-up.",
    ]
    report("speed_many", rows, notes, f"python -m benchmarks.speed many --repeats {repeats}")


def _trials_a_second(record: Path) -> float:
    """From the end of the first trial to the end of the last."""
    ends = [e["t"] for e in map(json.loads, record.read_text().splitlines()) if e["event"] == "finished"]
    return float((len(ends) - 1) / (ends[-1] - ends[0]))


def report(name: str, rows: list[dict[str, Any]], notes: list[str], command: str) -> None:
    table = pd.DataFrame(rows)
    versions = ", ".join(f"{k} {v}" for k, v in provenance.versions().items())
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    about = [
        *notes,
        f"{machine}, Python {platform.python_version()}, {versions}; {when}",
        f"Command: `{command}`",
    ]
    lines = ["| " + " | ".join(table.columns) + " |", "| " + " | ".join("---" for _ in table.columns) + " |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    text = (
        f"# {name.replace('_', ' ')}\n\n"
        + "\n".join(lines)
        + "\n\n"
        + "\n".join(f"- {each}" for each in about)
        + "\n"
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
