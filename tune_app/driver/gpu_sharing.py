"""How many trials share a GPU (``gpus_per_trial: auto``): measured on one GPU with the sweep's own epochs.

Processes are added while all of them together train clearly faster and the GPU's memory holds them.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from tune_app.errors import describe
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.task import Labelled, Splits
from tune_app.text import counted
from tune_app.training.stacking_benchmark import start

_PARTS = ("train", "val", "test")
#: Twice as many must train faster by this factor, or they only wait for each other.
_CLEARLY = 1.15
#: The share of a GPU's memory that trials may fill: the rest is for what grows while they train.
_FILLED = 0.9
_MOST = 16
#: Seconds for which each number of processes is measured, and for which one is waited for at most.
_WINDOW_S = 2.0
_PATIENCE_S = 180.0


@dataclass(frozen=True)
class Throughput:
    """A measurement with this number of ``trials`` at a time.

    Together they trained ``per_second`` epochs a second, each of all its replicates. ``used_bytes`` of the
    GPU's ``total_bytes`` of memory were in use; both are 0 on a CPU.
    """

    trials: int
    per_second: float
    used_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class Sharing:
    """How many trials share a GPU, and why; ``measured`` is empty where a rule decided."""

    trials: int
    why: str
    measured: tuple[Throughput, ...] = ()

    @property
    def line(self) -> str:
        """``4 trials a GPU: 8 at a time train 1.02 times as fast``."""
        return f"{counted(self.trials, 'trial')} per GPU: {self.why}"


class ProcessFailed(Exception):
    """A process could not train."""


def share(measure: Callable[[int], Throughput], most: int) -> Sharing:
    """Double the number of trials until that brings nothing, or there are ``most``.

    ``measure`` trains a number of trials at a time for a while, or raises ``ProcessFailed``.
    """
    most = max(1, min(most, _MOST))
    measured: list[Throughput] = []
    for trials in [*(2**power for power in range(4) if 2**power < most), most]:
        last = measured[-1] if measured else None
        if last and (why := _beyond_memory(last, trials)):
            return Sharing(last.trials, why, tuple(measured))
        try:
            measured.append(measure(trials))
        except ProcessFailed as failed:
            if not last:
                return Sharing(1, f"measuring failed: {failed}")
            return Sharing(last.trials, f"{trials} at a time failed: {failed}", tuple(measured))
        faster = measured[-1].per_second / last.per_second if last else _CLEARLY
        if last and faster < _CLEARLY:
            why = f"{trials} at a time train {faster:.2f} times as fast"
            return Sharing(last.trials, why, tuple(measured))
    if most == 1:
        return Sharing(1, "there is room for 1 at a time", tuple(measured))
    faster = measured[-1].per_second / measured[0].per_second
    return Sharing(most, f"they train {faster:.2g} times as fast as one", tuple(measured))


def _beyond_memory(last: Throughput, trials: int) -> str:
    """Why this many trials do not fit, by what the last ones used; empty if they do."""
    needed = last.used_bytes / last.trials * trials
    if not last.total_bytes or needed <= _FILLED * last.total_bytes:
        return ""
    return f"{trials} would need {needed / 2**30:.1f} of its {last.total_bytes / 2**30:.1f} GiB"


# ---------------------------------------------------------------- for real


def measure(spec: TrialSpec, splits: Splits, most: int) -> Sharing:
    """Measure on the GPU that this process was given, with ``most`` trials at a time at most."""
    with tempfile.TemporaryDirectory(prefix="tune-app-sharing-") as name, ExitStack() as stack:
        folder, processes = Path(name), list[subprocess.Popen[str]]()
        (folder / "spec").write_bytes(pickle.dumps(spec))
        for part in _PARTS:  # each process maps the files into its memory, instead of a copy of its own
            np.save(folder / f"{part}_x.npy", getattr(splits, part).x)
            np.save(folder / f"{part}_y.npy", getattr(splits, part).y)

        def together(trials: int) -> Throughput:
            new = [_start(folder, stack) for _ in range(len(processes), trials)]
            processes.extend(new)
            for process in new:
                _answer(process)  # it is ready to train
            for process in processes:
                print(_WINDOW_S, file=process.stdin, flush=True)
            found = [_answer(process) for process in processes]
            per_second = sum(each["epochs"] / each["seconds"] for each in found)
            return Throughput(trials, per_second, max(each["used"] for each in found), found[0]["total"])

        return share(together, most)


def _start(folder: Path, stack: ExitStack) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    streams = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL}
    process = start("tune_app.driver.gpu_sharing", str(folder), text=True, **streams)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    late = threading.Timer(_PATIENCE_S, process.kill)
    late.start()
    line = cast("IO[str]", process.stdout).readline()  # a pipe, by `_start`
    late.cancel()
    if not line:
        raise ProcessFailed(f"its process ended with code {process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    if "failed" in answer:
        raise ProcessFailed(answer["failed"])
    return answer


def main(folder: Path) -> None:
    """Worker process: for each number of seconds read from stdin, train that long and print a line of JSON.

    The line has the epochs trained, the seconds that they took, and the GPU's used and total memory in bytes.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the user's task prints
    try:
        for answer in _train(folder):
            print(json.dumps(answer), file=answers, flush=True)
    except Exception as error:  # noqa: BLE001 - of the user's task, or memory
        print(json.dumps({"failed": describe(error)}), file=answers, flush=True)


def _train(folder: Path) -> Iterator[dict[str, Any]]:
    import torch

    from tune_app.training.trial import Trial, Worker

    spec: TrialSpec = pickle.loads((folder / "spec").read_bytes())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    splits = Splits(*(Labelled(arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in _PARTS))
    worker = Worker(splits, device)
    trial = Trial(spec, worker)
    trial.step()
    yield {}
    for line in sys.stdin:
        began, epochs = time.perf_counter(), 0
        while time.perf_counter() < began + float(line):
            if trial.step().done:
                trial = Trial(spec, worker)
            epochs += 1
        seconds = time.perf_counter() - began
        free, total = torch.cuda.mem_get_info() if device == "cuda" else (0, 0)
        yield {"epochs": epochs, "seconds": seconds, "used": total - free, "total": total}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
