"""The runs of a folder at a glance, from what each last wrote down of itself.

A run's ``summary.json`` is a view like its CSV files: it holds as long as the record has not grown since,
else it is made again from the record. So a folder of a thousand runs is listed without reading a record.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_app.errors import DiskError, TuneAppError, describe
from tune_app.status import Status
from tune_app.sweep.paths import RunPaths, find_runs, open_plain
from tune_app.sweep.record import write_atomically
from tune_app.text import aligned

#: The version of what a summary holds; another one is made again.
_VERSION = 2
#: Bytes of a summary: a larger one is not ours.
_LARGEST = 16 << 20
#: What is shown of it, by key.
_KINDS = {"states": dict, "configurations": int, "data": str, "shown": str}


def summaries(runs_dir: Path, make: Callable[[Path], dict[str, Any]]) -> list[dict[str, Any]]:
    """What there is to say of each run, newest first; ``make`` reads it from the record where it must.

    A run that cannot be read has the keys ``run``, ``folder`` and ``error`` alone, and hides no other.
    """
    return [read(folder) or _made(folder, make) for folder in find_runs(runs_dir)]


def _made(folder: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make(folder)
    except Exception as error:  # noqa: BLE001 - whatever a damaged record happens to cause
        said = str(error) if isinstance(error, TuneAppError) else describe(error)
        return {"run": folder.name, "folder": str(folder), "error": said}


def write(paths: RunPaths, summary: Mapping[str, Any]) -> None:
    """Write down what there is to say of a run.

    Raises:
        DiskError: the disk refused it; the record is untouched.
    """
    stamped = {"version": _VERSION, "record_bytes": paths.record.stat().st_size, **summary}
    try:
        write_atomically(paths.summary, json.dumps({"crc32": _crc32(stamped), **stamped}).encode())
    except OSError as error:
        raise DiskError(f"{paths.summary}: cannot be written: {error.strerror}.") from error


def _crc32(stamped: Mapping[str, Any]) -> int:
    """What shows that a summary was edited: it holds no more than the record does, so it is made again."""
    return zlib.crc32(json.dumps(stamped).encode())


def read(folder: Path) -> dict[str, Any] | None:
    """What a run wrote down of itself; None where its record has grown since, or there is nothing."""
    paths = RunPaths(folder)
    try:
        with open_plain(paths.summary) as file:
            summary: dict[str, Any] = json.loads(file.read(_LARGEST))
        whole = summary.pop("crc32") == _crc32(summary)
        fresh = whole and (summary.pop("version"), summary.pop("record_bytes")) == (
            _VERSION,
            paths.record.stat().st_size,
        )
        fresh = fresh and all(isinstance(summary[key], kind) for key, kind in _KINDS.items())
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None  # there is none, or it is damaged: made again
    # A run may be copied or renamed together with its summary.
    return {**summary, "run": folder.name, "folder": str(folder)} if fresh else None


def listing(found: Sequence[Mapping[str, Any]], runs_dir: Path) -> str:
    """A line a run; those that cannot be read come last, each with the reason."""
    if not found:
        return f"no runs in {runs_dir} yet. Start one with: tune-app run grid"
    rows = [
        [each["run"], tally(each["states"], each["configurations"]), each["data"], each["shown"]]
        for each in found
        if "error" not in each
    ]
    damaged = [
        f"  {each['run']} cannot be read: {each['error'].splitlines()[0]}"
        for each in found
        if "error" in each
    ]
    return "\n".join([*([aligned(rows)] if rows else []), *damaged])


def tally(states: Mapping[str, int], total: int) -> str:
    """``7 of 9 finished, 2 running``."""
    others = [f"{number} {name}" for name, number in states.items() if name != Status.FINISHED]
    return ", ".join([f"{states.get(Status.FINISHED, 0)} of {total} finished", *others])
