"""Looped or stacked: measured on a few batches before a sweep begins, and the same for all of its trials.

Where a rule decides, nothing is measured, and torch is not loaded. On this machine a process of its own
measures while Ray starts; on a cluster a worker does.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_app.errors import describe
from tune_app.space import SearchSpace
from tune_app.sweep.events import Numerics
from tune_app.sweep.opened_folder import write_atomically
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task as tasks
from tune_app.tasks import task_folder
from tune_app.tasks.isolation import gpus_possible, set_numerics
from tune_app.tasks.task import FunctionTask, Splits, Task

if TYPE_CHECKING:
    from tune_app.training.device_data import DeviceSplits
    from tune_app.training.task_replicates import Looped, Stacked

#: Numbers in an input, above which replicates are looped on a CPU without measuring: 48 x 48 pixels. Above
#: that, one model keeps a core busy. The paper's, stacked, was measured to be 1.2 to 1.7 times as fast at
#: 28 x 28, 0.9 to 1.2 at 64 x 64 and 0.9 at 256 x 256; a small CNN 0.8 at 28 x 28.
LARGEST_ON_CPU = 48 * 48
#: Batches of all replicates together, below which they are looped: measuring would take about as long.
FEWEST_BATCHES = 2000
#: The reason where nothing was to be found out.
AS_ASKED = "as asked"
_FAILED = "measuring failed"
#: Batches in an epoch that is measured.
_BATCHES = 4
#: How often each way is measured, and the seconds after which measuring stops.
_ROUNDS = 8
_BUDGET_S = 1.0
#: Stacking must take less than this share of the time, so that equal sweeps get equal choices:
#: at 28 x 28 the paper's model is 1.1 times as fast with 3 seeds and 1.3 times with 5, and this lies between.
_CLEARLY = 0.83
#: Seconds to wait for the process that measures; then the replicates are looped.
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Choice:
    """How the replicates of a sweep are trained, and why."""

    replicates: str
    why: str
    #: Seconds that a replicate took for the batches of the measuring; None where nothing was measured.
    looped_s: float | None = None
    stacked_s: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it was not measured because measuring failed."""
        return self.why.startswith(_FAILED)

    @property
    def line(self) -> str:
        """The choice in a line: ``looped: Dropout 3 draws random numbers``."""
        return f"{self.replicates}: {self.why}"


_TOO_LARGE = Choice("looped", f"inputs of more than {LARGEST_ON_CPU:,} numbers, on a CPU")


@dataclass(frozen=True)
class Benchmark:
    """What is to be measured: an example of the sweep's trials, on some of its inputs.

    ``replicates`` is ``auto``, or ``stacked`` to find out only whether they can be stacked. ``device`` is
    ``cpu``, ``cuda``, or ``any`` for a GPU if there is one.
    """

    spec: TrialSpec
    splits: Splits
    replicates: str
    device: str

    @property
    def too_large(self) -> bool:
        """Whether the replicates are looped without measuring: see ``LARGEST_ON_CPU``."""
        size = math.prod(self.splits.train.x.shape[1:])
        return self.replicates == "auto" and self.device == "cpu" and size > LARGEST_ON_CPU


def prepare(
    space: SearchSpace, task: Task | FunctionTask, splits: Splits | None, threads: int, device: str
) -> Benchmark | Choice:
    """What is to be measured for a sweep, or the choice where there is nothing to measure."""
    if not isinstance(task, Task) or splits is None:
        return Choice("looped", "a function trains its replicates itself")
    if space.replicates == "looped":
        return Choice("looped", AS_ASKED)
    if space.seeds == 1 and space.replicates == "auto":
        return Choice("looped", "each configuration has one seed")
    if device == "any" and not gpus_possible():
        device = "cpu"
    spec = TrialSpec.example(space, range(space.seeds), Numerics(threads=threads, precision=space.precision))
    if (benchmark := Benchmark(spec, splits, space.replicates, device)).too_large:
        return _TOO_LARGE
    try:
        with tasks.code(space.task):
            batch_size = task.batch_sizes(tasks.copied(spec.config))[0]
        batches = math.ceil(len(splits.train.y) / batch_size)
    except Exception as error:  # noqa: BLE001 - of the user's task; its trials will raise it too
        return Choice("looped", f"{_FAILED}: {describe(error)}")
    if space.replicates == "auto" and space.size() * space.seeds * space.epochs * batches < FEWEST_BATCHES:
        return Choice("looped", f"fewer than {FEWEST_BATCHES:,} batches in all, too few to measure first")
    count = _BATCHES * batch_size
    of_validation = math.ceil(len(splits.val.y) * min(1.0, count / len(splits.train.y)))
    few = Splits(splits.train[:count], splits.val[:of_validation], splits.test[:1])
    return replace(benchmark, splits=few)


def run(benchmark: Benchmark) -> Choice:
    """Measure, in this process."""
    import torch

    if benchmark.device != "cpu":  # one that Ray has given, and torch does not see, is of no use
        benchmark = replace(benchmark, device="cuda" if torch.cuda.is_available() else "cpu")
    if benchmark.too_large:
        return _TOO_LARGE
    try:
        return _run(benchmark)
    except Exception as error:  # noqa: BLE001 - of the user's task, or memory
        return failed(benchmark, describe(error))


def _run(benchmark: Benchmark) -> Choice:
    from tune_app.training.device_data import DeviceSplits
    from tune_app.training.stacking_check import why_not_stackable

    settings = benchmark.spec.settings
    task = tasks.load(settings.task)
    if not isinstance(task, Task):
        raise TypeError("a function task is not measured")
    data = DeviceSplits.load(benchmark.splits, benchmark.device)
    numerics = partial(set_numerics, settings.numerics.threads, settings.numerics.precision)
    with tasks.code(settings.task, with_torch=numerics):
        fault = why_not_stackable(benchmark.spec, task, data)
        if benchmark.replicates == "stacked":
            why = f"where possible; the first configuration is looped: {fault}" if fault else AS_ASKED
            return Choice("stacked", why)
        return Choice("looped", fault) if fault else _compare(task, benchmark, data)


def _compare(task: Task, benchmark: Benchmark, data: DeviceSplits) -> Choice:
    from tune_app.training.task_replicates import Looped, Stacked

    spec, on_cpu = benchmark.spec, benchmark.device == "cpu"
    count = len(spec.replicates)

    def make(kind: type[Looped] | type[Stacked], count: int) -> Looped | Stacked:
        return kind(spec.only(spec.replicates[:count]), task, data)

    # Of one thread, the processor's time: whatever else runs on this machine has no part in it.
    one_thread = on_cpu and spec.settings.numerics.threads == 1
    clock = time.process_time if one_thread else time.perf_counter
    single = make(Looped, 1)
    _step_s(single, clock)  # the first step of a process loads what later ones find there
    one_s = _step_s(single, clock)
    if on_cpu:  # what has taken long is not done as often
        count = max(2, min(count, int(_BUDGET_S / one_s)))
    groups = {"looped": make(Looped, min(count, 3)), "stacked": make(Stacked, count)}
    for group in groups.values():
        _step_s(group, clock)
    least = dict.fromkeys(groups, math.inf)
    until = time.perf_counter() + _BUDGET_S
    for done in range(_ROUNDS):
        if done and time.perf_counter() > until:
            break
        for name, group in groups.items():
            least[name] = min(least[name], _step_s(group, clock) / len(group.all))
            if any(each.diverged for each in group.all):
                return Choice("looped", "the first configuration diverges, so nothing could be measured")
    looped_s, stacked_s = least["looped"], least["stacked"]
    better = "stacked" if stacked_s < _CLEARLY * looped_s else "looped"
    verb = "are" if better == "stacked" else "would be"
    why = f"{count} at once {verb} {looped_s / stacked_s:.2g} times as fast as one after the other"
    return Choice(better, why, round(looped_s, 6), round(stacked_s, 6))


def _step_s(group: Looped | Stacked, clock: Callable[[], float]) -> float:
    began = clock()
    group.step()
    return clock() - began


@contextmanager
def run_beside(benchmark: Benchmark) -> Iterator[Callable[[], Choice]]:
    """Measure in another process; yields a function that waits for the choice."""
    with tempfile.TemporaryDirectory(prefix="tune-app-measure-") as name:
        folder, quiet = Path(name), subprocess.DEVNULL
        (folder / "benchmark").write_bytes(pickle.dumps(benchmark))
        module = "tune_app.training.stacking_benchmark"
        process = start(module, name, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            yield lambda: _wait(process, folder, benchmark)
        finally:
            process.kill()
            process.wait()


def start(module: str, *arguments: str, **streams: Any) -> subprocess.Popen[Any]:
    """Start a module of tune-app in a process of its own, which finds the modules that this one finds."""
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: not what lies in the working directory
    path = os.pathsep.join(place for place in sys.path if place)
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, cwd=task_folder.current().path, **streams
    )


def _wait(process: subprocess.Popen[Any], folder: Path, benchmark: Benchmark) -> Choice:
    try:
        process.wait(_PATIENCE_S)
        return Choice(**json.loads((folder / "choice").read_text(encoding="utf-8")))
    except subprocess.TimeoutExpired:
        return failed(benchmark, f"it took more than {_PATIENCE_S:g} s")
    except OSError:
        return failed(benchmark, f"its process ended with code {process.returncode}")


def failed(benchmark: Benchmark, reason: str) -> Choice:
    """The choice where measuring has failed; if the task is wrong, the trials raise it too."""
    return Choice("stacked" if benchmark.replicates == "stacked" else "looped", f"{_FAILED}: {reason}")


def main(folder: Path) -> None:
    """Run the benchmark that ``run_beside`` has put into ``folder``."""
    benchmark = pickle.loads((folder / "benchmark").read_bytes())
    write_atomically(folder / "choice", json.dumps(asdict(run(benchmark))).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
