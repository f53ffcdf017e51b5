"""Looks at this machine, and says what each fact means for a sweep: ok, warning or problem, and the fix.

torch and Ray are tried in processes of their own, so that a broken one is reported and breaks nothing.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tune_app import space as spaces
from tune_app.engines.ray import addresses, warm
from tune_app.engines.ray.warm import WarmRay
from tune_app.errors import TuneAppError
from tune_app.session import provenance
from tune_app.session.provenance import GpuProbe
from tune_app.sweep import code
from tune_app.text import counted, size

#: Shared memory for the course's images of 256 x 256 pixels, a copy of some of them, and Ray's own needs.
SHARED_MEMORY_BYTES = 400 << 20
DISK_BYTES = 2 << 30
MEMORY_BYTES = 4 << 30

_ANSWER_WITHIN_S = 60.0
_TRY_TORCH = """
import json, torch
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda or torch.version.hip,
                  "available": torch.cuda.is_available(), "devices": torch.cuda.device_count()}))
"""
_TRY_RAY = """
import json
from tune_app.engines.ray import connection
with connection.connect("local") as cluster:
    import ray
    ray.get(ray.remote(lambda: None).options(num_cpus=0).remote(), timeout=50)
    print(json.dumps({"cpus": cluster.cpus, "gpus": cluster.gpus}))
"""
_BUILDS = "https://pytorch.org/get-started"


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


def check_machine(runs_dir: Path, data: str = "phantom") -> list[Check]:
    """Check this machine. It takes a few seconds, most of them to start Ray."""
    system = platform.system()
    folder = _existing(runs_dir).resolve()
    with ThreadPoolExecutor(2) as pool:
        asked_torch = pool.submit(run_probe, _TRY_TORCH)
        asked_ray = pool.submit(run_probe, _TRY_RAY) if system != "Windows" else None
        gpus = provenance.gpus()
        torch, warm_ray = asked_torch.result(), warm.find()
        return [
            Check("Python", "ok", platform.python_version()),
            check_system(system),
            check_torch(torch),
            check_gpus(gpus, torch, os.environ.get("CUDA_VISIBLE_DEVICES")),
            check_ray(code.version("ray"), asked_ray.result() if asked_ray else None, torch),
            check_processor(provenance.cores(), provenance.memory_bytes()),
            check_shared_memory(_free_bytes(Path("/dev/shm")) if system == "Linux" else None),
            check_runs_dir(runs_dir),
            check_disk(folder, _free_bytes(folder)),
            check_data(data),
            check_address(os.environ.get("RAY_ADDRESS"), addresses.local_cluster(), warm_ray is not None),
            check_warm(warm_ray),
            check_spaces(),
        ]


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def run_probe(program: str, timeout_s: float = _ANSWER_WITHIN_S) -> Probe:
    """Run a Python program that prints one JSON object as its last line, in a separate process."""
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Probe(fault=f"no answer within {timeout_s:.0f} s")
    except OSError as error:
        return Probe(fault=f"{sys.executable} does not start: {error.strerror}")
    if done.returncode == 0:
        return Probe(json.loads(done.stdout.splitlines()[-1]))
    # a traceback's last line that is not indented is the error; what may follow is advice on it
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
    return Probe(fault=lines[-1] if lines else f"its process ended with {done.returncode}")


def render(found: Sequence[Check]) -> str:
    """The checks as aligned text, each fix below its check, and a last line that sums up."""
    width = max(len(each.name) for each in found)
    lines = []
    for each in found:
        text = "\n".join([each.found, *(f"-> {line}" for line in each.fix.splitlines())])
        lines.append(
            f"{each.status:<7}  {each.name:<{width}}  " + text.replace("\n", "\n" + " " * (width + 11))
        )
    counts = {kind: sum(each.status == kind for each in found) for kind in ("problem", "warning")}
    told = [counted(number, kind) for kind, number in counts.items() if number]
    return "\n".join([*lines, "", ", ".join(told) or "everything is in order"])


def exit_code(found: Sequence[Check]) -> int:
    """1 when there is any problem, else 0."""
    return int(any(each.status == "problem" for each in found))


def check_system(system: str) -> Check:
    """The operating system is one that Ray works on."""
    if system in ("Linux", "Darwin"):
        return Check("system", "ok", platform.platform())
    fix = "Use WSL2, or train in one process: tune-app run ... --address inline"
    return Check("system", "warning", f"{system}: trials on Ray need Linux or macOS", fix)


def check_torch(torch: Probe) -> Check:
    """Torch can be imported."""
    if torch.facts is None:
        fix = f"Install it again: pip install --force-reinstall torch (builds: {_BUILDS})"
        return Check("torch", "problem", f"cannot be imported: {torch.fault}", fix)
    build = f"for CUDA or ROCm {torch.facts['cuda']}" if torch.facts["cuda"] else "for CPUs only"
    return Check("torch", "ok", f"{torch.facts['version']}, built {build}")


def check_gpus(gpus: GpuProbe, torch: Probe, hidden: str | None = None) -> Check:
    """Torch can use every GPU; ``hidden`` is CUDA_VISIBLE_DEVICES, None if unset."""
    if gpus.fault:
        fix = "Install the driver again or reboot; in a container, start it with --gpus all."
        return Check("GPUs", "problem", f"the NVIDIA driver does not answer: {gpus.fault}", fix)
    seen = torch.facts["devices"] if torch.facts and torch.facts["available"] else 0
    there = len(gpus.found)
    sizes = [f" ({size(gpu.memory_bytes)})" if gpu.memory_bytes else "" for gpu in gpus.found]
    names = ", ".join(
        f"{gpu.index}: {gpu.name}{memory}" for gpu, memory in zip(gpus.found, sizes, strict=True)
    )
    if torch.facts is None or seen >= there:
        seen_only = f"{seen} that torch sees" if seen else "none: trials train on the CPU"
        return Check("GPUs", "ok", names or seen_only)
    found, cuda = f"torch sees {seen} of {there} ({names})", torch.facts["cuda"]
    if not cuda:
        fix = f"This torch is built for CPUs only. Install one for CUDA: {_BUILDS}"
    elif hidden is not None:
        found += f', for CUDA_VISIBLE_DEVICES is "{hidden}"'
        return Check("GPUs", "warning", found, "Unset CUDA_VISIBLE_DEVICES to use them all.")
    else:
        old = f"The driver ({gpus.found[0].driver}) may be too old for CUDA {cuda}"
        fix = f"{old}: update it, or install a torch for an older CUDA: {_BUILDS}"
    return Check("GPUs", "problem", found, fix)


def check_ray(version: str | None, ray: Probe | None, torch: Probe) -> Check:
    """Ray starts here and runs a task; ``ray`` is None if that was not tried."""
    if version is None:
        return Check("Ray", "problem", "not installed", 'Install it: pip install "ray[tune]"')
    if ray is None:
        return Check("Ray", "ok", f"{version} (not started)")
    if ray.facts is not None:
        devices = f"{ray.facts['cpus']:g} CPUs, {ray.facts['gpus']:g} GPUs"
        return Check("Ray", "ok", f"{version}, starts and runs tasks on {devices}")
    if torch.facts is None:
        return Check("Ray", "warning", f"{version}, not tried: its trials need torch", "Fix torch first.")
    fix = (
        "Look into /tmp/ray/session_latest/logs; stop an earlier Ray that still runs with: ray stop --force\n"
        "Until then, train in one process: tune-app run ... --address inline"
    )
    return Check("Ray", "problem", f"{version} does not start: {ray.fault}", fix)


def check_processor(cores: int, memory_bytes: int | None) -> Check:
    """Cores and memory."""
    memory = "memory unknown" if memory_bytes is None else f"{size(memory_bytes)} of memory"
    found = f"{counted(cores, 'core')}, {memory}"
    if memory_bytes is not None and memory_bytes < MEMORY_BYTES:
        fix = "Train fewer trials at a time (--max-concurrent 1), with a smaller --image-size."
        return Check("CPU, memory", "warning", found, fix)
    return Check("CPU, memory", "ok", found)


def check_shared_memory(free_bytes: int | None) -> Check:
    """Space in /dev/shm, through which Ray shares the images; None if it does not exist."""
    if free_bytes is None:
        return Check("shared memory", "ok", "no /dev/shm on this system, and none is needed")
    found = f"{size(free_bytes)} free in /dev/shm"
    if free_bytes >= SHARED_MEMORY_BYTES:
        return Check("shared memory", "ok", found)
    found += f"; images of 256 x 256 pixels need {size(SHARED_MEMORY_BYTES)}"
    fix = "Enlarge it (docker run --shm-size=4g), or use a smaller --image-size."
    return Check("shared memory", "warning", found, fix)


def check_disk(
    folder: Path,
    free_bytes: int | None,
    fix: str = "Free some space, or give a folder on another disk with --runs-dir.",
) -> Check:
    """Space for records and results."""
    if free_bytes is None:
        return Check("disk", "warning", f"{folder}: the free space of its disk is unknown")
    found = f"{size(free_bytes)} free at {folder}"
    if free_bytes < DISK_BYTES:
        return Check("disk", "warning", found, fix)
    return Check("disk", "ok", found)


def check_runs_dir(runs_dir: Path) -> Check:
    """A file can be written where the run folders are or will be."""
    folder = _existing(runs_dir)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tune-app-"):
            pass
    except OSError as error:
        found = f"{runs_dir}: cannot be written: {error.strerror}"
        return Check("runs folder", "problem", found, "Give another folder with --runs-dir.")
    return Check("runs folder", "ok", f"{runs_dir}" if folder == runs_dir else f"{runs_dir} (will be made)")


def check_data(source: str) -> Check:
    """The data exists; image folders and arrays are not read."""
    from tune_app.data import COURSE_DIR, course, folder  # here, for it loads numpy and matplotlib

    fetched = course.first_differing_file(COURSE_DIR) is None
    if source == "phantom":
        more = f"; the course's X-rays are in {COURSE_DIR}" if fetched else ""
        return Check("data", "ok", f"phantom: drawn by code, nothing to fetch{more}")
    if source == "course":
        if fetched:
            return Check("data", "ok", f"course: in {COURSE_DIR}, every file as published")
        return Check(
            "data", "problem", f"course: missing or incomplete in {COURSE_DIR}", "tune-app data fetch"
        )
    if course.is_layout(Path(source)) or folder.is_image_folder(Path(source)):
        return Check("data", "ok", f"{source}: found")
    found = f"{source}: no such folder, or a folder without arrays and images"
    return Check("data", "problem", found, "Name phantom, course, or a folder that holds train and test.")


def check_address(address: str | None, started: str | None = None, warm_there: bool = False) -> Check:
    """Whether runs join another Ray, because of the environment or of ``ray start``."""
    if address:
        found = f'"{address}": every run joins the Ray at this address, and starts none here'
        fix = "If you do not want this: unset RAY_ADDRESS, or add --address local."
        return Check("RAY_ADDRESS", "warning", found, fix)
    joins = f"joins the cluster of this machine, {started}" if started else "starts a Ray of its own"
    joins = "joins the warm Ray" if warm_there else joins
    return Check("RAY_ADDRESS", "ok", f"not set: every run {joins}")


def check_warm(found: WarmRay | None) -> Check:
    """Whether the Ray of ``tune-app up`` is there, and runs can use it."""
    if found is None:
        return Check("warm Ray", "ok", "none: tune-app up starts one, on which runs begin within seconds")
    if why := found.refuses(0):
        fix = "Start it again: tune-app down, then tune-app up"
        return Check("warm Ray", "warning", f"no run uses it: {why}", fix)
    return Check("warm Ray", "ok", f"{found.line}; {counted(found.users(), 'run')} now")


def check_spaces() -> Check:
    """The built-in search spaces, and those in the folder of their name here, can be read."""
    names = spaces.builtin_names()
    try:
        for name in names:
            spaces.load(name)
    except TuneAppError as error:
        return Check("search spaces", "problem", str(error), "Fix that file, or install tune-app again.")
    return Check("search spaces", "ok", ", ".join(names))
