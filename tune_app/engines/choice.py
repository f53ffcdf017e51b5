"""What trains: this process, a Ray of its own, or the cluster at an address; each ready to run a driver."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app import progress
from tune_app.driver.driver import Driver
from tune_app.driver.gpu_sharing import Sharing
from tune_app.driver.resources import Plan, plan, room
from tune_app.engines.ray import addresses, ray_session
from tune_app.errors import ResourceError
from tune_app.space import Resources
from tune_app.sweep import Sweep
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import gpus_possible
from tune_app.tasks.task import Splits

if TYPE_CHECKING:
    from tune_app.engines.ray import nodes


@dataclass(frozen=True)
class Wanted:
    """Where to train and with what.

    ``modules`` is the folder of the user's own modules, which travel to the workers of a cluster;
    ``wait_for_gpus`` of a cluster are waited for, for at most ``wait_s`` seconds.
    """

    address: str
    resources: Resources
    modules: Path | None = None
    wait_for_gpus: int = 0
    wait_s: float = 1800.0


@dataclass(frozen=True)
class Engine:
    """Runs a driver; ``where`` says in words on what, ``exporting`` serves metrics while it does.

    Where it is to be measured how many trials share a GPU, ``share`` does that, with trials as a
    spec describes: it gives the engine for that many. None elsewhere.
    """

    plan: Plan
    where: str
    run: Callable[[Driver], None]
    exporting: Callable[[Sweep], AbstractContextManager[object]] = lambda _: nullcontext()
    share: Callable[[TrialSpec], tuple[Engine, Sharing]] | None = None

    def line(self, driver: Driver) -> str:
        """On what a sweep is trained, and how much of it at a time."""
        at_a_time = _for(driver, self.plan).concurrent
        stacked = ", replicates stacked" if driver.sweep.numerics.replicates == "stacked" else ""
        return f"{self.where}, {at_a_time} trial{'s' if at_a_time > 1 else ''} at a time{stacked}"


@contextmanager
def open_engine(
    wanted: Wanted,
    splits: Splits | None,
    size_bytes: int,
    trials: int,
    parts: int = 1,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Engine]:
    """The engine at an address, for as long as the context lasts.

    Args:
        wanted: where, and with what.
        splits: the arrays that the workers will share, of ``size_bytes``.
        size_bytes: see ``splits``.
        trials: how many there are to be run.
        parts: into how many each may be dealt.
        meanwhile: called in a thread of its own while Ray starts, once Ray itself is loaded: no two threads
            may load that at a time.

    Raises:
        ResourceError: Ray does not answer, or what is asked for is not there.
    """
    if wanted.address == "inline":
        if wanted.wait_for_gpus:
            raise _no_cluster(wanted, "this process trains on the CPU")
        one = wanted.resources.model_copy(update={"max_concurrent": 1})
        from tune_app.engines import inline

        planned = plan(one, os.cpu_count() or 1, 0, trials)
        yield Engine(planned, "in this process", lambda driver: inline.run(driver, splits))
        return
    address = addresses.reached(wanted.address)
    local = address == "local"
    if local and wanted.wait_for_gpus and not gpus_possible():
        raise _no_cluster(wanted, "this machine has none")
    ray_session.prepare()
    from tune_app.engines.ray import connection, nodes, prometheus, tune_engine

    threading.Thread(target=meanwhile, daemon=True).start()
    with ExitStack() as stack:
        with progress.waiting("starting Ray" if local else "connecting to Ray"):
            cluster = stack.enter_context(
                connection.connect(address, size_bytes, modules=wanted.modules, ahead=of_a_trial(splits))
            )
        if wanted.wait_for_gpus > cluster.gpus and local:
            raise _no_cluster(wanted, f"this machine has {cluster.gpus:g}")
        if wanted.wait_for_gpus and not local:
            with progress.waiting("waiting for GPUs") as say:
                nodes.wait_for_gpus(wanted.wait_for_gpus, wanted.wait_s, say)
            cluster = nodes.capacity()
        # Where machines cost once they come, the trials share as few as they were told to.
        spread = 0 if cluster.grows else nodes.free_gpus()
        if not local:
            stack.enter_context(nodes.watched(progress.note))
        most = room(wanted.resources, cluster.cpus, cluster.gpus, trials)

        def engine(together: int | None = None) -> Engine:
            planned = plan(wanted.resources, cluster.cpus, cluster.gpus, trials, parts, together)
            return Engine(
                planned,
                _where(cluster),
                lambda driver: tune_engine.run(driver, splits, _for(driver, planned), spread, progress.note),
                prometheus.exporting,
                share if most and splits else None,
            )

        def share(spec: TrialSpec) -> tuple[Engine, Sharing]:
            found = Sharing(1, "there are no more, or no cores for them")
            if splits and most > 1:
                with progress.waiting("measuring how many trials share a GPU"):
                    found = tune_engine.crowded(spec, splits, most)
            return engine(found.trials), found

        yield engine()


def of_a_trial(splits: Splits | None) -> list[str]:
    """Modules that a process loads to train; a function may do without torch, which takes two seconds.

    None of them looks for a GPU: which of them a process has, Ray says only when it gets a trial.
    """
    of_all = ["tune_app.engines.ray.trainable", "tune_app.training.trial"]
    if splits is None:
        return [*of_all, *(["torch"] if "torch" in sys.modules else [])]
    compiler = [] if gpus_possible() else ["torch._dynamo"]  # an optimiser's first step loads it
    return [*of_all, "tune_app.training.looped", "tune_app.training.stacking_check", *compiler]


def _for(driver: Driver, planned: Plan) -> Plan:
    """A plan for no more trials than there are, which is known once the replicates are dealt."""
    return replace(planned, concurrent=max(1, min(planned.concurrent, driver.trials)))


def _no_cluster(wanted: Wanted, there: str) -> ResourceError:
    return ResourceError(
        f"--wait-for-gpus {wanted.wait_for_gpus} --address {wanted.address}: {there}, and more come to a "
        "cluster only. Leave it out, or name the cluster."
    )


def _where(cluster: nodes.Cluster) -> str:
    devices = f"{cluster.gpus:g} GPU{'s' if cluster.gpus != 1 else ''}" if cluster.gpus else ""
    cores = f"{cluster.cpus:g} CPU{'s' if cluster.cpus != 1 else ''}"
    at = f" on {cluster.nodes} nodes" if cluster.nodes > 1 else ""
    return f"on {'up to ' if cluster.grows else ''}{devices or cores}{at}"
