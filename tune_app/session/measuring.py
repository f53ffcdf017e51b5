"""Measurements before a sweep: stacking of replicates, sharing of GPUs, the time of an epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from tune_app import progress
from tune_app.driver.resources import Estimate, Plan, plan
from tune_app.driver.trial_queue import parts as most_parts
from tune_app.engines.choice import Engine
from tune_app.session.request import LoadedTask, Request
from tune_app.space import canonical
from tune_app.sweep import Sweep
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task
from tune_app.training import stacking_benchmark
from tune_app.training.stacking_benchmark import Benchmark, Choice


@contextmanager
def stacking(
    request: Request, loaded: LoadedTask, fixed: Numerics | None = None
) -> Iterator[Callable[[Plan], Choice]]:
    """Yields a function that says, for the plan of an engine, whether replicates are stacked or looped.

    On this machine the measurement runs while Ray starts. Nothing is measured where the numerics are
    ``fixed``, as those of an existing run are.
    """
    threads = max(1, int(request.space.resources.cpus_per_trial or 1))
    if fixed:
        yield lambda planned: Choice(fixed.replicates, "as before")
    elif request.address == "local" and isinstance(
        benchmark := _benchmark(request, loaded, threads, "any"), Benchmark
    ):
        with stacking_benchmark.run_beside(benchmark) as wait:
            yield lambda planned: _waited(wait)
    else:
        yield partial(_measured, request, loaded)


def _waited(wait: Callable[[], Choice]) -> Choice:
    with progress.waiting("measuring whether to stack replicates"):
        return wait()


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
    parts = most_parts(space)
    planned = plan(space.resources, os.cpu_count() or 1, gpus, space.size(), parts)
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
    at_a_time = min(planned.concurrent, space.size() * (parts if choice.replicates == "looped" else 1))
    sizes = [len(file) // len(replicates) for file in files]
    return Estimate(epoch_s, at_a_time, sizes[0], sizes[1], choice.line)
