"""Segments of a record on storage: the whole beginning of the highest generation counts."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from mirroring import memory

from tune_app.storage import Store, segments

UserModule = Callable[[str], str]


LINES = st.lists(st.integers(0, 9).map(lambda n: b"{%d}\n" % n), min_size=1, max_size=3).map(b"".join)


FATES = st.sampled_from(["whole", "whole", "whole", "torn", "missing", "flipped"])


def put(place: Store, folder: str, name: str, data: bytes, fate: str) -> None:
    content = {"torn": data[:-2], "flipped": bytes([data[0] ^ 1]) + data[1:]}.get(fate, data)
    if fate != "missing":
        place.write(f"{folder}/{name}", content)


@given(st.lists(st.lists(st.tuples(LINES, st.binary(max_size=8), FATES, FATES), max_size=4), max_size=3))
def test_the_record_is_the_whole_beginning_of_the_highest_generation(
    owners: list[list[tuple[bytes, bytes, str, str]]],
) -> None:
    place = memory()
    expected: tuple[bytes, bytes] | None = None
    for generation, written in enumerate(owners, 1):
        owner = f"{generation:06d}-{generation:08x}"
        record = scores = sound = covered = b""
        good = True
        for number, (lines, rows, fate, fate_of_rows) in enumerate(written, 1):
            scores += rows
            if rows:
                name = segments.segment_name(owner, number, rows, len(scores), "bin")
                put(place, "scores", name, rows, fate_of_rows)
                if fate_of_rows == "whole" and len(covered) == len(scores) - len(rows):
                    covered = scores
            name = segments.segment_name(owner, number, lines, len(scores), "jsonl")
            put(place, "record", name, lines, fate)
            record += lines
            good = good and fate == "whole" and len(covered) >= len(scores)
            sound = record if good else sound
        if sound:
            expected = sound, covered
    copy = segments.newest_run(place)
    assert (copy and (copy.record, copy.scores)) == expected


@given(LINES, LINES, LINES)
def test_a_segment_that_was_tried_twice_counts_once_with_all_its_lines(
    first: bytes, more: bytes, last: bytes
) -> None:
    place = memory()
    owner = "000001-00000001"
    for number, lines in ((1, first), (1, first + more), (2, last)):
        place.write(f"record/{segments.segment_name(owner, number, lines, 0, 'jsonl')}", lines)
    copy = segments.newest_run(place)
    assert copy
    assert copy.record == first + more + last


def test_names_sort_as_owners_do_and_hold_their_checksum() -> None:
    name = segments.segment_name("000002-5e1f03aa", 7, b"x", 12, "jsonl")
    assert name == f"000002-5e1f03aa-000007-{zlib.crc32(b'x'):08x}-12.jsonl"
    assert segments.generation([name, "000010-00000000.json", "noise"]) == 10
