"""How many trials run at a time and with what, from the requested and the existing resources."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tune_app.errors import ResourceError
from tune_app.space import Resources


@dataclass(frozen=True)
class Plan:
    """CPUs and GPUs for each trial, and how many trials run at a time."""

    cpus_per_trial: float
    gpus_per_trial: float
    concurrent: int

    @property
    def threads(self) -> int:
        """Threads for each trial's arithmetic."""
        return max(1, int(self.cpus_per_trial))


def plan(
    asked: Resources, cpus: float, gpus: float, trials: int, parts: int = 1, sharing: int | None = None
) -> Plan:
    """The resources of each trial, on a machine or cluster with these CPUs and GPUs.

    By default a trial has one CPU where there is no GPU. With GPUs it has a whole one, or, where there are
    more trials than GPUs, a half or a quarter; the CPUs are shared among the trials that run at a time.

    The replicates of each of the ``trials`` may be sharded into ``parts``. ``sharing`` is how many trials
    share a GPU at most, where that is measured; None before it is.

    Raises:
        ResourceError: a request that can never be met, and what there is.
    """
    wanted = min(trials, asked.max_concurrent or trials)
    gpus_each = 0.0
    if isinstance(asked.gpus_per_trial, int | float):
        gpus_each = asked.gpus_per_trial
    elif gpus >= 1 and asked.gpus_per_trial == "auto":
        together = max(1, min(sharing or 1, math.ceil(wanted / int(gpus))))
        gpus_each = math.floor(10_000 / together) / 10_000  # as finely as Ray counts
    elif gpus >= 1:
        gpus_each = next((share for share in (1.0, 0.5) if wanted * share <= gpus), 0.25)
    if gpus_each > gpus:
        there = "there is no GPU here" if gpus == 0 else f"there are only {gpus:g} GPUs"
        fix = "Leave it out to train on the CPU." if gpus == 0 else f"Ask for {gpus:g} or fewer."
        raise ResourceError(f"--gpus-per-trial {gpus_each:g}: {there}. {fix}")
    at_a_time = _fit(gpus, gpus_each) if gpus_each else max(1, int(cpus))
    cpus_each = asked.cpus_per_trial
    if cpus_each is None:
        cpus_each = min(1.0, math.floor(cpus / at_a_time * 100) / 100) if gpus_each else 1.0
    if cpus_each > cpus:
        raise ResourceError(
            f"--cpus-per-trial {cpus_each:g}: there are only {cpus:g} CPUs. Ask for {cpus:g} or fewer."
        )
    if cpus_each:
        fitting = int(cpus / cpus_each + 1e-9)  # shares of CPUs need not lie within one core
        at_a_time = min(at_a_time, fitting) if gpus_each else fitting
    at_a_time = min(at_a_time, asked.max_concurrent or at_a_time, max(trials * parts, 1))
    return Plan(cpus_each, gpus_each, max(1, at_a_time))


def _fit(gpus: float, each: float) -> int:
    """How many shares of GPUs fit; a share below 1 lies within one device."""
    if each >= 1:
        return int(gpus // each)
    return int(gpus) * int(1 / each + 1e-9) if gpus >= 1 else int(gpus / each + 1e-9)


def shares(planned: Plan, gpus: int) -> list[float]:
    """The share of a GPU that each trial reserves, so that all ``gpus`` are used evenly; one a slot.

    Ray fills one GPU before it takes the next. Where fewer trials run at a time than would fit, each
    therefore reserves more than it was given, as much as leaves room for the others: of 6 trials on 4 GPUs,
    4 reserve a half and 2 a whole one. It is never less than what was asked for, to the 1/10,000 of a GPU
    that Ray counts.
    """
    each, trials = planned.gpus_per_trial, planned.concurrent
    if not 0 < each < 1 or gpus < 1:
        return [each] * trials
    per_gpu, fuller = divmod(trials, gpus)  # ``fuller`` GPUs have one trial more than the others
    spread = [1 / (per_gpu + 1)] * (fuller * (per_gpu + 1))
    spread += [1 / per_gpu] * ((gpus - fuller) * per_gpu) if per_gpu else []
    each, *spread = (math.floor(share * 10_000 + 1e-6) / 10_000 for share in [each, *spread])
    return spread if min(spread) >= each else [each] * trials


def room(asked: Resources, cpus: float, gpus: float, trials: int) -> int:
    """How many trials could share a GPU, each with a core; 0 where the space does not ask to measure that."""
    if asked.gpus_per_trial != "auto" or gpus < 1:
        return 0
    cores = cpus / int(gpus) / (asked.cpus_per_trial or 1)
    return max(1, min(int(cores), math.ceil(min(trials, asked.max_concurrent or trials) / int(gpus))))
