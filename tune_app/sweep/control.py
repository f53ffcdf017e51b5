"""Requests of other processes to the one that trains a run: JSON files in its ``control/``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tune_app.sweep.event_lines import parse
from tune_app.sweep.events import EventError, TestOpened
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
    for path, request in _waiting(folder):
        remove(path)
        if isinstance(request, dict) and isinstance(request.get("sample", 0), int):
            yield request


def opening(request: dict[str, Any]) -> TestOpened | None:
    """The event of a request to record that all test figures were shown; None for another request."""
    if request.get("do") == "opened":
        with suppress(EventError):
            return parse({"event": "testopened", "t": 0.0, "by": request.get("by")})  # type: ignore[return-value]
    return None


def openings(folder: Path) -> list[TestOpened]:
    """The events of those requests that wait; their files stay."""
    found = [opening(request) for _, request in _waiting(folder) if isinstance(request, dict)]
    return [event for event in found if event]


def _waiting(folder: Path) -> Iterator[tuple[Path, Any]]:
    for path in sorted(folder.glob("*.json")):
        try:
            with path.open("rb") as file:
                request = json.loads(file.read(_LARGEST))
        except (OSError, ValueError, RecursionError):  # no request of ours
            continue
        yield path, request
