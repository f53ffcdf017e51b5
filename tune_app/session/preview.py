"""What the commands print before training. It loads no module that only results need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tune_app.data.identity import DataIdentity
from tune_app.driver.resources import Estimate
from tune_app.space import SearchSpace
from tune_app.stopping import bracket_of
from tune_app.text import counted, duration, size


def headline(space: SearchSpace, data: DataIdentity) -> str:
    """What is about to be trained, on which data."""
    amount = " × ".join(
        (counted(space.size(), "configuration"), counted(space.seeds, "seed"), counted(space.epochs, "epoch"))
    )
    lines = [f"{space.name}: {amount}", f"data {data.label()}"]
    return "\n".join([*lines, *(f"  note: {note}" for note in data.notes)])


def plan(space: SearchSpace, estimate: Estimate) -> str:
    """What ``check`` adds: the amount of work, the rungs of early stopping, estimates of time and disk."""
    work = space.size() * space.seeds * space.epochs
    lines = [
        f"trials: {space.size():,}   replicates: {space.size() * space.seeds:,}   epochs in all: {work:,}",
        f"metric: {', '.join(f'{m.name} ({m.mode})' for m in space.metrics)}, of the {space.evaluate} epoch",
    ]
    stopping = list(_stopping(space))
    if stopping and len(space.metrics) > 1:
        lines.append(f"early stopping uses {space.stop_metric.name}")
    lines += stopping or ["early stopping: none, every trial runs to the end"]
    most = "at most " if stopping else "about "
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
        case "asha":
            [rungs] = wanted.rungs_by_bracket(space.epochs)
            yield f"early stopping: asha; decisions after {_rungs(space, rungs, space.size())}"
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
