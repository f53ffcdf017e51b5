"""Taking a run over from a storage: claim it, and bring the folder here up to what is recorded there."""

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

from tune_app.errors import RunError, nearest
from tune_app.storage import segments
from tune_app.storage.mirror import Mirror, Tell, frozen
from tune_app.storage.segments import StoredRun
from tune_app.storage.store import Store, connect, usable
from tune_app.sweep import coherence
from tune_app.sweep.history import History
from tune_app.sweep.opened_folder import OpenedFolder
from tune_app.sweep.paths import RunPaths, check_contained
from tune_app.sweep.record import extend, parse, write_atomically


def runs(uri: str | None) -> frozenset[str]:
    """The names of the runs on a storage that has been seen to take a write; none without one.

    Raises:
        RunError: it cannot be used.
    """
    if uri is None:
        return frozenset()
    store = connect(uri)
    with usable(uri):
        return frozenset(store.folders())


def fetch(uri: str, name: str, runs_dir: Path, tell: Tell) -> Path:
    """Make the folder of a run that is on the storage and not here; returns it. It is not claimed yet.

    Raises:
        RunError: the storage cannot be used, or has no such run.
    """
    names = sorted(runs(uri))
    with usable(uri):
        opened = OpenedFolder(RunPaths(runs_dir / name))
        if name not in names or not _bring(connect(uri).below(name), opened, tell):
            known = f"there are: {', '.join(names[:8])}" if names else "there are none yet"
            raise RunError(
                f'no run called "{name}" in {runs_dir} or {uri}.{nearest(name, names)}\n  {known} in {uri}'
            )
    return runs_dir / name


@contextmanager
def mirrored(uri: str | None, opened: OpenedFolder, tell: Tell) -> Iterator[Mirror | None]:
    """Claim a run, and mirror it for as long as the context lasts; nothing at all without a storage.

    What the storage has and the folder here lacks is added to it first.

    Raises:
        RunError: the storage cannot be used, or the two have gone separate ways.
        FolderChanged: the folder is not the one that was opened.
    """
    if uri is None:
        yield None
        return
    with usable(uri):
        store = connect(uri).below(opened.paths.folder.name)
        seen = store.names(segments.RECORD)
        _bring(
            store, opened, tell, seen
        )  # before the claim: what cannot be gone on with is left to its owner
        owner = _claim(store, seen)
        there = store.names(segments.RECORD)
        if there != seen:
            _bring(store, opened, tell, there)
    tell(f"mirrored to {store.label}")
    with Mirror(store, opened, owner, tell) as mirror:
        yield mirror


def _claim(store: Store, names: list[str]) -> str:
    """The next owner of a run: whoever was it before ends when it sees this."""
    generation = 1 + segments.generation([*names, *store.names(segments.OWNERS)])
    owner = f"{generation:06d}-{secrets.token_hex(4)}"
    claim = {"host": platform.node(), "pid": os.getpid(), "t": round(time.time(), 3)}
    store.write(f"{segments.OWNERS}/{owner}.json", json.dumps(claim).encode())
    return owner


def _bring(store: Store, opened: OpenedFolder, tell: Tell, names: list[str] | None = None) -> bool:
    """Add what the storage has of a run to its folder here; False where it has nothing.

    Raises:
        RunError: the record here holds what is not there, and the other way round; or it is in use.
    """
    copy = segments.newest(store, names)
    if copy is None:
        return False
    paths = opened.paths
    try:
        opened.verify()
        paths.folder.mkdir(parents=True, exist_ok=True)
        check_contained(paths.folder, written=True)
        with opened.locked(0.5):
            _merge(store, paths, copy, tell)
    except Timeout:
        raise RunError(
            f"{paths.folder}: another tune-app process is working on this run. Wait for it, or end it."
        ) from None
    return True


def _merge(store: Store, paths: RunPaths, copy: StoredRun, tell: Tell) -> None:
    here = paths.record.read_bytes() if paths.record.is_file() else b""
    here = here[: here.rfind(b"\n") + 1]
    if here.startswith(copy.record):
        return
    if not copy.record.startswith(here):
        raise RunError(
            f"{paths.folder}: the run was gone on with elsewhere: the record here and that in {store.label} "
            "have gone separate ways.\n  To go on from there, put this folder aside: "
            f"mv {paths.folder} {paths.folder}-left"
        )
    if copy.left_out:
        tell(
            f"WARNING: {store.label}: segment {copy.left_out} is missing or damaged. What was recorded from "
            "there on is trained again."
        )
    _fetch_files(store, paths, copy)
    if here:
        extend(paths.record, len(here), copy.record[len(here) :])
    else:
        write_atomically(paths.record, copy.record)  # last: a folder without it is no run


def _fetch_files(store: Store, paths: RunPaths, copy: StoredRun) -> None:
    history = History()
    coherence.fold(parse(io.BytesIO(copy.record), store.label), store.label, history)
    there = set(store.names(segments.CHECKPOINTS))
    for attempt in history.attempts.values():
        for saved in (attempt.saved, attempt.weights):
            target = paths.checkpoints / saved.file if saved else None
            if saved and target and not target.exists():
                name = segments.object_name(saved.file, saved.crc32)
                if name in there:
                    write_atomically(target, store.read(f"{segments.CHECKPOINTS}/{name}"))
    beside = set(store.names())
    for path in frozen(paths):
        if path.name in beside and not path.exists():
            write_atomically(path, store.read(path.name))
    for name in store.names(segments.LOGS):
        if not (paths.logs / name).exists():
            write_atomically(paths.logs / name, store.read(f"{segments.LOGS}/{name}"))
    scores = paths.scores.read_bytes() if paths.scores.is_file() else b""
    if not scores.startswith(copy.scores):
        write_atomically(paths.scores, copy.scores)
