"""What a Ray cluster has: its machines and devices now, what it can grow to, who comes and who goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.autoscaler import sdk
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tune_app.engines.ray.ray_session import GONE_AFTER_S, HEAD, HEAD_AWAY_S, LOCAL, Server
from tune_app.errors import ResourceError
from tune_app.text import Notify, counted

#: Where ``ray up`` leaves the configuration that a head's autoscaler grows its cluster by.
_GROWTH = Path("~/ray_bootstrap_config.yaml")
_LOOK_EVERY_S = 2.0
_ASK_EVERY_S = 0.5


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
        Server(HEAD, host.strip("[]"), int(port), GONE_AFTER_S if local else HEAD_AWAY_S),
        Server(LOCAL, mine["NodeManagerAddress"], mine["NodeManagerPort"], GONE_AFTER_S),
    )


def current() -> Cluster:
    """What is there now."""
    total = ray.cluster_resources()
    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    return Cluster(total.get("CPU", 0.0), total.get("GPU", 0.0), nodes)


def capacity() -> Cluster:
    """What a cluster has or, where its autoscaler waits for demand, what it can come to have.

    ``ray up`` leaves the file that it grows by on the head, with the resources of each type of node.
    """
    now = current()
    try:
        plan = YAML(typ="safe").load(_GROWTH.expanduser())
        types = plan["available_node_types"]
        head = types[plan["head_node_type"]].get("resources") or {}
        total = {name: float(head.get(name, 0)) for name in ("CPU", "GPU")}
        room = int(plan["max_workers"])
        for name, kind in types.items():
            count = min(int(kind.get("max_workers", room)), room) if name != plan["head_node_type"] else 0
            for resource in total:
                total[resource] += count * float((kind.get("resources") or {}).get(resource, 0))
    except (OSError, KeyError, TypeError, ValueError, AttributeError, YAMLError):
        return now  # not of ray up, or of machines of one's own, which are all there
    cpus, gpus = max(now.cpus, total["CPU"]), max(now.gpus, total["GPU"])
    return Cluster(cpus, gpus, now.nodes, grows=(cpus, gpus) != (now.cpus, now.gpus))


def free_gpus() -> int:
    """Whole GPUs that nothing uses now: other work on the same cluster keeps what it has."""
    return int(ray.available_resources().get("GPU", 0.0) + 1e-6)


def wait_for_gpus(count: int, within_s: float, notify: Notify) -> None:
    """Wait until ``count`` GPUs are alive; an autoscaler, where one runs, is asked to start them.

    Args:
        count: how many GPUs.
        within_s: seconds after which they are given up.
        notify: shows how it stands, whenever that changes and every few seconds.

    Raises:
        ResourceError: they did not come.
    """
    begun = time.monotonic()
    if current().gpus >= count:
        return
    try:
        sdk.request_resources(bundles=[{"GPU": 1}] * count)
        while True:
            now, waited = current(), time.monotonic() - begun
            if now.gpus >= count:
                return
            there = f"{now.gpus:g} of {count} on {counted(now.nodes, 'node')}"
            if waited > within_s:
                raise ResourceError(
                    f"--wait-for-gpus {count}: after {waited:.0f} s there are {there}. Leave it out to start "
                    "with what is there, or wait longer with --wait-at-most. Why none comes: ray status, on "
                    "the head"
                )
            notify(f"waiting for GPUs: {there}")
            time.sleep(_ASK_EVERY_S)
    finally:
        sdk.request_resources(bundles=[])  # from now on the trials ask


@contextmanager
def announce_changes(notify: Notify) -> Iterator[None]:
    """Say which machines join and leave, for as long as the context lasts."""
    over = threading.Event()
    known = {node.id: node for node in alive()}

    def work() -> None:
        nonlocal known
        while not over.wait(_LOOK_EVERY_S):
            try:
                now = {node.id: node for node in alive()}
            except Exception:  # noqa: BLE001 - the head does not answer: what needs it will say so
                continue
            for line in changes(known, now):
                notify(line)
            known = now

    thread = threading.Thread(target=work, name="nodes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LOOK_EVERY_S)


def changes(before: dict[str, Node], now: dict[str, Node]) -> list[str]:
    """A line for each machine that left and each that joined; the last says what there is now."""
    lines = [f"node left: {before[name]}" for name in before if name not in now]
    lines += [f"node joined: {now[name]}" for name in now if name not in before]
    if lines:
        cpus, gpus = (sum(getattr(node, name) for node in now.values()) for name in ("cpus", "gpus"))
        lines[-1] += f"   ({counted(len(now), 'node')} now: {counted(cpus, 'CPU')}, {counted(gpus, 'GPU')})"
    return lines
