"""Ways to change a run folder, or a file of torch, as a stranger may have done.

Their records are of version 1, whose lines have no checksums: a stranger can as well compute those.
"""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Make = Callable[[Path], None]

#: From ``checkpoints`` of a run, and from the run itself: the folder that nobody may touch.
FAR, NEAR = "../../../../outside", "../../../outside"
RECORD = "record.jsonl"


def read(run: Path) -> list[Event]:
    """The events of a record, without their checksums."""
    events = [json.loads(line) for line in (run / RECORD).read_bytes().splitlines()]
    for event in events:
        event.pop("crc", None)
    events[0]["version"] = 1
    return events


def write(run: Path, events: list[Event]) -> None:
    """Make these the record of a run."""
    (run / RECORD).write_text("".join(json.dumps(event) + "\n" for event in events))


def changed(kind: str, change: Callable[[Event], Any]) -> Make:
    """The last event of a kind is changed, or replaced by what ``change`` returns."""

    def make(run: Path) -> None:
        events = read(run)
        place = max(i for i, event in enumerate(events) if event["event"] == kind)
        events[place] = change(events[place]) or events[place]
        write(run, events)

    return make


def field(kind: str, **fields: Any) -> Make:
    """Fields of the last event of a kind are others."""
    return changed(kind, lambda event: event.update(fields))


def added(**event: Any) -> Make:
    """An event is added at the end."""

    def make(run: Path) -> None:
        events = read(run)
        write(run, [*events, {"t": events[-1]["t"], **event}])

    return make


def file(kind: str, key: str, name: str) -> Make:
    """The file that an event names is called otherwise."""
    saved = {"epoch": 2, "file": name, "size_bytes": 1, "crc32": 0}
    return field(kind, **{key: saved})


def space(old: str, new: str) -> Make:
    """The text of the space, in the header and wherever it is extended."""

    def make(run: Path) -> None:
        events = read(run)
        if old not in events[0]["yaml"]:
            raise ValueError(f"no {old!r} in {events[0]['yaml']!r}")
        events[0]["yaml"] = events[0]["yaml"].replace(old, new)
        events[0]["task"] = new.removeprefix("task: ") if new.startswith("task: ") else events[0]["task"]
        write(run, events)

    return make


def sampler(run: Path) -> None:
    """A search with a sampler of somebody's own."""
    space("{grid: [0.001, 0.0003]}", "{loguniform: [0.0001, 0.01]}")(run)
    space("algorithm: grid", "algorithm: optuna\n  samples: 5\n  sampler: evil:Sampler")(run)


def extended(old: str, new: str) -> Make:
    """An extension by which the space is another."""

    def make(run: Path) -> None:
        events = read(run)
        text = events[0]["yaml"].replace(old, new)
        more = {
            "event": "extended",
            "t": events[-1]["t"],
            "space": text,
            "asked": "--seeds +1",
            "from_start": False,
        }
        write(run, [*events, more])

    return make


def source(**fields: Any) -> Make:
    """Where the data is said to lie."""
    return changed("created", lambda event: event.update(source={**event["source"], **fields}))


def metric(name: str) -> Make:
    """All epochs have a metric of this name as well, on training and validation data."""

    def make(run: Path) -> None:
        events = read(run)
        for event in events:
            if event["event"] == "epoch":
                values = event["metrics"]["val_accuracy"]
                event["metrics"] |= {f"train_{name}": values, f"val_{name}": values}
        write(run, events)

    return make


def raw(text: bytes) -> Make:
    """A line at the end of the record."""

    def make(run: Path) -> None:
        write(run, read(run))
        with (run / RECORD).open("ab") as record:
            record.write(text + b"\n")

    return make


def link(name: str, target: str) -> Make:
    """A file or folder of the run is a link."""

    def make(run: Path) -> None:
        path = run / name
        path.parent.mkdir(exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            for each in path.iterdir():
                each.unlink()
            path.rmdir()
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return make


def pipe(name: str) -> Make:
    """A file of the run is a named pipe, at which a reader waits without end."""

    def make(run: Path) -> None:
        path = run / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return make


def hard_link(name: str) -> Make:
    """A file of the run is one of the user's."""

    def make(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).hardlink_to(run / NEAR / "thesis.tex")

    return make


def content(name: str, data: bytes) -> Make:
    """A file of the run holds something else."""

    def make(run: Path) -> None:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(data)

    return make


def folder(name: str) -> Make:
    """There is a folder where a file should be."""

    def make(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name / "in it").mkdir(parents=True)

    return make


def checkpoint(data: Callable[[bytes], bytes]) -> Make:
    """Every checkpoint holds something else, with the checksum that goes with it."""

    def make(run: Path) -> None:
        events = read(run)
        for event in events:
            for key in ("saved", "weights", "start"):
                if saved := event.get(key):
                    path = run / "checkpoints" / saved["file"]
                    if path.exists():
                        found = data(path.read_bytes())
                        path.write_bytes(found)
                        saved |= {"size_bytes": len(found), "crc32": zlib.crc32(found)}
        write(run, events)

    return make


class Evil:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ../outside/executed",)


def code_in_pickle(_: bytes) -> bytes:
    """A pickle that runs a command."""
    return pickle.dumps(Evil())


def code_in_archive(data: bytes) -> bytes:
    """A file of torch whose pickle runs a command."""
    return rezipped(data, lambda name, part: pickle.dumps(Evil()) if name.endswith("data.pkl") else part)


def bomb(data: bytes) -> bytes:
    """A file of torch with a part that is 2 GiB long, compressed to a thousandth."""
    import io

    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        top = archive.namelist()[0].partition("/")[0]
        with archive.open(f"{top}/data/999", "w", force_zip64=True) as part:
            for _ in range(256):
                part.write(bytes(1 << 23))
    return buffer.getvalue()


def rezipped(
    data: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED
) -> bytes:
    """A file of torch with other parts, and checksums that go with them."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


def triggered(run: Path) -> None:
    """A study with triggers of its own, and nothing else."""
    with sqlite3.connect(run / "study.db") as database:
        database.execute("CREATE TABLE studies (study_id INTEGER, study_name TEXT)")
        database.execute("CREATE TABLE trials (number INTEGER)")
        database.execute("CREATE TRIGGER more AFTER INSERT ON trials BEGIN DELETE FROM studies; END")
        database.execute("INSERT INTO studies VALUES (1, 'x')")
    database.close()


def journal(run: Path) -> None:
    """A study whose journal is a link to a file that is not there."""
    link("study.db-journal", f"{NEAR}/new")(run)


def summary(run: Path) -> None:
    """A summary with a checksum that fits, of other types than a summary has."""
    found = {"version": 2, "record_bytes": (run / RECORD).stat().st_size, "states": [], "configurations": "9"}
    found = {"crc32": zlib.crc32(json.dumps(found).encode()), **found}
    (run / "summary.json").write_text(json.dumps(found))
