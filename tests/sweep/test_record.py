from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lines
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.data.identity import NO_DATA
from tune_app.errors import RunError, StorageError
from tune_app.sweep import record
from tune_app.sweep.event_lines import plain
from tune_app.sweep.events import Created, Event, Extended, Numerics, Opened, ScoreRows, Stopped
from tune_app.sweep.record import START, Position, Record, Scores, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TEXT = st.text() | st.just("a lone \udc80 and a \n newline")
EVENTS = st.lists(
    st.builds(lambda anything: Opened(sharing={"any": anything}), JSON)
    | st.builds(lambda text: Stopped(trial="1.1", reason=text), TEXT)
    | st.builds(lambda text, flag: Extended(space=text, asked="", from_start=flag), TEXT, st.booleans())
)
WHAT: dict[str, Any] = {"space": "my", "task": "t", "yaml": "", "seed": 0, "data": NO_DATA}
HEADER = Created(version=record.VERSION, numerics=Numerics(), **WHAT)


def events(path: Path) -> list[Event]:
    return [event for _, event in read(path)]


def begun(path: Path, *more: Event, mirror: record.Mirror | None = None) -> Record:
    """A new record, open."""
    log = Record(path, mirror)
    for event in (HEADER, *more):
        log.append(event)
    return log


def end(path: Path) -> Position:
    return [START, *(position for position, _ in read(path))][-1]


def number(path: Path) -> list[str]:
    """The reasons of the events after the header."""
    return [event.reason for event in events(path) if isinstance(event, Stopped)]


def stopped(reason: object) -> Stopped:
    return Stopped(trial="1.1", reason=str(reason))


@given(EVENTS, st.lists(st.booleans()))
def test_what_is_appended_is_read_and_mirrored_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, written: list[Event], durable: list[bool]
) -> None:
    path = tmp_path_factory.mktemp("record") / "record.jsonl"
    mirrored: list[bytes] = []
    log = Record(path, mirrored.append)
    flags = itertools.chain(durable, itertools.repeat(False))
    returned = [log.append(event, durable=next(flags)) for event in (HEADER, *written)]
    log.close()
    assert events(path) == returned
    assert [type(event) for event in returned] == [Created, *map(type, written)]
    assert b"".join(mirrored) == path.read_bytes() == lines.sealed(e for _, e in lines.read(path))
    assert all(group.endswith(b"\n") for group in mirrored)


def test_a_line_is_an_object_with_kind_and_time_first_and_the_checksum_last(tmp_path: Path) -> None:
    begun(tmp_path / "r", stopped("asked to")).close()
    [_, (_, line)] = lines.read(tmp_path / "r")
    assert list(line) == ["event", "t", "trial", "reason", "saved", "crc"]
    assert (line["event"], line["reason"]) == ("stopped", "asked to")


def test_reading_goes_on_from_a_place(tmp_path: Path) -> None:
    log = begun(tmp_path / "r", stopped("a"))
    place = end(tmp_path / "r")
    log.append(stopped("b"))
    assert [event for _, event in read(tmp_path / "r", place)] == events(tmp_path / "r")[2:]
    log.close()


@given(
    st.lists(st.sampled_from([0, 70_000]), min_size=3, max_size=3),
    st.integers(0, 40) | st.integers(0, 211_000),
)
def test_a_torn_last_line_is_left_out_and_cut_on_reopening(
    tmp_path_factory: pytest.TempPathFactory, padding: list[int], lost: int
) -> None:
    path = tmp_path_factory.mktemp("record") / "record.jsonl"
    begun(path, *(stopped("x" * length) for length in padding)).close()
    whole = path.read_bytes()
    cut = max(0, len(whole) - lost)
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    before = events(path)
    assert len(before) == kept
    log = Record(path, at=end(path))
    log.append(stopped("next") if kept else HEADER)
    log.close()
    assert events(path)[:-1] == before


def test_a_writer_goes_on_only_from_where_the_record_ends(tmp_path: Path) -> None:
    path = tmp_path / "r"
    begun(path, stopped("a"), stopped("b")).close()
    whole = path.read_bytes()
    before, after = [position for position, _ in read(path)][-2:]
    for place in (before, after._replace(offset=after.offset + 1), START):
        with pytest.raises(RunError, match="another process"):
            Record(path, at=place)
    assert path.read_bytes() == whole


# ---------------------------------------------------------------- damage

#: A record of a few lines, the last one whole.
LINES = (HEADER, stopped("one"), stopped("two"), Opened(provenance={"started": "now"}), stopped("three"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "record.jsonl"
    begun(path, *LINES[1:]).close()
    return path.read_bytes()


def refused(path: Path, content: bytes) -> int:
    """The byte that the refusal of a record names; -1 where it is read as if nothing were wrong."""
    path.write_bytes(content)
    try:
        list(read(path))
    except RunError as error:
        told = str(error).split("damaged at byte ")[1]
        return int(told.partition(":")[0])
    return -1


def test_every_flipped_bit_is_told_with_the_byte_of_its_line(sound: bytes, tmp_path: Path) -> None:
    starts = [0, *(at + 1 for at, byte in enumerate(sound[:-1]) if byte == 10)]
    rng = random.Random(0)
    for bit in rng.sample(range(8 * len(sound)), 1500) + list(range(8 * len(sound) - 8, 8 * len(sound))):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        expected = max(start for start in starts if start <= bit // 8)
        assert refused(tmp_path / "r", bytes(damaged)) == expected, f"bit {bit}"


@pytest.mark.parametrize("at", range(4))
def test_a_line_that_is_dropped_doubled_or_swapped_is_told(sound: bytes, tmp_path: Path, at: int) -> None:
    whole = sound.splitlines(keepends=True)
    starts = [sum(map(len, whole[:number])) for number in range(len(whole) + 1)]
    dropped = [*whole[:at], *whole[at + 1 :]]
    assert refused(tmp_path / "r", b"".join(dropped)) == starts[at]
    doubled = [*whole[: at + 1], *whole[at:]]
    assert refused(tmp_path / "r", b"".join(doubled)) == starts[at + 1]
    swapped = [*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]]
    assert refused(tmp_path / "r", b"".join(swapped)) == starts[at]


def test_no_line_of_another_record_fits(sound: bytes, tmp_path: Path) -> None:
    begun(tmp_path / "other", stopped("else"), *LINES[2:]).close()
    whole, others = (each.splitlines(keepends=True) for each in (sound, (tmp_path / "other").read_bytes()))
    for at in range(1, 5):
        assert refused(tmp_path / "r", b"".join([*whole[:at], others[at], *whole[at + 1 :]])) > 0


def test_checksums_and_the_version_in_the_header_belong_together(sound: bytes, tmp_path: Path) -> None:
    """So that one change of the header does not switch the checksums off."""
    path, plain = tmp_path / "r", [event for _, event in _objects(sound)]
    for version in (0, 1, 3, 4, "2", 2.5, True, None):
        assert refused(path, lines.sealed([{**plain[0], "version": version}, *plain[1:]])) == 0
    bare = [{key: value for key, value in each.items() if key != "crc"} for each in plain]
    text = [json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in bare]
    assert refused(path, b"".join(text)) == 0, "version 2 without any checksum"
    first = json.dumps({**bare[0], "version": 1}).encode() + b"\n"
    assert refused(path, b"".join([first, *text[1:]])) == -1, "version 1 has none"
    assert refused(path, b"".join([first, *sound.splitlines(keepends=True)[1:]])) == len(first)
    assert refused(path, b"".join([sound.splitlines(keepends=True)[0], *text[1:]])) > 0


def _objects(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from enumerate(map(json.loads, content.splitlines()))


def test_the_documented_program_seals_a_record_that_was_edited(sound: bytes, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "run-folder.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(# checksums.py\n.*?)```", text, re.DOTALL)
    path = tmp_path / "r"
    path.write_bytes(sound)
    subprocess.run([sys.executable, "-X", "utf8", "-c", program, str(path)], check=True)
    assert path.read_bytes() == sound
    assert refused(path, sound.replace(b'"two"', b'"2"')) > 0
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert number(path) == ["one", "2", "three"]


def test_without_its_last_lines_a_record_is_that_of_an_earlier_moment(sound: bytes, tmp_path: Path) -> None:
    whole = sound.splitlines(keepends=True)
    assert refused(tmp_path / "r", b"".join(whole[:-1])) == -1


def test_a_record_of_version_1_goes_on_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    plain = [event for _, event in _objects(lines.sealed([_plain(HEADER) | {"version": 1}]))]
    path.write_text("".join(json.dumps({k: v for k, v in e.items() if k != "crc"}) + "\n" for e in plain))
    path.write_text(path.read_text() + '{"event":"stopped","t":1,"trial":"1.1","reason":"a","of_old":[3]}\n')
    log = Record(path, at=end(path))
    log.append(stopped("b"))
    log.close()
    assert number(path) == ["a", "b"]
    assert [list(event) for _, event in lines.read(path)][-1] == ["event", "t", "trial", "reason", "saved"]


def _plain(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = plain(event)
    return {**found, "t": 1.0}


@pytest.mark.parametrize("damage", ["{not json", "[1]", "3", '{"no": "event"}', "\xff", "", "[" * 5000])
def test_a_line_that_is_no_event_is_told_with_its_byte(tmp_path: Path, damage: str) -> None:
    first = lines.sealed([_plain(HEADER)])
    line = damage.encode("latin-1")
    crc = zlib.crc32(line, zlib.crc32(first[:-19]))
    for end_ in (b"\n", b',"crc":"%08x"}\n' % crc):
        assert refused(tmp_path / "record.jsonl", first + line + end_) == len(first)


@pytest.mark.parametrize("first", ["{}", '{"event":"opened","t":1}', "null", '{"event":"created","t":1}'])
def test_a_record_that_does_not_begin_with_its_header_is_told(tmp_path: Path, first: str) -> None:
    assert refused(tmp_path / "record.jsonl", first.encode() + b"\n") == 0


def test_a_second_header_is_told(tmp_path: Path) -> None:
    content = lines.sealed([_plain(HEADER), _plain(HEADER)])
    assert refused(tmp_path / "record.jsonl", content) == len(content) // 2


def test_a_missing_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.jsonl: "):
        events(tmp_path / "none.jsonl")


def test_durable_events_are_synced_at_once_others_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, synced = [100.0], [0]
    fsync = os.fsync

    def count(descriptor: int) -> None:
        fsync(descriptor)
        synced[0] += 1

    monkeypatch.setattr(os, "fsync", count)
    monkeypatch.setattr(record, "time", SimpleNamespace(monotonic=lambda: clock[0], time=lambda: 5.0))
    mirrored: list[bytes] = []
    log = Record(tmp_path / "r", mirrored.append)
    log.append(HEADER, durable=True)
    assert (synced[0], len(mirrored)) == (1, 1)
    for _ in range(50):
        log.append(stopped(""))
        log.sync_if_due()
    assert (synced[0], len(mirrored)) == (1, 1)
    assert len(events(tmp_path / "r")) == 51  # in the file at once: the death of the process loses nothing
    clock[0] += 1.0
    log.sync_if_due()
    assert synced[0] == 2
    assert mirrored[1].count(b"\n") == 50
    clock[0] += 9.0
    log.sync_if_due()
    assert synced[0] == 2, "there was nothing to sync"
    log.close()


def test_a_number_that_json_lacks_is_refused_before_it_is_written(tmp_path: Path) -> None:
    log = begun(tmp_path / "r")
    with pytest.raises(ValueError, match="JSON"):
        log.append(Opened(sharing={"value": float("nan")}))
    log.append(stopped("next"))
    log.close()
    assert number(tmp_path / "r") == ["next"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 KiB."""
    folder = tmp_path / "run-1"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if (
        not sys.platform.startswith("linux")
        or os.geteuid() != 0
        or subprocess.run(mount, check=False).returncode
    ):
        pytest.skip("mounting a small file system takes root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_written_and_takes_more_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 20_000)
    log = begun(small_disk / "record.jsonl")
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            log.append(stopped("x" * 3000))
            written += 1

    with pytest.raises(StorageError, match=r"(?s)record.jsonl: .*No space left.*recorded before is safe"):
        fill()
    with pytest.raises(StorageError, match=r"test_scores\.bin: .*No space left"):
        Scores(small_disk / "test_scores.bin").append(b"1234" * 5000, (5000,))
    assert 1 <= written == len(number(small_disk / "record.jsonl"))
    ballast.unlink()
    log.append(stopped("next"))  # the line that was refused left nothing before this one
    log.close()
    assert number(small_disk / "record.jsonl") == [*["x" * 3000] * written, "next"]


def test_a_write_cut_short_by_the_disk_leaves_no_half_line(tmp_path: Path) -> None:
    code = """
        import pathlib, resource, sys
        from test_record import begun, stopped
        from tune_app.errors import StorageError

        log = begun(pathlib.Path(sys.argv[1]))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        for number in range(3):
            try:
                log.append(stopped(f"{number}" * 3000))
            except StorageError as error:
                print(number, error.exit_code)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        log.append(stopped(3))
        log.close()
    """
    path = tmp_path / "record.jsonl"
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        capture_output=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        text=True,
        check=True,
    )
    assert ran.stdout == "1 1\n2 1\n"
    assert number(path) == ["0" * 3000, "3"]


def test_a_record_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        Record(tmp_path)


@given(st.lists(st.binary(max_size=9).map(lambda raw: raw * 4), max_size=4))
def test_scores_come_back_from_their_places(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]
) -> None:
    scores = Scores(tmp_path_factory.mktemp("scores") / "test_scores.bin")
    places = [scores.append(raw, (1, len(raw) // 4)) for raw in rows]
    assert [scores.read(place) for place in places] == rows


def test_scores_that_are_gone_are_told(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "test_scores.bin")
    with pytest.raises(RunError, match=r"test_scores\.bin"):
        scores.read(ScoreRows(0, (1,)))
    place = scores.append(b"12345678", (2, 1))
    scores.path.write_bytes(b"12345")
    with pytest.raises(RunError, match=r"\b8 bytes\b.*\bbyte 0\b.*\b5\b"):
        scores.read(place)
    for huge in (ScoreRows(0, (2**40, 2**40)), ScoreRows(2**50, (2, 1))):
        with pytest.raises(RunError, match="too short"):
            scores.read(huge)


def test_every_flipped_bit_of_test_scores_is_told_and_older_ones_have_no_checksum(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "test_scores.bin")
    scores.append(b"other rows..", (1, 3))
    place = scores.append(b"12345678", (2, 1))
    for bit in range(8 * 12, 8 * 20):
        damaged = bytearray(b"other rows..12345678")
        damaged[bit // 8] ^= 1 << bit % 8
        scores.path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"test_scores\.bin: .*\bbyte 12\b.* damaged"):
            scores.read(place)
        assert scores.read(ScoreRows(place.offset, place.shape)) == damaged[12:]
