"""``tune-app doctor --address``: checks every machine of a cluster, and says how to fix what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_app.doctor import checks
from tune_app.doctor.checks import Check
from tune_app.engines.ray import addresses
from tune_app.sweep import code
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.engines.ray.nodes import Cluster, NodeAnswer

#: With another version of the first nothing works; of the last, results differ in their last digits.
_SAME = ("ray", "python", "tune-app", "torch")
_BRING = "Install this machine's version there with: ray up FILE"


def check_cluster(address: str, runs_dir: Path) -> list[Check]:
    """Join a cluster and check each of its machines.

    Raises:
        ResourceError: no cluster answers there.
    """
    from tune_app.engines.ray import connection, nodes

    address = addresses.resolve(address)
    begun = time.monotonic()
    with connection.connect(address):
        text = f"{address}: joined in {time.monotonic() - begun:.1f} s"
        found = judge(text, nodes.capacity(), nodes.ask(nodes.alive()), code.versions())
    return [found[0], checks.check_runs_dir(runs_dir), *found[1:]]


def judge(
    joined: str, has: Cluster, answers: Iterable[NodeAnswer], here: Mapping[str, str | None]
) -> list[Check]:
    """The checks of a cluster and its machines; ``here`` has the versions of this machine."""
    devices = f"{has.cpus:g} CPUs, {has.gpus:g} GPUs{' (when it has grown)' if has.grows else ''}"
    text = f"{joined}; {counted(has.nodes, 'node')}, {devices}"
    cluster = Check("cluster", "ok", text)
    if not has.cpus and not has.gpus:
        fix = "Start machines that train: see ray status on the head, and max_workers in the cluster's file."
        cluster = Check("cluster", "problem", f"{text}; no trial can run", fix)
    return [cluster, *(check for answer in answers for check in _node(answer, here))]


def _node(answer: NodeAnswer, here: Mapping[str, str | None]) -> list[Check]:
    """What is wrong with one machine, or that nothing is."""
    name, facts = answer.node.name, answer.facts
    if facts is None:
        logs = "Look into /tmp/ray/session_latest/logs there (raylet.out, and the newest worker-*.err)."
        return [Check(name, "problem", f"{answer.node}: no task ran there: {answer.fault}", logs)]
    wrong = [replace(each, name=name) for each in _faults(answer, facts, here) if each.status != "ok"]
    versions = ", ".join(f"{package} {facts[package]}" for package in _SAME if facts.get(package))
    seen = "" if facts.get("gpus_seen") is None else f"; torch sees {counted(facts['gpus_seen'], 'GPU')}"
    measured = f"1 MiB written to {facts['folder']} in {1000 * facts.get('write_s', 0):.0f} ms"
    text = f"{answer.node}; {versions}{seen}; {measured}; answered in {answer.seconds:.1f} s"
    return wrong or [Check(name, "ok", text)]


def _faults(answer: NodeAnswer, facts: Mapping[str, Any], here: Mapping[str, str | None]) -> Iterator[Check]:
    for package in _SAME:
        there, wanted = facts.get(package), str(here[package])
        parts = 2 if package == "python" else None
        if there is None:
            yield Check(package, "problem", f"{package} is not installed there", _BRING)
        elif there.split(".")[:parts] != wanted.split(".")[:parts]:
            text = f"{package} {there} there, and {wanted} here"
            if package == "torch":
                yield Check(package, "warning", f"{text}; results may differ in their last digits", _BRING)
            else:
                yield Check(package, "problem", text, _BRING)
    if fault := facts.get("write_fault"):
        fix = "Free some space there, or start Ray with TMPDIR set to a disk that has space."
        yield Check("disk", "problem", f"{facts['folder']} there cannot be written: {fault}", fix)
    else:
        fix = "Free some space there: Ray keeps its files and spilled objects on this disk."
        yield checks.check_disk(Path(facts["folder"]), facts["free_bytes"], fix)
    yield checks.check_shared_memory(facts.get("shm_bytes"))
    seen = facts.get("gpus_seen")
    if seen is not None and seen < answer.node.gpus:
        there = counted(int(answer.node.gpus), "GPU")
        text = f"Ray counts {there} there, but torch sees {seen}: trials run on the CPU"
        fix = "Install a torch for CUDA, and a driver, there (nvidia-smi): https://pytorch.org/get-started"
        yield Check("GPUs", "problem", text, fix)
