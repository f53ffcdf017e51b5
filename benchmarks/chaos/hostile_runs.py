"""Run folders as a stranger may have made them up: each a change of a run that was interrupted.

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
from functools import partial
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


_DEEP = b'{"event":"opened","t":1,"provenance":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_LONG = b'{"event":"stopped","t":1,"trial":"1.1","reason":"' + b"x" * 100_000_000 + b'"}'
#: What a browser would run.
SCRIPT = "<script>alert(1)</script>"

RUNS: dict[str, Make] = {
    # names of files
    **{
        f"the {key} of a {kind} event is {name!r}"[:90]: file(kind, key, name)
        for kind, key, name in (
            ("finished", "weights", f"{FAR}/thesis.tex"),
            ("finished", "weights", "/etc/passwd"),
            ("finished", "weights", f"..\\{FAR}"),
            ("finished", "weights", "1-0-000002-weights.pt\0"),
            ("finished", "weights", "1-0-000002-weights.pt/.."),
            ("finished", "saved", "..."),
            ("finished", "saved", "mine.pt"),
            ("finished", "saved", "-rf"),
            ("checkpoint", "saved", f"{FAR}/thesis.tex"),
            ("started", "start", f"{FAR}/vault/c.pt"),
        )
    },
    "a log elsewhere": added(event="failed", trial="2.1", sample=2, reason="x", log=f"{NEAR}/secret.txt"),
    "a log at an absolute path": added(event="failed", trial="2.1", sample=2, reason="x", log="/etc/passwd"),
    "a log above logs": added(event="failed", trial="2.1", sample=2, reason="x", log="logs/../record.jsonl"),
    "a trial named as a path": field("started", trial=f"{FAR}/secret"),
    "a trial named 2.1/../x": field("started", trial="2.1/../x"),
    "a metric named as a path": metric("/../../../../../outside/pwned"),
    "a metric named /etc/x": metric("/etc/x"),
    "a metric in HTML": metric(SCRIPT),
    "a name of the space as a path": field("created", space=f"{NEAR}/x"),
    "a run that it confirms elsewhere": field("created", confirms=f"{NEAR}/vault"),
    "a run that it confirms above": field("created", confirms=".."),
    # places
    "data elsewhere": source(data=f"{NEAR}/private", path=None),
    "data at a path": source(data="gone", path=str(Path("/outside"))),
    "data under a built-in name at a path": source(data="phantom", path="/etc"),
    "a storage elsewhere": field("opened", storage=f"{NEAR}/vault"),
    "a storage on the net": field("opened", storage="s3://somebody/runs"),
    # code
    "a task of its own": space("task: pneumonia", "task: evil:Task"),
    "a task among Python's modules": space("task: pneumonia", "task: this:s"),
    "a task that opens a browser": space("task: pneumonia", "task: antigravity:fly"),
    "a task in a package": space("task: pneumonia", "task: evil.deep.er:Task"),
    "a task of an extension": extended("task: pneumonia", "task: evil:Task"),
    "a task that is no name": space("task: pneumonia", "task: ../outside/evil:Task"),
    "a sampler of its own": sampler,
    "files of code elsewhere": added(
        event="code", trial="1.1", files={f"{FAR}/evil.py": "0" * 64}, versions={}
    ),
    # links
    **{
        f"{name} is a link": link(name, target)
        for name, target in (
            (RECORD, f"{NEAR}/record.jsonl"),
            ("checkpoints", f"{NEAR}/vault"),
            ("results.csv", f"{NEAR}/thesis.tex"),
            ("results.csv.part", f"{NEAR}/thesis.tex"),
            ("space.yaml.part", f"{NEAR}/new"),
            (".lock", f"{NEAR}/thesis.tex"),
            ("summary.json", f"{NEAR}/secret.txt"),
            ("study.db", f"{NEAR}/new.db"),
            ("test_scores.bin", f"{NEAR}/thesis.tex"),
            ("test_images.csv", f"{NEAR}/secret.txt"),
            ("report", f"{NEAR}/vault"),
            ("control", f"{NEAR}/vault"),
            ("logs/1.1.log", f"../{NEAR}/secret.txt"),
            ("logs/2-0-1.out", f"../{NEAR}/thesis.tex"),
        )
    },
    "a link to a link within": link("report", "logs"),
    "the journal of study.db is a link": journal,
    "a pipe among the checkpoints": pipe("checkpoints/9-0-000001-state.pt"),
    "a pipe as summary.json": pipe("summary.json"),
    "a pipe as the record": pipe(RECORD),
    "test_scores.bin is a file of the user's": hard_link("test_scores.bin"),
    ".lock is a file of the user's": hard_link(".lock"),
    # sizes
    "test scores of 10^12 numbers": field("finished", scores={"offset": 0, "shape": [2, 10**12]}),
    "test scores of 10^400 numbers": field("finished", scores={"offset": 0, "shape": [2, 10**400]}),
    "test scores before the file": field("finished", scores={"offset": -4, "shape": [2, 2]}),
    "an epoch 10^12": field("epoch", epoch=10**12),
    "an end after epoch 10^12": added(event="ended", trial="2.1", epoch=10**12, replicates=[0], by="task"),
    "10^9 replicates": space("seeds: 2", "seeds: 1000000000"),
    "10^9 epochs": space("epochs: 2", "epochs: 1000000000"),
    "a grid of 10^12 points": space(
        "space:", "space:\n" + "".join(f"  p{i}: {{grid: {list(range(100))}}}\n" for i in range(6)) + "#"
    ),
    "a line of 100 MB": raw(_LONG),
    "JSON 100,000 deep": raw(_DEEP),
    "a number of 10,000 digits": raw(b'{"event":"opened","t":1' + b"0" * 10_000 + b"}"),
    "NaN": raw(b'{"event":"opened","t":NaN,"provenance":{}}'),
    "a date beyond all dates": field("started", t=1e300),
    "10^9 threads": field(
        "created", numerics={"replicates": "looped", "threads": 10**9, "precision": "float32"}
    ),
    "YAML that grows": space("task: pneumonia", "a: &a [x, x]\nb: &b [*a, *a]\ntask: pneumonia"),
    "YAML 100,000 deep": space("space:", "space: " + "[" * 100_000 + "\nb:"),
    "YAML with a tag": space(
        "task: pneumonia", "task: !!python/object/apply:os.system ['touch ../outside/executed']"
    ),
    # types and order
    "no event": raw(b"[1, 2]"),
    "a twin of itself": field("planned", twin=2),
    "a twin of nothing": field("planned", twin=99),
    "a configuration of lists": field("planned", config={"lr": [1, 2]}),
    "samples twice": added(event="planned", sample=1, fingerprint="f", config={"lr": 1.0}, twin=None),
    "an epoch of nothing": added(event="epoch", trial="9.9", epoch=1, metrics={}, durations_s=[]),
    "no replicates": field("started", replicates=[]),
    "a device in escapes": field("started", node="\x1b]0;pwned\x07"),
    "a space in HTML": field("created", space=SCRIPT),
    "provenance of other types": field("opened", provenance={"versions": 1, "code": [], "argv": 5}),
    "data of other types": changed("created", lambda event: event.update(data={"source": 1})),
    "data in HTML": changed("created", lambda event: event.update(data={**event["data"], "source": SCRIPT})),
    # files beside the record
    "a summary of other types": summary,
    "a summary 100,000 deep": content("summary.json", b"[" * 100_000),
    "a study that is garbage": content("study.db", b"no database" * 1000),
    "a study with triggers": triggered,
    "garbage as test_images.csv": content("test_images.csv", b"\xff\0,\n" * 1000),
    "garbage as test_scores.bin": content("test_scores.bin", b"x"),
    "a request to stop of other types": content("control/1.json", b'{"do": "stop", "sample": [1]}'),
    "a request to stop 100,000 deep": content("control/1.json", b"[" * 100_000),
    "a folder as a request": folder("control/1.json"),
    "a folder among the checkpoints": folder("checkpoints/9-0-000001-state.pt"),
    "a folder as results.csv": folder("results.csv"),
    "a folder as .lock": folder(".lock"),
    "a folder as study.db": folder("study.db"),
    "a checkpoint that is a pickle": checkpoint(code_in_pickle),
    "a checkpoint with code": checkpoint(code_in_archive),
    "a checkpoint that grows": checkpoint(bomb),
    "a checkpoint of nothing": checkpoint(lambda _: b""),
    "a checkpoint that is compressed": checkpoint(
        partial(rezipped, change=lambda _, part: part, compression=zipfile.ZIP_DEFLATED)
    ),
}
