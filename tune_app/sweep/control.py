"""Requests of other processes to the one that trains a run: JSON files in its ``control/``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_app.sweep.opened_folder import remove, write_atomically

#: Size limit of a request, in bytes.
_LARGEST = 4096


def ask(folder: Path, request: dict[str, Any]) -> Path:
    """Write a request; returns its file, which is removed when the request is taken."""
    path = folder / f"{time.time_ns()}-{os.getpid()}.json"
    write_atomically(path, json.dumps(request).encode())
    return path


def take_requests(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield each request and remove its file."""
    for path in sorted(folder.glob("*.json")):
        try:
            with path.open("rb") as file:
                request = json.loads(file.read(_LARGEST))
        except (OSError, ValueError, RecursionError):  # no request of ours
            continue
        remove(path)
        if isinstance(request, dict) and isinstance(request.get("sample", 0), int):
            yield request
