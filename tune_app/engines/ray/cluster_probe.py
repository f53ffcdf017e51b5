"""Asks every machine of a cluster what it has, by a task that needs nothing but Python there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_app.engines.ray import addresses, connection, nodes
from tune_app.engines.ray.nodes import Cluster, Node
from tune_app.errors import describe

#: How long a machine may take: its first task starts a process, which imports Ray, and torch to count GPUs.
_ANSWER_WITHIN_S = 60.0
_WRITTEN_BYTES = 1 << 20


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


@dataclass(frozen=True)
class ClusterProbe:
    """A cluster, how long it took to join it, and what each of its machines answered."""

    cluster: Cluster
    connect_s: float
    answers: list[NodeAnswer]


def probe_cluster(address: str) -> ClusterProbe:
    """Join a cluster and ask all of its machines, at the same time.

    Raises:
        ResourceError: no cluster answers there.
    """
    address = addresses.resolve(address)
    begun = time.monotonic()
    with connection.connect(address):
        connected = time.monotonic() - begun
        return ClusterProbe(nodes.capacity(), connected, list(_ask(nodes.alive())))


def _ask(found: list[Node]) -> Iterator[NodeAnswer]:
    begun = time.monotonic()
    look = ray.remote(_probe())
    asked = [
        look.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        ).remote(node.gpus > 0, _WRITTEN_BYTES)
        for node in found
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


def _probe() -> Callable[[bool, int], dict[str, Any]]:
    """The task: a function within a function, which travels whole, and runs where tune-app is missing."""

    def look(count_gpus: bool, size_bytes: int) -> dict[str, Any]:
        import os
        import platform
        import shutil
        import subprocess
        import sys
        import tempfile
        import time
        from importlib import metadata
        from pathlib import Path

        def version(name: str) -> str | None:
            try:
                return metadata.version(name)
            except metadata.PackageNotFoundError:
                return None

        folder = tempfile.gettempdir()
        facts: dict[str, Any] = {
            "ray": version("ray"),
            "python": platform.python_version(),
            "torch": version("torch"),
            "folder": folder,
            "free_bytes": shutil.disk_usage(folder).free,
            "shm_bytes": shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None,
        }
        try:
            import tune_app

            facts["tune-app"] = tune_app.__version__
        except ImportError:
            facts["tune-app"] = None
        begun = time.monotonic()
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix="tune-app-") as file:
                file.write(b"x" * size_bytes)
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
