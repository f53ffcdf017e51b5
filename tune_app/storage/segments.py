"""The record on a storage: immutable segments, and the record that they add up to.

    owners/000002-5e1f03aa.json                                 who owns the run, and from which machine
    record/000002-5e1f03aa-000001-0d4a1188-16384.jsonl          first segment: the whole record so far
    record/000002-5e1f03aa-000002-77b0c2f1-16384.jsonl          what was recorded after it
    scores/000002-5e1f03aa-000001-41c8e2d0-16384.bin            the test scores of a segment
    checkpoints/3f9c0b12-4-0-000010-state.pt                    the name begins with the CRC-32

An owner is a generation and a random token. Two machines that claim the same generation at the same moment
therefore write files of different names, and the higher owner wins. The name of a segment continues with its
number, its CRC-32, and how many bytes of test scores had been written by then. Each owner starts with the
whole record, so what an earlier owner writes after a takeover is ignored.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tune_app.storage.store import Store

RECORD, SCORES, OWNERS, CHECKPOINTS, LOGS = "record", "scores", "owners", "checkpoints", "logs"

_NAME = re.compile(r"(\d{6}-[0-9a-f]{8})-(\d{6})-([0-9a-f]{8})-(\d+)\.(?:jsonl|bin)")
_OWNER = re.compile(r"(\d{6})-[0-9a-f]{8}")
#: Files that are read at the same time: an object store takes tens of milliseconds for each.
_AT_A_TIME = 16


@dataclass(frozen=True, order=True)
class Segment:
    """The parts of the name of a segment; ``end`` is in bytes of test scores."""

    owner: str
    number: int
    crc32: int
    end: int
    name: str


def segment_name(owner: str, number: int, data: bytes, end: int, kind: str) -> str:
    """The name of a segment (``jsonl``), or of the test scores beside it (``bin``)."""
    return f"{owner}-{number:06d}-{zlib.crc32(data):08x}-{end}.{kind}"


def object_name(file: str, crc32: int) -> str:
    """The name of a checkpoint on the storage; the same name means the same content."""
    return f"{crc32:08x}-{file}"


def generation(names: Iterable[str]) -> int:
    """The highest generation in the names of owners or segments; 0 where there is none."""
    return max((int(found[1]) for name in names if (found := _OWNER.match(name))), default=0)


@dataclass(frozen=True)
class StoredRun:
    """A run as the highest owner that has a first segment left it.

    ``left_out`` names the first missing or damaged segment if later ones exist: they are ignored too.
    """

    owner: str
    record: bytes
    scores: bytes
    left_out: str = ""


def newest_run(store: Store, names: Iterable[str] | None = None) -> StoredRun | None:
    """What a storage has of a run; None if it has no usable segment.

    Args:
        store: the folder of the run.
        names: the names of the files in its ``record``; None lists them.
    """
    segments = _parsed(store.names(RECORD) if names is None else names)
    chunks = _parsed(store.names(SCORES))
    beyond = ""
    for owner in sorted(segments, reverse=True):
        copy = _of_owner(store, owner, segments[owner], chunks[owner])
        if copy:
            return replace(copy, left_out=beyond or copy.left_out)
        beyond = beyond or f"{owner}-000001"
    return None


def _parsed(names: Iterable[str]) -> dict[str, list[Segment]]:
    """Segments by owner, in order."""
    found: dict[str, list[Segment]] = defaultdict(list)
    for name in sorted(names):
        if match := _NAME.fullmatch(name):
            owner, number, crc32, end = match.groups()
            found[owner].append(Segment(owner, int(number), int(crc32, 16), int(end), name))
    return found


def _of_owner(store: Store, owner: str, segments: list[Segment], chunks: list[Segment]) -> StoredRun | None:
    scores = b""
    for segment, data in sorted(_whole(store, SCORES, chunks), key=lambda each: each[0].end - len(each[1])):
        begin = segment.end - len(data)
        if begin <= len(scores):
            scores += data[len(scores) - begin :]
    content: dict[int, bytes] = {}
    for segment, data in _whole(store, RECORD, segments):
        # A segment that was written again after a failure may exist twice; the later one has more lines.
        if segment.end <= len(scores) and len(data) > len(content.get(segment.number, b"")):
            content[segment.number] = data
    number, record = 1, b""
    while number in content:
        record += content[number]
        number += 1
    if not record:
        return None
    left_out = f"{owner}-{number:06d}" if any(segment.number >= number for segment in segments) else ""
    return StoredRun(owner, record, scores, left_out)


def _whole(store: Store, folder: str, segments: list[Segment]) -> list[tuple[Segment, bytes]]:
    """The undamaged segments, with their content."""

    def read(segment: Segment) -> bytes | None:
        try:
            data = store.read(f"{folder}/{segment.name}")
        except FileNotFoundError:
            return None
        return data if zlib.crc32(data) == segment.crc32 else None

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        found = list(pool.map(read, segments))
    return [(segment, data) for segment, data in zip(segments, found, strict=True) if data is not None]
