"""What a Ray cluster has: its machines now, what it can grow to, who comes and goes, what each answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tune_app.engines.ray.ray_session import SERVERS, Server, repeating
from tune_app.errors import ResourceError, describe
from tune_app.text import Notify, counted

#: Where ``ray up`` leaves the configuration that a head's autoscaler grows its cluster by.
_GROWTH = Path("~/ray_bootstrap_config.yaml")
_LOOK_EVERY_S = 2.0
_ASK_EVERY_S = 0.5
#: How long a machine may take: its first task starts a process, which imports Ray, and torch to count GPUs.
_ANSWER_WITHIN_S = 60.0


@dataclass(frozen=True)
class Cluster:
    """What Ray has: CPUs, GPUs, nodes; where it grows on demand, what it can grow to."""

    cpus: float
    gpus: float
    nodes: int
    grows: bool = False


@dataclass(frozen=True)
class Node:
    """One machine that is alive: what Ray calls it, its address, and what it has."""

    id: str
    name: str
    address: str
    cpus: float
    gpus: float

    def __str__(self) -> str:
        """``worker2 (10.77.0.3), 4 CPUs, 1 GPU``."""
        where = "" if self.address == self.name else f" ({self.address})"
        return ", ".join([f"{self.name}{where}", counted(self.cpus, "CPU"), counted(self.gpus, "GPU")])


@dataclass(frozen=True)
class NodeAnswer:
    """What a machine answered after ``seconds``: its ``facts``, or the ``fault`` that kept it from it.

    Facts: ``ray``, ``python``, ``torch`` and ``tune-app``, versions or None; ``write_s``, seconds for a
    megabyte onto the disk of ``folder``, or ``write_fault``; ``free_bytes`` there, ``shm_bytes`` free of
    shared memory or None; ``gpus_seen`` by torch, None where it was not asked.
    """

    node: Node
    seconds: float
    facts: Mapping[str, Any] | None = None
    fault: str = ""


def alive() -> list[Node]:
    """The machines of the cluster that is connected, by name."""
    found = [
        Node(
            each["NodeID"],
            each["NodeManagerHostname"],
            each["NodeManagerAddress"],
            each["Resources"].get("CPU", 0.0),
            each["Resources"].get("GPU", 0.0),
        )
        for each in ray.nodes()
        if each["Alive"]
    ]
    return sorted(found, key=lambda node: (node.name, node.id))


def servers(local: bool) -> tuple[Server, ...]:
    """Those of Ray's servers that this process depends on; ``local`` where Ray was started here."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    mine = next(each for each in ray.nodes() if each["NodeID"] == context.get_node_id())
    return (
        Server(SERVERS["gcs_server"], host.strip("[]"), int(port), local),
        Server(SERVERS["raylet"], mine["NodeManagerAddress"], mine["NodeManagerPort"], local=True),
    )


def current() -> Cluster:
    """What is there now."""
    return _together(alive())


def _together(nodes: Sequence[Node]) -> Cluster:
    return Cluster(sum(node.cpus for node in nodes), sum(node.gpus for node in nodes), len(nodes))


def capacity() -> Cluster:
    """What a cluster has or, where its autoscaler waits for demand, what it can come to have.

    ``ray up`` leaves the file that it grows by on the head, with the resources of each type of node.
    """
    now, total = current(), Counter[str]()
    try:
        plan = YAML(typ="safe").load(_GROWTH.expanduser())
        most = int(plan["max_workers"])
        for name, kind in plan["available_node_types"].items():
            count = 1 if name == plan["head_node_type"] else min(int(kind.get("max_workers", most)), most)
            for resource, amount in (kind.get("resources") or {}).items():
                total[resource] += count * int(amount)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, YAMLError):
        return now  # not of ray up, or of machines of one's own, which are all there
    cpus, gpus = max(now.cpus, total["CPU"]), max(now.gpus, total["GPU"])
    return Cluster(cpus, gpus, now.nodes, grows=(cpus, gpus) != (now.cpus, now.gpus))


def free_gpus() -> int:
    """Whole GPUs that nothing uses now: other work on the same cluster keeps what it has."""
    return int(ray.available_resources().get("GPU", 0.0) + 1e-6)


def wait_for_gpus(count: int, within_s: float, notify: Notify) -> None:
    """Wait until ``count`` GPUs are alive; an autoscaler, where one runs, is asked to start them.

    Raises:
        ResourceError: they did not come within ``within_s`` seconds.
    """
    if current().gpus >= count:
        return
    begun = time.monotonic()
    from ray.autoscaler import sdk  # slow to load

    sdk.request_resources(bundles=[{"GPU": 1}] * count)
    try:
        while (now := current()).gpus < count:
            waited = time.monotonic() - begun
            there = f"{now.gpus:g} of {count} on {counted(now.nodes, 'node')}"
            if waited > within_s:
                fix = "Leave it out to start with what is there, or wait longer with --wait-at-most."
                text = f"--wait-for-gpus {count}: after {waited:.0f} s there are {there}. {fix}"
                raise ResourceError(f"{text} To see why no more come, run on the head: ray status")
            notify(f"waiting for GPUs: {there}")
            time.sleep(_ASK_EVERY_S)
    finally:
        sdk.request_resources(bundles=[])  # from now on the trials ask


def announce_changes(notify: Notify) -> AbstractContextManager[None]:
    """Say which machines join and leave, for as long as the context lasts."""
    known = {node.id: node for node in alive()}

    def look() -> None:
        nonlocal known
        before, known = known, {node.id: node for node in alive()}
        lines = [f"node left: {before[name]}" for name in before if name not in known]
        lines += [f"node joined: {known[name]}" for name in known if name not in before]
        if lines:
            now = _together(list(known.values()))
            devices = f"{counted(now.cpus, 'CPU')}, {counted(now.gpus, 'GPU')}"
            lines[-1] += f"   ({counted(now.nodes, 'node')} now: {devices})"
        for line in lines:
            notify(line)

    return repeating(look, _LOOK_EVERY_S)


def ask(found: Sequence[Node]) -> Iterator[NodeAnswer]:
    """Ask machines, all at the same time, by a task that needs nothing but Python there."""
    begun = time.monotonic()
    look = ray.remote(num_cpus=0, max_retries=0)(_probe())
    on = [NodeAffinitySchedulingStrategy(node.id, soft=False) for node in found]
    asked = [
        look.options(scheduling_strategy=there).remote(node.gpus > 0)
        for node, there in zip(found, on, strict=True)
    ]
    for node, answer in zip(found, asked, strict=True):
        left = max(0.1, _ANSWER_WITHIN_S - (time.monotonic() - begun))
        facts, fault = None, ""
        try:
            facts = ray.get(answer, timeout=left)
        except ray.exceptions.GetTimeoutError:
            fault = f"no answer within {_ANSWER_WITHIN_S:.0f} s"
        except ray.exceptions.RayError as error:
            fault = describe(error)
        yield NodeAnswer(node, time.monotonic() - begun, facts, fault)


def _probe() -> Callable[[bool], dict[str, Any]]:
    """The task: a function within a function, which travels whole, and runs where tune-app is missing."""

    def look(count_gpus: bool) -> dict[str, Any]:
        import os
        import platform
        import shutil
        import subprocess
        import sys
        import tempfile
        import time
        from contextlib import suppress
        from importlib import metadata
        from pathlib import Path

        folder = tempfile.gettempdir()
        facts: dict[str, Any] = {
            "python": platform.python_version(),
            "folder": folder,
            "free_bytes": shutil.disk_usage(folder).free,
            "shm_bytes": shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None,
        }
        for name in ("ray", "torch", "tune-app"):
            with suppress(metadata.PackageNotFoundError):
                facts[name] = metadata.version(name)
        begun = time.monotonic()
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix="tune-app-") as file:
                file.write(bytes(1 << 20))
                file.flush()
                os.fsync(file.fileno())
            facts["write_s"] = time.monotonic() - begun
        except OSError as error:
            facts["write_fault"] = error.strerror or str(error)
        if count_gpus:  # in a process of its own: this one was given no GPU, and sees none
            seen = {k: v for k, v in os.environ.items() if not k.endswith("_VISIBLE_DEVICES")}
            asked = "import torch; print(torch.cuda.device_count())"
            ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=seen)
            facts["gpus_seen"] = int(ran.stdout) if ran.returncode == 0 else 0
        return facts

    return look
