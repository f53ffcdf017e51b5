"""A thread that copies what is new of a run from the local disk to the storage, in order.

The driver does not wait for it. It reads only the local disk, so after a failure of the storage it continues
where it was, and it keeps nothing in memory.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from tune_app.errors import FolderChanged, describe
from tune_app.storage import segments
from tune_app.storage.store import FAULTS, Store
from tune_app.sweep.events import Saved
from tune_app.sweep.opened_folder import OpenedFolder
from tune_app.sweep.paths import RunPaths
from tune_app.text import Notify

#: Seconds between two segments; only the last one may come sooner.
EVERY_S = 1.0
#: How often a mirror with nothing to write checks for a takeover.
LOOK_EVERY_S = 5.0
#: How long to wait after the storage failed.
RETRY_S = 10.0


class Mirror:
    """Mirrors a run within its context. ``Sweep.writing`` calls it after each write to the local record.

    If another folder replaces the ``opened`` one, nothing is read. ``notify`` is called from the thread.
    """

    def __init__(self, store: Store, opened: OpenedFolder, owner: str, notify: Notify) -> None:
        self._store, self._opened, self._owner, self._notify = store, opened, owner, notify
        # For its thread: a task may change the working directory while it trains.
        self._paths = RunPaths(opened.paths.folder.absolute())
        self._wake, self._ending = threading.Event(), threading.Event()
        self._on_taken: Notify = lambda _: None
        #: Who took over the run, and when; empty as long as this process owns it.
        self.taken = ""
        self._failure = ""
        self._kept_at = time.time()
        self._number = self._sent = self._scored = 0
        #: The names of the checkpoints on the storage; None before they are listed.
        self._stored: set[str] | None = None
        self._frozen: dict[str, tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)

    def __call__(self, _: bytes) -> None:
        """New events are on the local disk."""
        self._wake.set()

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._wake.set()
        self._thread.join()

    def on_taken_over(self, end: Notify) -> None:
        """Call ``end`` with the reason, perhaps from the thread, if another machine takes over the run."""
        self._on_taken = end
        if self.taken:
            end(self.taken)

    def unmirrored(self) -> str:
        """A message about what a closed mirror could not copy; empty if the storage has everything."""
        if not self._failure:
            return ""
        events = self._lines().count(b"\n")
        files = len(self._here() - {name[9:] for name in self._stored or ()})
        since = time.strftime("%H:%M:%S", time.localtime(self._kept_at))
        return (
            f"{self._store.label}: lacks what was recorded since {since}: {events} events and {files} "
            f"checkpoints. The storage failed: {self._failure}\n"
            f"  {self._paths.folder} has everything. To copy it to the storage: tune-app resume "
            f"{self._paths.folder.name}"
        )

    # ---------------------------------------------------------------- the thread

    def _follow(self) -> None:
        while not self.taken:
            ending = self._ending.is_set()
            self._wake.clear()
            failure = ""
            try:
                self._catch_up()
                self._kept_at = time.time()
            except Exception as error:  # noqa: BLE001 - reported and tried again; in the end it is the session's error
                try:
                    self._opened.verify()
                except FolderChanged:  # the driver ends for the same reason
                    return
                failure = describe(error)
            if failure and not self._failure:
                self._notify(
                    f"WARNING: the storage {self._store.label} fails: {failure}\n  Training continues, but "
                    f"only this machine has the new results. Next try in {RETRY_S:g} s."
                )
            elif self._failure and not failure:
                self._notify(f"the storage {self._store.label} works again: everything is mirrored")
            self._failure = failure
            if ending:
                return
            self._ending.wait(RETRY_S if failure else EVERY_S)
            self._wake.wait(LOOK_EVERY_S)

    def _catch_up(self) -> None:
        """Copy what is new: first what events refer to, then the events; then remove old checkpoints."""
        if self._stored is None:
            self._stored = set(self._store.names(segments.CHECKPOINTS))
        if self._superseded():
            return
        # Listed first: a checkpoint that is gone by now was superseded by an event that is read below.
        here = self._here()
        gone = {name for name in self._stored if name[9:] not in here}
        lines = self._with_checkpoints(self._stored)
        self._copy_frozen()
        if lines:
            owner, number = self._owner, self._number + 1
            # Scores are on the local disk before the event that refers to them.
            scores = self._beyond(self._paths.scores, self._scored)
            end = self._scored + len(scores)
            if scores:
                name = segments.segment_name(owner, number, scores, end, "bin")
                self._store.write(f"{segments.SCORES}/{name}", scores)
                self._scored = end
            name = segments.segment_name(owner, number, lines, end, "jsonl")
            self._store.write(f"{segments.RECORD}/{name}", lines)
            self._number, self._sent = number, self._sent + len(lines)
        self._opened.verify()  # in another folder `here` would be empty
        if gone and not self._superseded():
            for name in gone:
                self._store.remove(f"{segments.CHECKPOINTS}/{name}")
                self._stored.discard(name)

    def _superseded(self) -> bool:
        """Whether another machine has claimed the run: then nothing more is written, and the session ends."""
        last = max(self._store.names(segments.OWNERS), default=self._owner)
        if last <= f"{self._owner}.json":
            return False
        who = "another machine"
        with suppress(*FAULTS, ValueError, KeyError):
            claim = json.loads(self._store.read(f"{segments.OWNERS}/{last}"))
            who = f"{claim['host']} at {time.strftime('%H:%M:%S', time.localtime(claim['t']))}"
        self.taken = f"taken over by {who}, which continues it from {self._store.label}"
        self._on_taken(self.taken)
        return True

    def _here(self) -> set[str]:
        return {path.name for path in self._paths.checkpoints.glob("*.pt")}

    def _beyond(self, path: Path, offset: int) -> bytes:
        """What a file of the run has from ``offset`` on."""
        data = b""
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        self._opened.verify()
        return data

    def _lines(self) -> bytes:
        """The complete lines since the last segment."""
        lines = self._beyond(self._paths.record, self._sent)
        return lines[: lines.rfind(b"\n") + 1]

    def _with_checkpoints(self, stored: set[str]) -> bytes:
        """The lines of the next segment, once the checkpoints that they name are ``stored``.

        A checkpoint that is gone was superseded by a later event, which is then read too. So the record on
        the storage never refers to a checkpoint that was not copied.
        """
        known: set[str] = set()
        while True:
            lines, missing = self._lines(), set()
            for saved in _checkpoints(lines):
                name = segments.object_name(saved.file, saved.crc32)
                if name in stored:
                    continue
                data = self._beyond(self._paths.checkpoints / saved.file, 0)
                if zlib.crc32(data) == saved.crc32:
                    self._store.write(f"{segments.CHECKPOINTS}/{name}", data)
                    stored.add(name)
                else:
                    missing.add(name)
            if missing <= known:
                return lines
            known = missing

    def _copy_frozen(self) -> None:
        """Copy new and changed files that the record cannot reproduce."""
        paths = self._paths
        for path in (*first_session_files(paths), *paths.logs.glob("*.log")):
            with suppress(FileNotFoundError):
                stat = path.stat()
                name = path.relative_to(paths.folder).as_posix()
                if self._frozen.get(name) != (stat.st_mtime_ns, stat.st_size):
                    content = path.read_bytes()
                    self._opened.verify()
                    self._store.write(name, content)
                    self._frozen[name] = stat.st_mtime_ns, stat.st_size


def first_session_files(paths: RunPaths) -> tuple[Path, ...]:
    """The files that a run gets in its first session."""
    return paths.space, paths.provenance, paths.test_images


def _checkpoints(lines: bytes) -> Iterator[Saved]:
    """The checkpoints that events refer to, the newest first."""
    for line in reversed(lines.splitlines()):
        if b'":{"epoch":' in line:
            event = json.loads(line)
            for key in ("saved", "weights", "start"):
                if event.get(key):
                    yield msgspec.convert(event[key], Saved)
