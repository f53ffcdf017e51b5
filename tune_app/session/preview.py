"""Before training: what is measured, and what the commands print of the sweep to come."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tune_app import progress
from tune_app.data.identity import DataIdentity
from tune_app.driver import resources
from tune_app.driver.resources import Plan
from tune_app.driver.trial_queue import parts
from tune_app.engines.choice import Engine
from tune_app.session import known_choices
from tune_app.session.request import LoadedTask, Request
from tune_app.space import SearchSpace, canonical
from tune_app.stopping import bracket_of, stages
from tune_app.sweep import Sweep
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task
from tune_app.text import counted, duration, size
from tune_app.training import stacking_benchmark
from tune_app.training.stacking_benchmark import Benchmark, Choice


@contextmanager
def stacking(
    request: Request, loaded: LoadedTask, fixed: Numerics | None = None
) -> Iterator[Callable[[Plan], Choice]]:
    """Yields a function that says, for the plan of an engine, whether replicates are stacked or looped.

    On this machine the answer may be known from an earlier run; else it is measured while Ray starts.
    Nothing is measured where the numerics are ``fixed``, as those of an existing run are.
    """
    threads = max(1, int(request.space.resources.cpus_per_trial or 1))
    if fixed:
        yield lambda planned: Choice(fixed.replicates, "as before")
    elif request.address in ("local", "warm") and isinstance(
        benchmark := _benchmark(request, loaded, threads, "any"), Benchmark
    ):
        path = known_choices.path_of(benchmark, loaded.identity.fingerprint)
        if known := known_choices.read(path):
            yield lambda planned: known
        elif request.address == "warm":
            yield lambda planned: _kept(path, _measured(request, loaded, planned))
        else:
            with stacking_benchmark.run_beside(benchmark) as wait:
                yield lambda planned: _kept(path, _waited(wait))
    else:
        yield partial(_measured, request, loaded)


def _waited(wait: Callable[[], Choice]) -> Choice:
    with progress.waiting("measuring whether to stack replicates"):
        return wait()


def _kept(path: Path | None, choice: Choice) -> Choice:
    known_choices.write(path, choice)
    return choice


def _measured(request: Request, loaded: LoadedTask, planned: Plan) -> Choice:
    """Measured where the trials will run: in this process, or in a worker of a cluster."""
    device = "cuda" if planned.gpus_per_trial else "cpu"
    benchmark = _benchmark(request, loaded, planned.threads, device)
    if isinstance(benchmark, Choice):
        return benchmark
    if request.address == "inline":
        return stacking_benchmark.run(benchmark)
    from tune_app.engines.ray import tune_engine

    return _waited(partial(tune_engine.benchmark_stacking, benchmark, planned))


def _benchmark(request: Request, loaded: LoadedTask, threads: int, device: str) -> Benchmark | Choice:
    space = request.space
    device = "cpu" if space.resources.gpus_per_trial == 0 else device
    return stacking_benchmark.prepare(space, loaded.task, loaded.splits, threads, device)


def gpu_sharing(engine: Engine, sweep: Sweep) -> tuple[Engine, dict[str, Any] | None]:
    """The engine with as many trials on a GPU as train fastest; and the measurement as it is recorded."""
    if not engine.measure_sharing:
        return engine, None
    spec = TrialSpec.example(sweep.space, range(sweep.space.seeds), sweep.numerics)
    engine, sharing = engine.measure_sharing(spec)
    progress.note(sharing.line)
    return engine, asdict(sharing)


@dataclass(frozen=True)
class Estimate:
    """What a trial costs here: seconds for one epoch of one replicate, measured, and bytes on disk.

    ``state_bytes`` is a replicate's checkpoint, 0 where there is none, and ``weights_bytes`` its weights;
    ``at_a_time`` is how many trials would run at a time. ``replicates`` says how those of a trial would be
    trained, and why.
    """

    epoch_s: float
    at_a_time: int
    state_bytes: int
    weights_bytes: int
    replicates: str = ""


def estimate(request: Request, loaded: LoadedTask) -> Estimate:
    """Train one epoch of one replicate in this process, to estimate the time and disk space of the sweep.

    Raises:
        ResourceError: the resources that are asked for can never be met.
        TaskError: the task raised.
    """
    import torch

    from tune_app.training import checkpoint
    from tune_app.training.trial import Trial, Worker

    space, gpus = request.space, torch.cuda.device_count()
    planned = resources.plan(space.resources, os.cpu_count() or 1, gpus, space.size(), parts(space))
    device = "cuda" if planned.gpus_per_trial else "cpu"
    choice = _measured(replace(request, address="inline"), loaded, planned)
    replicates = tuple(range(space.seeds)) if choice.replicates == "stacked" else (0,)
    numerics = Numerics(choice.replicates, planned.threads, space.precision)
    spec = TrialSpec.example(space, replicates, numerics)
    with (
        task.calling(space.task, f"one epoch of {canonical(spec.config)}"),
        closing(Trial(spec, Worker(loaded.splits, device))) as trial,
    ):
        epoch_s = sum(trial.step().durations_s) / len(replicates)
        files = [checkpoint.serialize(content) if content else b"" for content in trial.contents()]
    at_a_time = min(planned.concurrent, space.size() * (parts(space) if choice.replicates == "looped" else 1))
    sizes = [len(file) // len(replicates) for file in files]
    return Estimate(epoch_s, at_a_time, sizes[0], sizes[1], choice.line)


def headline(space: SearchSpace, data: DataIdentity) -> str:
    """What is about to be trained, on which data."""
    amount = " × ".join(
        (counted(space.size(), "configuration"), counted(space.seeds, "seed"), counted(space.epochs, "epoch"))
    )
    lines = [f"{space.name}: {amount}", f"data {data.label()}"]
    return "\n".join([*lines, *(f"  note: {note}" for note in data.notes)])


def plan(space: SearchSpace, estimate: Estimate) -> str:
    """What ``check`` adds: the amount of work, the rungs of early stopping, estimates of time and disk."""
    everything = space.size() * space.seeds * space.epochs
    waiting = bool(space.stop.waiting_rungs(space.epochs))
    work = space.seeds * _epochs(space, estimate) if waiting else everything
    share = f" of {everything:,} without early stopping ({work / everything:.0%})" * (work != everything)
    lines = [
        f"trials: {space.size():,}   replicates: {space.size() * space.seeds:,}   "
        f"epochs in all: {work:,}{share}",
        f"metric: {', '.join(f'{m.name} ({m.mode})' for m in space.metrics)}, at the {space.evaluate} epoch",
        *([f"chosen by: {space.chosen_by(space.metric.name)}"] if space.choosing_epochs else []),
    ]
    stopping = list(_stopping(space))
    window = (space.stop.window or 1) if waiting else 1
    if stopping and (len(space.metrics) > 1 or space.stop.by or window > 1):
        smoothed = f" (mean of the last {window} epochs)" if window > 1 else ""
        lines.append(f"early stopping uses {space.stop_metric.name}{smoothed}")
    lines += stopping or ["early stopping: none, every trial runs to the end"]
    most = "at most " if stopping and work == everything else "about "
    lines.append(
        f"estimate: {most}{duration(work * estimate.epoch_s / estimate.at_a_time)} (one epoch of one "
        f"replicate took {estimate.epoch_s:.3g} s here; {counted(estimate.at_a_time, 'trial')} at a time)"
    )
    if estimate.replicates:
        lines.append(f"replicates: {estimate.replicates}")
    if space.resources.gpus_per_trial == "auto":
        lines.append("GPUs: the sweep measures at its start how many trials share one")
    lines.append(f"disk: {_disk(space, estimate)}")
    return "\n".join(lines)


def _stopping(space: SearchSpace) -> Iterator[str]:
    """When early stopping decides: one line for each bracket and one for patience."""
    wanted = space.stop
    match wanted.scheduler:
        case "asha" if wanted.promotes:
            yield f"early stopping: asha, promotion; trials wait after {_waiting(space)}"
        case "asha":
            [rungs] = wanted.rungs_by_bracket(space.epochs)
            yield f"early stopping: asha; decisions after {_rungs(space, rungs, space.size())}"
        case "halving":
            tied = ", and what is tied with the last of them" if wanted.ties else ""
            yield f"early stopping: halving; decides when all have trained {_waiting(space)}{tied}"
        case "hyperband":
            brackets = wanted.rungs_by_bracket(space.epochs)
            samples = range(1, space.size() + 1)
            sizes = Counter(bracket_of(space.seed, sample, len(brackets)) for sample in samples)
            yield f"early stopping: hyperband, {counted(len(brackets), 'bracket')}"
            for number, rungs in enumerate(brackets, start=1):
                decisions = (
                    f": decisions after {_rungs(space, rungs, sizes[number])}" if sizes[number] else ""
                )
                yield f"  bracket {number}, {counted(sizes[number], 'configuration')}{decisions}"
        case "median":
            others = counted(wanted.min_samples_required, "other")
            when = f"each epoch from {wanted.grace_period} on, once {others} have reached it"
            yield f"early stopping: median; decisions after {when}"
    if wanted.patience is not None:
        beyond = f" of more than {wanted.min_delta:g}" if wanted.min_delta else ""
        when = f"{counted(wanted.patience, 'epoch')} without an improvement{beyond}"
        earliest = wanted.grace_period + wanted.patience
        yield f"early stopping: patience; ends a replicate after {when}, from epoch {earliest} on"


def _stages(space: SearchSpace) -> list[int]:
    """How many configurations train, from the start and from each rung at which they wait."""
    return [space.size(), *stages(space, space.size())]


def _waiting(space: SearchSpace) -> str:
    """``epoch 1 (3 continue), epoch 3 (1 continues)``."""
    rungs, (_, *kept) = space.stop.waiting_rungs(space.epochs), _stages(space)
    return ", ".join(f"epoch {rung} ({left:,} continue)" for rung, left in zip(rungs, kept, strict=True))


def _epochs(space: SearchSpace, estimate: Estimate) -> int:
    """Epochs where configurations wait at rungs; without checkpoints, what continues starts again."""
    rungs, sizes = space.stop.waiting_rungs(space.epochs), _stages(space)
    starts = [0, *rungs] if estimate.state_bytes else [0] * len(sizes)
    return sum(
        size * (end - start) for size, start, end in zip(sizes, starts, [*rungs, space.epochs], strict=True)
    )


def _rungs(space: SearchSpace, rungs: Sequence[int], size: int) -> str:
    """``epoch 1 (about 3 continue), epoch 3 (about 1 continue)``."""
    left = float(size)
    steps = []
    for rung in rungs:
        left = min(left, max(1.0, left / space.stop.reduction_factor))
        steps.append(f"epoch {rung} (about {left:.0f} continue)")
    return ", ".join(steps)


def _disk(space: SearchSpace, estimate: Estimate) -> str:
    """The disk space of checkpoints: those of running trials, and those that finished trials keep."""
    if not estimate.state_bytes:
        return "no checkpoints: a function task has no state, so an interrupted trial restarts from epoch 1"
    replicates = space.size() * space.seeds
    running = estimate.state_bytes * space.seeds * estimate.at_a_time
    kept = {
        "none": "none is kept",
        "best": f"{size(estimate.weights_bytes * space.seeds)} are kept: the best configuration's weights",
        "last": f"{size(estimate.state_bytes * replicates)} are kept: each trial's last state",
    }
    return f"up to {size(running)} of checkpoints during training; {kept[space.keep]} (keep: {space.keep})"
