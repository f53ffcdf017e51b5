"""The versions that a cluster's machines must have: those of this one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata

_RAY = re.compile(r"\bray(?:\[[\w,-]*\])?\s*(==|>=|~=|<=|@|>|<)\s*([\w.*-]+)")
_PYTHON = re.compile(r"\bpython(?:\s+|=+)?(3\.\d+)", re.IGNORECASE)


def ray() -> str:
    """The version of Ray that is installed here."""
    return metadata.version("ray")


def python() -> str:
    """Python's minor version here: ``3.12``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def ray_pins(commands: Iterable[str]) -> list[tuple[str, str]]:
    """What shell commands ask of Ray: ``("==", "2.60.0")`` for ``pip install ray[tune]==2.60.0``."""
    return [(m[1], m[2]) for command in commands for m in _RAY.finditer(command)]


def pythons(commands: Iterable[str]) -> list[str]:
    """The minor versions of Python that shell commands name."""
    return [m[1] for command in commands for m in _PYTHON.finditer(command)]
