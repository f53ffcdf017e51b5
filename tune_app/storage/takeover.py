"""Taking over a run from a storage: claim it, and add what the storage has to the local folder."""

from __future__ import annotations

import io
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout
from pyarrow import fs

from tune_app.errors import RunError, nearest
from tune_app.storage import segments
from tune_app.storage.mirror import Mirror, first_session_files
from tune_app.storage.segments import StoredRun
from tune_app.storage.store import Store, connect, explain_errors
from tune_app.sweep.history import History
from tune_app.sweep.opened_folder import OpenedFolder, verify, write_atomically
from tune_app.sweep.paths import RunPaths, check_contained
from tune_app.sweep.record import parse
from tune_app.text import Notify


def runs(uri: str | None) -> frozenset[str]:
    """The names of the runs on a storage, after a test write; none without a storage."""
    if uri is None:
        return frozenset()
    store = connect(uri)
    with explain_errors(uri):
        return frozenset(store.names(kind=fs.FileType.Directory))


def fetch(uri: str, name: str, runs_dir: Path, notify: Notify) -> Path:
    """Copy a run that is only on the storage into a local folder, which is returned, without a claim."""
    names = sorted(runs(uri))
    with explain_errors(uri):
        opened = OpenedFolder(RunPaths(runs_dir / name))
        if name not in names or not _bring(connect(uri).subfolder(name), opened, notify):
            known = f"there are: {', '.join(names[:8])}" if names else "there are none yet"
            raise RunError(
                f'no run called "{name}" in {runs_dir} or {uri}.{nearest(name, names)}\n  {known} in {uri}'
            )
    return runs_dir / name


@contextmanager
def mirrored(uri: str | None, opened: OpenedFolder, notify: Notify) -> Iterator[Mirror | None]:
    """Claim a run and mirror it within the context; yields None without a storage.

    What only the storage has is first added to the local folder. RunError says if the two contradict.
    """
    if uri is None:
        yield None
        return
    with explain_errors(uri):
        store = connect(uri).subfolder(opened.paths.folder.name)
        seen = store.names(segments.RECORD)
        # Before the claim: a run that cannot be continued here keeps its owner.
        _bring(store, opened, notify)
        owner = _claim(store)
        if store.names(segments.RECORD) != seen:
            _bring(store, opened, notify)
    notify(f"mirrored to {store.label}")
    with Mirror(store, opened, owner, notify) as mirror:
        yield mirror


def _claim(store: Store) -> str:
    """Write the claim of the next owner of a run. The previous owner stops when it sees the claim."""
    names = [*store.names(segments.RECORD), *store.names(segments.OWNERS)]
    owner = f"{1 + segments.generation(names):06d}-{secrets.token_hex(4)}"
    claim = {"host": platform.node(), "pid": os.getpid(), "t": round(time.time(), 3)}
    store.write(f"{segments.OWNERS}/{owner}.json", json.dumps(claim).encode())
    return owner


def _bring(store: Store, opened: OpenedFolder, notify: Notify) -> bool:
    """Add what the storage has of a run to its local folder; False if it has nothing."""
    copy = segments.newest_run(store)
    if copy is None:
        return False
    paths = opened.paths
    try:
        opened.verify()
        paths.folder.mkdir(parents=True, exist_ok=True)
        check_contained(paths.folder, written=True)
        with opened.locked(0.5):
            _merge(store, paths, copy, notify)
    except Timeout:
        raise RunError(
            f"{paths.folder}: another tune-app process is working on this run. Wait for it, or end it."
        ) from None
    return True


def _merge(store: Store, paths: RunPaths, copy: StoredRun, notify: Notify) -> None:
    here = paths.record.read_bytes() if paths.record.is_file() else b""
    here = here[: here.rfind(b"\n") + 1]
    if here.startswith(copy.record):
        return
    if not copy.record.startswith(here):
        raise RunError(
            f"{paths.folder}: the run was continued elsewhere: its record and the one in "
            f"{store.label} each have events that the other lacks.\n"
            f"  To continue the one there, move this folder away: mv {paths.folder} {paths.folder}-left"
        )
    if copy.left_out:
        notify(
            f"WARNING: {store.label}: segment {copy.left_out} is missing or damaged. What was recorded "
            "after it is trained again."
        )
    _fetch_files(store, paths, copy)
    if not here:
        write_atomically(paths.record, copy.record)  # last: a folder without a record is no run
        return
    verify(paths.record)
    with paths.record.open("r+b") as file:
        file.truncate(len(here))
        file.seek(len(here))
        file.write(copy.record[len(here) :])
        file.flush()
        os.fsync(file.fileno())


def _fetch_files(store: Store, paths: RunPaths, copy: StoredRun) -> None:
    history = History()
    history.fold(parse(io.BytesIO(copy.record), store.label), store.label)
    there = set(store.names(segments.CHECKPOINTS))
    for attempt in history.attempts.values():
        for saved in filter(None, (attempt.saved, attempt.weights)):
            name = segments.object_name(saved.file, saved.crc32)
            if name in there:
                _fetch(store, f"{segments.CHECKPOINTS}/{name}", paths.checkpoints / saved.file)
    beside = store.names()
    for path in first_session_files(paths):
        if path.name in beside:
            _fetch(store, path.name, path)
    for name in store.names(segments.LOGS):
        _fetch(store, f"{segments.LOGS}/{name}", paths.logs / name)
    scores = paths.scores.read_bytes() if paths.scores.is_file() else b""
    if not scores.startswith(copy.scores):
        write_atomically(paths.scores, copy.scores)


def _fetch(store: Store, name: str, path: Path) -> None:
    if not path.exists():
        write_atomically(path, store.read(name))
