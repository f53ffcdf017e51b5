"""The engine of a session: this process, Ray on this machine, or a Ray cluster; each runs a driver."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tune_app import progress
from tune_app.driver.driver import Driver
from tune_app.driver.gpu_sharing import Sharing
from tune_app.driver.resources import Plan, plan, room
from tune_app.engines.ray import addresses, ray_session, warm
from tune_app.engines.ray.warm import WarmRay
from tune_app.errors import ResourceError
from tune_app.space import Resources
from tune_app.sweep import Sweep
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import gpus_possible
from tune_app.tasks.task import Splits
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.engines.ray import nodes


_OF_ALL_TRIALS = ["tune_app.engines.ray.trainable", "tune_app.training.trial"]
#: What a worker needs for a task with arrays, torch among it.
MODULES_OF_A_TASK = [
    *_OF_ALL_TRIALS,
    "tune_app.training.task_replicates",
    "tune_app.training.stacking_check",
]


@dataclass(frozen=True)
class Engine:
    """Runs a driver.

    ``where`` names the hardware for people. ``exporting`` serves metrics while the engine runs. Where the
    number of trials on a GPU has to be measured, ``measure_sharing`` measures it with trials of a spec, and
    returns the engine that uses it; None elsewhere.
    """

    plan: Plan
    where: str
    run: Callable[[Driver], None]
    exporting: Callable[[Sweep], AbstractContextManager[object]] = lambda _: nullcontext()
    measure_sharing: Callable[[TrialSpec], tuple[Engine, Sharing]] | None = None

    def line(self, driver: Driver) -> str:
        """Where a sweep is trained, and how many trials at a time."""
        at_a_time = _plan_for(driver, self.plan).concurrent
        stacked = ", replicates stacked" if driver.sweep.numerics.replicates == "stacked" else ""
        return f"{self.where}, {counted(at_a_time, 'trial')} at a time{stacked}"


@contextmanager
def open_engine(
    address: str,
    resources: Resources,
    splits: Splits | None,
    trials: int,
    *,
    size_bytes: int = 0,
    parts: int = 1,
    modules: Path | None = None,
    wait_for_gpus: int = 0,
    wait_s: float = 1800.0,
) -> Iterator[Engine]:
    """The engine at an address, for as long as the context lasts.

    Args:
        address: ``inline``, ``local``, ``warm``, ``auto`` or ``host:port``. Where there is no warm Ray that
            can be used, ``warm`` is ``local``.
        resources: what the space asks for.
        splits: the arrays of ``size_bytes`` that the workers share; None for a function task.
        trials: how many there are to run, whose replicates may be split into ``parts``.
        modules: the folder of the user's own modules, which the workers of a cluster need.
        wait_for_gpus: how many GPUs the cluster must have before the engine opens.
        wait_s: how many seconds to wait for these GPUs.

    Raises:
        ResourceError: Ray does not answer, or it lacks the requested resources.
    """
    inline = address == "inline"
    asked, address = address, "local" if inline else addresses.resolve(address)
    local = address in ("local", "warm")

    def refuse(gpus: float) -> NoReturn:
        raise ResourceError(
            f"--wait-for-gpus {wait_for_gpus} --address {asked}: there are {gpus:g} GPUs here, and only a "
            "cluster can add more. Leave out --wait-for-gpus, or give --address of a cluster."
        )

    if wait_for_gpus and local and (inline or not gpus_possible()):
        refuse(0)
    if inline:
        from tune_app.engines import inline as here

        one = resources.model_copy(update={"max_concurrent": 1})
        planned = plan(one, os.cpu_count() or 1, 0, trials)
        yield Engine(planned, "in this process", lambda driver: here.run(driver, splits))
        return
    with ExitStack() as stack:
        warm_ray = stack.enter_context(_joined(size_bytes)) if address == "warm" else None
        address = "local" if local else address
        ray_session.prepare()
        from tune_app.engines.ray import connection, nodes, prometheus, tune_engine

        with progress.waiting("starting Ray" if local and not warm_ray else "connecting to Ray"):
            ahead = modules_of_a_trial(splits)
            joined = connection.connect(address, size_bytes, modules=modules, ahead=ahead, warm=warm_ray)
            cluster = stack.enter_context(joined)
        if wait_for_gpus > cluster.gpus and local:
            refuse(cluster.gpus)
        if wait_for_gpus and not local:
            with progress.waiting("waiting for GPUs") as notify:
                nodes.wait_for_gpus(wait_for_gpus, wait_s, notify)
            cluster = nodes.capacity()
        # An autoscaled cluster is not spread over: each further machine costs money.
        spread = 0 if cluster.grows else nodes.free_gpus()
        if not local:
            stack.enter_context(nodes.announce_changes(progress.note))
        most = room(resources, cluster.cpus, cluster.gpus, trials)

        def run(driver: Driver, planned: Plan) -> None:
            tune_engine.run(driver, splits, _plan_for(driver, planned), spread, progress.note)

        def engine(together: int | None = None) -> Engine:
            planned = plan(resources, cluster.cpus, cluster.gpus, trials, parts, together)
            measure = measure_sharing if most and splits else None
            return Engine(
                planned,
                _where(cluster, warm_ray),
                lambda driver: run(driver, planned),
                prometheus.exporting,
                measure,
            )

        def measure_sharing(spec: TrialSpec) -> tuple[Engine, Sharing]:
            found = Sharing(1, "there are no more trials, or no CPUs for them")
            if splits and most > 1:
                with progress.waiting("measuring how many trials share a GPU"):
                    found = tune_engine.measure_gpu_sharing(spec, splits, most)
            return engine(found.trials), found

        yield engine()


def modules_of_a_trial(splits: Splits | None) -> list[str]:
    """The modules that a worker imports before its first trial; torch, which takes 2 s, if the task needs it.

    None of them looks for a GPU: Ray says which GPUs a process has only when the process gets a trial.
    """
    if splits is None:
        return [*_OF_ALL_TRIALS, *(["torch"] if "torch" in sys.modules else [])]
    return MODULES_OF_A_TASK


def _plan_for(driver: Driver, planned: Plan) -> Plan:
    """The plan for no more trials than there are: their number is known once the replicates are split."""
    return replace(planned, concurrent=max(1, min(planned.concurrent, driver.queue.total)))


@contextmanager
def _joined(size_bytes: int) -> Iterator[WarmRay | None]:
    """The warm Ray, with a line that says why it is not used if it is not."""
    with warm.joined(size_bytes) as found:
        if isinstance(found, str):
            if found:
                progress.note(f"note: not on the warm Ray: {found}")
            yield None
        else:
            yield found


def _where(cluster: nodes.Cluster, warm_ray: WarmRay | None) -> str:
    devices = counted(cluster.gpus, "GPU") if cluster.gpus else counted(cluster.cpus, "CPU")
    at = f" on {cluster.nodes} nodes" if cluster.nodes > 1 else ""
    return f"on {'up to ' if cluster.grows else ''}{devices}{at}{' of the warm Ray' if warm_ray else ''}"
