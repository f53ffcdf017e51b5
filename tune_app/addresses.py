"""Where a sweep trains when nobody says: the cluster that this machine is part of, or a Ray of its own.

Only what was started on purpose counts: ``$RAY_ADDRESS``, or ``ray start`` (so by ``ray up`` on each of its
machines), which leaves its address in a file. The private Ray of another sweep leaves none, so two sweeps on
a laptop do not meet. Nothing here imports Ray.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_ANSWER_WITHIN_S = 1.0


def default() -> str:
    """``$RAY_ADDRESS``; that of the cluster that ``ray start`` made this machine part of; ``local``."""
    return os.environ.get("RAY_ADDRESS") or started() or "local"


def started(folder: Path | None = None) -> str | None:
    """The address that ``ray start`` left on this machine, if something answers there; else None.

    A machine that lost its power leaves the file behind, and ``ray stop`` removes it.
    """
    folder = folder or Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray"
    try:
        address = (folder / "ray_current_cluster").read_text(encoding="utf-8").strip()
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_WITHIN_S):
            return address
    except (OSError, ValueError):
        return None
