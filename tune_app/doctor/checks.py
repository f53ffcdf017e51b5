"""What each fact about a machine means for a sweep: ok, warning or problem, and how to fix it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tune_app.session.provenance import GpuProbe
from tune_app.text import counted, size

#: Shared memory for the course's images of 256 x 256 pixels, a copy of some of them, and Ray's own needs.
SHARED_MEMORY_BYTES = 400 << 20
DISK_BYTES = 2 << 30
MEMORY_BYTES = 4 << 30
_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Check:
    """The result of one check; ``fix`` says what to do, and is empty if all is well."""

    name: str
    status: Literal["ok", "warning", "problem"]
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Probe:
    """What a separate process found: ``facts``, or the ``fault`` that prevented it."""

    facts: Mapping[str, Any] | None = None
    fault: str = ""


def check_python(version: Sequence[int]) -> Check:
    """Python is new enough."""
    text = ".".join(map(str, version))
    if tuple(version[:2]) < _OLDEST_PYTHON:
        return Check("Python", "problem", f"{text}; 3.11 or newer is needed", "Install Python 3.11 or newer.")
    return Check("Python", "ok", text)


def check_system(system: str) -> Check:
    """The operating system is one that Ray works on."""
    if system in ("Linux", "Darwin"):
        return Check("system", "ok", platform.platform())
    fix = "Use WSL2, or train in one process: tune-app run ... --address inline"
    if system == "Windows":
        return Check("system", "warning", "Windows: trials on Ray need Linux or macOS", fix)
    return Check("system", "warning", f"{system}: untried; Linux and macOS are tried", fix)


def check_torch(torch: Probe) -> Check:
    """Torch can be imported."""
    if torch.facts is None:
        return Check(
            "torch",
            "problem",
            f"cannot be imported: {torch.fault}",
            "Install it again: pip install --force-reinstall torch (builds: https://pytorch.org/get-started)",
        )
    build = f"for CUDA or ROCm {torch.facts['cuda']}" if torch.facts["cuda"] else "for CPUs only"
    return Check("torch", "ok", f"{torch.facts['version']}, built {build}")


def check_gpus(gpus: GpuProbe, torch: Probe, hidden: str | None = None) -> Check:
    """Torch can use every GPU; ``hidden`` is CUDA_VISIBLE_DEVICES, None if unset."""
    seen = torch.facts["devices"] if torch.facts and torch.facts["available"] else 0
    if gpus.fault:
        return Check(
            "GPUs",
            "problem",
            f"the NVIDIA driver does not answer: {gpus.fault}",
            "Install the driver again or reboot; in a container, start it with --gpus all.",
        )
    there = len(gpus.found)
    names = ", ".join(f"{gpu.index}: {gpu.name}{_sized(gpu.memory_bytes)}" for gpu in gpus.found)
    if torch.facts is None or seen >= there:
        return Check(
            "GPUs", "ok", names or (f"{seen} that torch sees" if seen else "none: trials train on the CPU")
        )
    found = f"torch sees {seen} of {there} ({names})"
    if not torch.facts["cuda"]:
        fix = "This torch is built for CPUs only. Install one for CUDA: https://pytorch.org/get-started"
        return Check("GPUs", "problem", found, fix)
    if hidden is not None:
        fix = "Unset CUDA_VISIBLE_DEVICES to use them all."
        return Check("GPUs", "warning", f'{found}, for CUDA_VISIBLE_DEVICES is "{hidden}"', fix)
    fix = (
        f"The driver ({gpus.found[0].driver}) may be too old for CUDA {torch.facts['cuda']}: update it, or "
        "install a torch for an older CUDA: https://pytorch.org/get-started"
    )
    return Check("GPUs", "problem", found, fix)


def check_ray(version: str | None, ray: Probe | None, torch: Probe) -> Check:
    """Ray starts here and runs a task; ``ray`` is None if that was not tried."""
    if version is None:
        return Check("Ray", "problem", "not installed", 'Install it: pip install "ray[tune]"')
    if ray is None:
        return Check("Ray", "ok", f"{version} (not started)")
    if ray.facts is not None:
        return Check(
            "Ray",
            "ok",
            f"{version}, starts and runs tasks on {ray.facts['cpus']:g} CPUs, {ray.facts['gpus']:g} GPUs",
        )
    if torch.facts is None:
        return Check("Ray", "warning", f"{version}, not tried: its trials need torch", "Fix torch first.")
    return Check(
        "Ray",
        "problem",
        f"{version} does not start: {ray.fault}",
        "Look into /tmp/ray/session_latest/logs; stop what is left of an earlier Ray with: ray stop --force\n"
        "Until then, train in one process: tune-app run ... --address inline",
    )


def check_processor(cores: int, memory_bytes: int | None) -> Check:
    """Cores and memory."""
    found = counted(cores, "core")
    if memory_bytes is None:
        return Check("CPU, memory", "ok", f"{found}, memory unknown")
    found += f", {size(memory_bytes)} of memory"
    if memory_bytes < MEMORY_BYTES:
        fix = "Train fewer trials at a time (--max-concurrent 1), with a smaller --image-size."
        return Check("CPU, memory", "warning", found, fix)
    return Check("CPU, memory", "ok", found)


def check_shared_memory(free_bytes: int | None) -> Check:
    """Space in /dev/shm, through which Ray shares the images; None if it does not exist."""
    if free_bytes is None:
        return Check("shared memory", "ok", "no /dev/shm on this system, and none is needed")
    found = f"{size(free_bytes)} free in /dev/shm"
    if free_bytes < SHARED_MEMORY_BYTES:
        return Check(
            "shared memory",
            "warning",
            f"{found}; images of 256 x 256 pixels need {size(SHARED_MEMORY_BYTES)}",
            "Enlarge it (docker run --shm-size=4g), or use a smaller --image-size.",
        )
    return Check("shared memory", "ok", found)


def check_disk(folder: Path, free_bytes: int | None) -> Check:
    """Space for records and results."""
    if free_bytes is None:
        return Check("disk", "warning", f"{folder.resolve()}: its disk does not say what is free")
    found = f"{size(free_bytes)} free at {folder.resolve()}"
    if free_bytes < DISK_BYTES:
        return Check("disk", "warning", found, "Make room, or give another disk with --runs-dir.")
    return Check("disk", "ok", found)


def check_address(address: str | None, started: str | None = None) -> Check:
    """Whether runs join another Ray, because of the environment or of ``ray start``."""
    if address:
        return Check(
            "RAY_ADDRESS",
            "warning",
            f'"{address}": every run joins the Ray there, and starts none here',
            "If that is not meant: unset RAY_ADDRESS, or add --address local.",
        )
    if started:
        return Check("RAY_ADDRESS", "ok", f"not set: every run joins the cluster of this machine, {started}")
    return Check("RAY_ADDRESS", "ok", "not set: every run starts a Ray of its own")


def _sized(size_bytes: int | None) -> str:
    return f" ({size(size_bytes)})" if size_bytes else ""
