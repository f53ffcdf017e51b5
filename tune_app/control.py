"""What other processes ask of the one that works on a run: a JSON file each, in its ``control/``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_app.record import place, remove


def ask(folder: Path, request: dict[str, Any]) -> Path:
    """Leave a request; returns its file, which goes once it is heard."""
    path = folder / f"{time.time_ns()}-{os.getpid()}.json"
    place(path, json.dumps(request).encode())
    return path


def heard(folder: Path) -> Iterator[dict[str, Any]]:
    """The requests that there are, each removed as it is given out."""
    for path in sorted(folder.glob("*.json")):
        try:
            request = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # being written right now: it is whole the next time
            continue
        remove(path)
        if isinstance(request, dict):
            yield request
