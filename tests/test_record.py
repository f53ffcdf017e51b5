from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app import record
from tune_app.errors import RunError, StorageError
from tune_app.record import Record, Scores, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.lists(st.tuples(st.text(), st.dictionaries(st.sampled_from("abc"), JSON), st.booleans()))


def events(path: Path) -> list[dict[str, Any]]:
    return [event for _, event in read(path)]


def untimed(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "t"}


@given(EVENTS)
def test_what_is_appended_is_read_and_mirrored_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, dict[str, Any], bool]]
) -> None:
    path = tmp_path_factory.mktemp("record") / "record.jsonl"
    mirrored: list[bytes] = []
    log = Record(path, mirrored.append)
    returned = [log.append(name, durable=durable, **fields) for name, fields, durable in written]
    log.close()
    assert [untimed(event) for event in events(path)] == [{"event": n, **fields} for n, fields, _ in written]
    assert events(path) == returned
    assert b"".join(mirrored) == path.read_bytes()
    assert all(group.endswith(b"\n") for group in mirrored)


def test_reading_goes_on_from_an_offset(tmp_path: Path) -> None:
    log = Record(tmp_path / "r")
    log.append("a")
    [(offset, _)] = read(tmp_path / "r")
    log.append("b")
    assert [event["event"] for _, event in read(tmp_path / "r", offset)] == ["b"]
    log.close()


@given(
    st.lists(st.sampled_from([0, 70_000]), min_size=3, max_size=3),
    st.integers(0, 40) | st.integers(0, 211_000),
)
def test_a_torn_last_line_is_left_out_and_cut_on_reopening(
    tmp_path_factory: pytest.TempPathFactory, padding: list[int], lost: int
) -> None:
    path = tmp_path_factory.mktemp("record") / "record.jsonl"
    log = Record(path)
    for number, length in enumerate(padding):
        log.append("epoch", number=number, text="x" * length)
    log.close()
    whole = path.read_bytes()
    cut = max(0, len(whole) - lost)
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert [event["number"] for event in events(path)] == list(range(kept))
    log = Record(path)
    log.append("next", number="next")
    log.close()
    assert [event["number"] for event in events(path)] == [*range(kept), "next"]


@pytest.mark.parametrize("damage", ["{not json", "[1]", "3", '{"no": "event"}', "\xff", ""])
def test_damage_before_the_last_line_is_told_with_its_byte(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "record.jsonl"
    first = b'{"event":"a"}\n'
    path.write_bytes(first + damage.encode("latin-1") + b"\n" + first)
    with pytest.raises(RunError, match=rf"record.jsonl: .*\bbyte {len(first)}\b"):
        events(path)


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
    log.append("decision", durable=True)
    assert (synced[0], len(mirrored)) == (1, 1)
    for _ in range(50):
        log.append("epoch")
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
    log = Record(tmp_path / "r")
    with pytest.raises(ValueError, match="JSON"):
        log.append("epoch", value=float("nan"))
    log.append("epoch", value=1)
    log.close()
    assert [event["value"] for event in events(tmp_path / "r")] == [1]


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
    log = Record(small_disk / "record.jsonl")
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            log.append("epoch", number=written, text="x" * 3000)
            written += 1

    with pytest.raises(StorageError, match=r"(?s)record.jsonl: .*No space left.*recorded before is safe"):
        fill()
    with pytest.raises(StorageError, match=r"test_scores\.bin: .*No space left"):
        Scores(small_disk / "test_scores.bin").append(b"1234" * 5000, (5000,))
    assert 1 <= written == len(events(small_disk / "record.jsonl"))
    ballast.unlink()
    log.append("epoch", number=written)  # the line that was refused left nothing before this one
    log.close()
    assert [event["number"] for event in events(small_disk / "record.jsonl")] == list(range(written + 1))


def test_a_write_cut_short_by_the_disk_leaves_no_half_line(tmp_path: Path) -> None:
    code = """
        import pathlib, resource, sys
        from tune_app.errors import StorageError
        from tune_app.record import Record

        log = Record(pathlib.Path(sys.argv[1]))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        for number in range(3):
            try:
                log.append("epoch", number=number, text="x" * 3000)
            except StorageError as error:
                print(number, error.exit_code)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        log.append("end", number=3)
        log.close()
    """
    path = tmp_path / "record.jsonl"
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "1 1\n2 1\n"
    assert [event["number"] for event in events(path)] == [0, 3]


def test_a_record_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        Record(tmp_path)


@given(st.lists(st.binary(max_size=9).map(lambda raw: raw * 4), max_size=4))
def test_scores_come_back_from_their_places(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]
) -> None:
    scores = Scores(tmp_path_factory.mktemp("scores") / "test_scores.bin")
    places = [scores.append(raw, (1, len(raw) // 4)) for raw in rows]
    assert [scores.read(json.loads(json.dumps(place))) for place in places] == rows


def test_scores_that_are_gone_are_told(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "test_scores.bin")
    with pytest.raises(RunError, match=r"test_scores\.bin"):
        scores.read({"offset": 0, "shape": [1]})
    place = scores.append(b"12345678", (2, 1))
    scores.path.write_bytes(b"12345")
    with pytest.raises(RunError, match=r"\b8 bytes\b.*\bbyte 0\b.*\b5\b"):
        scores.read(place)
