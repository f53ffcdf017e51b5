"""The lines of a record as the scripts of users read them, and as somebody may rewrite them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def read(record: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each whole line, from 0, and its object."""
    text = record.read_text(encoding="utf-8")
    yield from enumerate(map(json.loads, text[: text.rfind("\n") + 1].splitlines()))


def sealed(events: Iterable[dict[str, Any]]) -> bytes:
    """The lines of these events with new checksums; as the documentation says."""
    lines, crc = [], 0
    for event in events:
        plain = {key: value for key, value in event.items() if key != "crc"}
        body = json.dumps(plain, separators=(",", ":")).encode()[:-1]
        crc = zlib.crc32(body, crc)
        lines.append(body + b',"crc":"%08x"}\n' % crc)
    return b"".join(lines)


def write(record: Path, events: Iterable[dict[str, Any]]) -> None:
    """Make a record of these events."""
    record.write_bytes(sealed(events))


def epochs_trained_twice(record: Path, since: int = 0) -> list[tuple[str, int]]:
    """Trial and epoch of what was trained again though a checkpoint past it was there; from an event on."""
    saved: dict[int, int] = {}
    samples: dict[str, int] = {}
    again: list[tuple[str, int]] = []
    for number, (_, event) in enumerate(read(record)):
        if event["event"] == "started":
            samples[event["trial"]] = event["sample"]
        known = saved.get(samples.get(event.get("trial", ""), 0), 0)
        if event["event"] == "epoch" and number >= since and event["epoch"] <= known:
            again.append((event["trial"], event["epoch"]))
        if event.get("saved"):
            saved[samples[event["trial"]]] = event["saved"]["epoch"]
    return again
