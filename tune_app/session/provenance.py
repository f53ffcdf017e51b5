"""What produced a result: versions, code, machine, data, settings and command line, as plain JSON.

Versions are read from the installed packages' metadata: neither torch nor ray is imported.
"""

from __future__ import annotations

import csv
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tune_app.data.identity import DataIdentity
from tune_app.space import Value
from tune_app.sweep import code
from tune_app.sweep.code import CodeState


@dataclass(frozen=True)
class Gpu:
    """One GPU as its driver names it."""

    index: int
    name: str
    memory_bytes: int | None
    driver: str


@dataclass(frozen=True)
class GpuProbe:
    """The output of ``nvidia-smi``; ``fault`` is its error, empty if it worked or is not installed."""

    found: tuple[Gpu, ...] = ()
    fault: str = ""


def collect(
    argv: Sequence[str], data: DataIdentity, settings: Mapping[str, Value], code_: CodeState | None = None
) -> dict[str, Any]:
    """The provenance of a session at its start. Only the name of the working directory is kept.

    ``settings`` are what the task adds to the configurations, such as defaults.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(argv),
        "directory": Path.cwd().name,
        "versions": versions(),
        **({"code": {"files": dict(code_.files or {}), "found": dict(code_.found)}} if code_ else {}),
        "git": git_state(),
        "os": platform.platform(),
        "hardware": hardware(),
        "data": asdict(data),
        "settings": dict(settings),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python, tune-app and the packages that it uses; None for a missing package."""
    return {**code.versions(), "pandas": code.version("pandas")}


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit, branch and whether tracked files are changed; None outside of a repository or without git.

    ``commit`` is None before the first commit, ``branch`` if no branch is checked out.
    """
    try:
        text = _answer(
            *("git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no"),
            folder=folder,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    heads = dict(line[2:].split(" ", 1) for line in text.splitlines() if line.startswith("# "))
    commit, branch = heads["branch.oid"], heads["branch.head"]
    return {
        "commit": None if commit == "(initial)" else commit,
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("# ") for line in text.splitlines()),
    }


def hardware() -> dict[str, Any]:
    """Host, CPU, usable cores, memory in bytes and GPUs of this machine."""
    found = gpus()
    return {
        "hostname": platform.node(),
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "gpus": [asdict(gpu) for gpu in found.found],
        **({"gpus_fault": found.fault} if found.fault else {}),
    }


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the CPU, or its architecture if the name is unknown."""
    try:
        if platform.system() == "Darwin":
            return _answer("sysctl", "-n", "machdep.cpu.brand_string").strip()
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except (OSError, subprocess.SubprocessError):
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Memory of the machine; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def gpus() -> GpuProbe:
    """The NVIDIA GPUs of this machine, as their driver lists them."""
    query = "--query-gpu=index,name,memory.total,driver_version"
    try:
        text = _answer("nvidia-smi", query, "--format=csv,noheader,nounits")
    except FileNotFoundError:
        return GpuProbe()
    except subprocess.CalledProcessError as error:
        words = (error.stdout or error.stderr or "").strip().splitlines()
        return GpuProbe(fault=words[0] if words else f"nvidia-smi ended with {error.returncode}")
    except (OSError, subprocess.SubprocessError) as error:
        return GpuProbe(fault=f"nvidia-smi: {error}")
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    found = (
        Gpu(int(index), name, int(mib) << 20 if mib.isdigit() else None, driver)
        for index, name, mib, driver in rows
    )
    return GpuProbe(tuple(found))


def _answer(*command: str, folder: Path | None = None) -> str:
    """The output of a command. Raises OSError if the command is missing, SubprocessError if it fails."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, check=True, text=True, errors="replace", timeout=10
    ).stdout
