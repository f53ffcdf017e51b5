"""Summaries of runs, from the ``summary.json`` of each.

The file is derived from the record, and used only while the record has the length that it had then. So a
folder of a thousand runs is listed without reading a record.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_app.errors import TuneAppError, describe
from tune_app.status import Status
from tune_app.sweep.files import write_file
from tune_app.sweep.paths import RunPaths, find_runs, open_plain
from tune_app.text import aligned

#: Version of the format; a summary of another version is made again.
_VERSION = 2
#: Size limit of a summary, in bytes.
_LARGEST = 16 << 20
#: The keys of a summary that are shown, with their types.
_KINDS = {"states": dict, "configurations": int, "data": str, "shown": str}


def summaries(runs_dir: Path, make: Callable[[Path], dict[str, Any]]) -> list[dict[str, Any]]:
    """The summary of each run, newest first; ``make`` makes one from the record where the file is outdated.

    The summary of a run that cannot be read has the keys ``run``, ``folder`` and ``error``.
    """
    return [read(folder) or _made(folder, make) for folder in find_runs(runs_dir)]


def _made(folder: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make(folder)
    except Exception as error:  # noqa: BLE001 - whatever a damaged record happens to cause
        said = str(error) if isinstance(error, TuneAppError) else describe(error)
        return {"run": folder.name, "folder": str(folder), "error": said}


def write(paths: RunPaths, summary: Mapping[str, Any]) -> None:
    """Write the summary of a run; raises DiskError if the disk refuses it."""
    stamped = {**_stamp(paths), **summary}
    write_file(paths.summary, json.dumps({"crc32": _crc32(stamped), **stamped}))


def read(folder: Path) -> dict[str, Any] | None:
    """The summary of a run; None if there is none, or it was edited, damaged or is older than the record."""
    paths = RunPaths(folder)
    try:
        stamp = _stamp(paths)
        with open_plain(paths.summary) as file:
            summary: dict[str, Any] = json.loads(file.read(_LARGEST))
        if summary.pop("crc32") != _crc32(summary) or not stamp.items() <= summary.items():
            return None
        if not all(isinstance(summary[key], kind) for key, kind in _KINDS.items()):
            return None
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    # A run may be copied or renamed together with its summary.
    kept = {key: value for key, value in summary.items() if key not in stamp}
    return {**kept, "run": folder.name, "folder": str(folder)}


def _stamp(paths: RunPaths) -> dict[str, int]:
    return {"version": _VERSION, "record_bytes": paths.record.stat().st_size}


def _crc32(stamped: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(stamped).encode())


def listing(found: Sequence[Mapping[str, Any]], runs_dir: Path) -> str:
    """One line per run; runs that cannot be read come last, with the reason."""
    if not found:
        return f"no runs in {runs_dir} yet. Start one with: tune-app run grid"
    sound = [each for each in found if "error" not in each]
    rows = [
        [each["run"], tally(each["states"], each["configurations"]), each["data"], each["shown"]]
        for each in sound
    ]
    damaged = [
        f"  {each['run']} cannot be read: {each['error'].splitlines()[0]}"
        for each in found
        if each not in sound
    ]
    return "\n".join([*([aligned(rows)] if rows else []), *damaged])


def tally(states: Mapping[str, int], total: int) -> str:
    """``7 of 9 finished, 2 running``."""
    others = [f"{number} {name}" for name, number in states.items() if name != Status.FINISHED]
    return ", ".join([f"{states.get(Status.FINISHED, 0)} of {total} finished", *others])
