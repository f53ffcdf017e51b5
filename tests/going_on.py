"""What a record must not show of a sweep that was gone on with."""

from __future__ import annotations

from pathlib import Path

from lines import read


def epochs_done_twice(record: Path, since: int = 0) -> list[tuple[str, int]]:
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
