"""Finds facts about this machine; `checks` judges them.

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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tune_app import space as spaces
from tune_app.doctor import checks
from tune_app.doctor.checks import Check, Probe
from tune_app.engines.ray import addresses
from tune_app.errors import TuneAppError
from tune_app.session import provenance
from tune_app.sweep import code
from tune_app.text import counted

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


def check_machine(runs_dir: Path, data: str = "phantom", *, quick: bool = False) -> list[Check]:
    """Check this machine. It takes a few seconds, most of them to start Ray, which ``quick`` leaves out."""
    system = platform.system()
    start_ray = not quick and system != "Windows"
    with ThreadPoolExecutor(2) as pool:
        asked_torch = pool.submit(run_probe, _TRY_TORCH)
        asked_ray = pool.submit(run_probe, _TRY_RAY) if start_ray else None
        gpus = provenance.gpus()
        found = [
            checks.check_python(sys.version_info[:3]),
            checks.check_system(system),
            checks.check_processor(provenance.cores(), provenance.memory_bytes()),
            checks.check_shared_memory(_free_bytes(Path("/dev/shm")) if system == "Linux" else None),
            check_runs_dir(runs_dir),
            checks.check_disk(_existing(runs_dir), _free_bytes(_existing(runs_dir))),
            check_data(data),
            checks.check_address(os.environ.get("RAY_ADDRESS"), addresses.local_cluster()),
            check_spaces(),
        ]
        torch = asked_torch.result()
        ray = asked_ray.result() if asked_ray else None
    engines = [
        checks.check_torch(torch),
        checks.check_gpus(gpus, torch, os.environ.get("CUDA_VISIBLE_DEVICES")),
        checks.check_ray(code.version("ray"), ray, torch),
    ]
    return [*found[:2], *engines, *found[2:]]


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


def run_probe(program: str, timeout_s: float = _ANSWER_WITHIN_S) -> Probe:
    """Run a Python program that prints one JSON object as its last line, in a separate process."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return Probe(fault=f"no answer within {timeout_s:.0f} s")
    except OSError as error:
        return Probe(fault=f"{sys.executable} does not start: {error.strerror}")
    if done.returncode == 0:
        return Probe(json.loads(done.stdout.splitlines()[-1]))
    # a traceback's last line that is not indented is the error; what may follow is advice on it
    words = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
    return Probe(fault=words[-1] if words else f"its process ended with {done.returncode}")


def check_runs_dir(runs_dir: Path) -> Check:
    """A file can be written where the run folders are or will be."""
    folder = _existing(runs_dir)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tune-app-"):
            pass
    except OSError as error:
        why = f"{runs_dir}: cannot be written: {error.strerror}"
        return Check("runs folder", "problem", why, "Give one that can be with --runs-dir.")
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
        return Check("data", "problem", f"course: not, or not whole, in {COURSE_DIR}", "tune-app data fetch")
    path = Path(source)
    if course.is_layout(path) or folder.is_image_folder(path):
        return Check("data", "ok", f"{source}: found")
    return Check(
        "data",
        "problem",
        f"{source}: no such folder, or neither arrays nor images are in it",
        "Name phantom, course, or a folder that holds train and test.",
    )


def check_spaces() -> Check:
    """The built-in search spaces can be read."""
    names = spaces.builtin_names()
    try:
        for name in names:
            spaces.load(name)
    except TuneAppError as error:
        return Check("search spaces", "problem", str(error), "Fix that file, or install tune-app again.")
    if not names:
        return Check("search spaces", "problem", "none is built in", "Install tune-app again.")
    return Check("search spaces", "ok", ", ".join(names))


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
