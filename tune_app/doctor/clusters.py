"""``tune-app doctor --address``: checks every machine of a cluster, and says how to fix what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app.doctor.checks import DISK_BYTES, SHARED_MEMORY_BYTES, Check
from tune_app.doctor.probes import check_runs_dir
from tune_app.sweep import code
from tune_app.text import counted, size

if TYPE_CHECKING:
    from tune_app.engines.ray.cluster_probe import ClusterProbe, NodeAnswer

#: With another version of the first nothing works; of the last, results differ in their last digits.
_SAME = ("ray", "python", "tune-app", "torch")
_BRING = "Bring this machine's version there: ray up FILE installs it."


def check_cluster(address: str, runs_dir: Path) -> list[Check]:
    """Join a cluster and check each of its machines.

    Raises:
        ResourceError: no cluster answers there.
    """
    from tune_app.engines.ray import cluster_probe

    return judge(address, cluster_probe.probe_cluster(address), code.versions(), runs_dir)


def judge(address: str, found: ClusterProbe, here: Mapping[str, str | None], runs_dir: Path) -> list[Check]:
    """The checks of a probed cluster; ``here`` has the versions of this machine."""
    checks = [_cluster(address, found), check_runs_dir(runs_dir)]
    for answer in found.answers:
        wrong = list(_node(answer, here))
        checks += wrong or [Check(answer.node.name, "ok", _described(answer))]
    return checks


def _cluster(address: str, found: ClusterProbe) -> Check:
    has = found.cluster
    devices = f"{has.cpus:g} CPUs, {has.gpus:g} GPUs"
    grows = ", as it can grow" if has.grows else ""
    text = f"{address}: {counted(has.nodes, 'node')}, {devices}{grows}; joined in {found.connect_s:.1f} s"
    if not has.cpus and not has.gpus:
        fix = "Start machines that train: see ray status on the head, and max_workers in the cluster's file."
        return Check("cluster", "problem", f"{text}; no trial can run", fix)
    return Check("cluster", "ok", text)


def _described(answer: NodeAnswer) -> str:
    facts = answer.facts or {}
    versions = ", ".join(f"{name} {facts[name]}" for name in _SAME if facts.get(name))
    gpus = "" if facts.get("gpus_seen") is None else f"; torch sees {counted(facts['gpus_seen'], 'GPU')}"
    return (
        f"{answer.node}; {versions}{gpus}; 1 MiB written to {facts['folder']} in "
        f"{1000 * facts['write_s']:.0f} ms; answered in {answer.seconds:.1f} s"
    )


def _node(answer: NodeAnswer, here: Mapping[str, str | None]) -> Iterator[Check]:
    """What is wrong with one machine."""
    name, facts = answer.node.name, answer.facts
    if facts is None:
        logs = "Look into /tmp/ray/session_latest/logs there (raylet.out, and the newest worker-*.err)."
        yield Check(name, "problem", f"{answer.node}: it runs no task: {answer.fault}", logs)
        return
    for package in _SAME:
        there, wanted = facts.get(package), here[package]
        same = there == wanted
        if package == "python" and there and wanted:
            same = there.split(".")[:2] == wanted.split(".")[:2]
        if there is None:
            yield Check(name, "problem", f"{package} is not installed there", _BRING)
        elif not same:
            status = "warning" if package == "torch" else "problem"
            more = "; results may differ in their last digits" if package == "torch" else ""
            yield Check(name, status, f"{package} {there} there, and {wanted} here{more}", _BRING)  # type: ignore[arg-type]
    if fault := facts.get("write_fault"):
        fix = "Make room there, or start Ray with TMPDIR set to a disk that has some."
        yield Check(name, "problem", f"{facts['folder']} there cannot be written: {fault}", fix)
    elif facts["free_bytes"] < DISK_BYTES:
        free = f"{size(facts['free_bytes'])} free in {facts['folder']} there"
        yield Check(
            name, "warning", free, "Make room there: Ray's files and what it moves to the disk lie there."
        )
    shared = facts.get("shm_bytes")
    if shared is not None and shared < SHARED_MEMORY_BYTES:
        needed = size(SHARED_MEMORY_BYTES)
        text = f"{size(shared)} free in /dev/shm there; images of 256 x 256 pixels need {needed}"
        yield Check(
            name,
            "warning",
            text,
            "Enlarge it (in a container: --shm-size=4g), or use a smaller --image-size.",
        )
    seen = facts.get("gpus_seen")
    if seen is not None and seen < answer.node.gpus:
        there = counted(int(answer.node.gpus), "GPU")
        text = f"Ray counts {there} there, and torch sees {seen}: trials run on the CPU"
        fix = "Install a torch for CUDA, and a driver, there (nvidia-smi): https://pytorch.org/get-started"
        yield Check(name, "problem", text, fix)
