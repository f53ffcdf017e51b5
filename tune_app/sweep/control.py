"""What other processes ask of the one that works on a run: a JSON file each, in its ``control/``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_app.sweep.record import remove, write_atomically

#: Bytes of a request: a larger file is none.
_LARGEST = 4096


def ask(folder: Path, request: dict[str, Any]) -> Path:
    """Leave a request; returns its file, which goes once it is heard."""
    path = folder / f"{time.time_ns()}-{os.getpid()}.json"
    write_atomically(path, json.dumps(request).encode())
    return path


def take_requests(folder: Path) -> Iterator[dict[str, Any]]:
    """The requests that there are, each removed as it is given out."""
    for path in sorted(folder.glob("*.json")):
        try:
            with path.open("rb") as file:
                request = json.loads(file.read(_LARGEST))
        except (OSError, ValueError, RecursionError):  # no request of ours
            continue
        remove(path)
        if isinstance(request, dict) and isinstance(request.get("sample", 0), int):
            yield request
