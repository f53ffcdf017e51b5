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
from typing import NamedTuple

from tune_app.storage.store import Store

RECORD, SCORES, OWNERS, CHECKPOINTS, LOGS = "record", "scores", "owners", "checkpoints", "logs"

_NAME = re.compile(
    r"(?P<owner>\d{6}-[0-9a-f]{8})-(?P<number>\d{6})-(?P<crc32>[0-9a-f]{8})-(?P<end>\d+)\.(?:jsonl|bin)"
)
_OWNER = re.compile(r"(\d{6})-[0-9a-f]{8}")
#: Files that are read at the same time: an object store takes tens of milliseconds for each.
_AT_A_TIME = 16


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

    record: bytes
    scores: bytes
    left_out: str = ""


def newest_run(store: Store) -> StoredRun | None:
    """What the folder of a run on a storage has of it; None if it has no usable segment."""
    records, chunks = _by_owner(store.names(RECORD)), _by_owner(store.names(SCORES))
    beyond = ""
    for owner in sorted(records, reverse=True):
        copy = _of_owner(_read(store, RECORD, records[owner]), _read(store, SCORES, chunks[owner]))
        if copy.left_out and not beyond:
            beyond = f"{owner}-{copy.left_out}"
        if copy.record:
            return replace(copy, left_out=beyond)
    return None


def _by_owner(names: Iterable[str]) -> dict[str, list[re.Match[str]]]:
    found: dict[str, list[re.Match[str]]] = defaultdict(list)
    for match in filter(None, map(_NAME.fullmatch, sorted(names))):
        found[match["owner"]].append(match)
    return found


class _Segment(NamedTuple):
    """A segment: ``end`` is in bytes of test scores, ``data`` is empty if it is missing or damaged."""

    number: int
    end: int
    data: bytes


def _read(store: Store, folder: str, names: list[re.Match[str]]) -> list[_Segment]:
    def read(name: re.Match[str]) -> _Segment:
        try:
            data = store.read(f"{folder}/{name[0]}")
        except FileNotFoundError:
            data = b""
        whole = zlib.crc32(data) == int(name["crc32"], 16)
        return _Segment(int(name["number"]), int(name["end"]), data if whole else b"")

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(read, names))


def _of_owner(segments: list[_Segment], chunks: list[_Segment]) -> StoredRun:
    scores = b""
    for chunk in sorted(chunks, key=lambda each: each.end - len(each.data)):
        begin = chunk.end - len(chunk.data)
        if begin <= len(scores):
            scores += chunk.data[len(scores) - begin :]
    content: dict[int, bytes] = {}
    for segment in segments:
        # A segment that was written again after a failure may exist twice; the later one has more lines.
        if segment.end <= len(scores) and len(segment.data) > len(content.get(segment.number, b"")):
            content[segment.number] = segment.data
    number, record = 1, b""
    while number in content:
        record += content[number]
        number += 1
    later = any(segment.number >= number for segment in segments)
    return StoredRun(record, scores, f"{number:06d}" if later else "")
