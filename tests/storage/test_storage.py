"""A run on storage that outlives its machine: what is there at any moment is enough to go on from."""

from __future__ import annotations

import importlib.util
import re
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from facts import lacking
from fsspec.implementations.memory import MemoryFileSystem
from going_on import epochs_done_twice
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs
from small_task import GRID, TASK, request, run

from tune_app import cli as command_line
from tune_app import results, storage
from tune_app.driver.driver import Driver
from tune_app.errors import RunError, StorageError
from tune_app.session import lifecycle, loading
from tune_app.session.request import request_for
from tune_app.storage import Store, mirror, segments, store
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mounted path, and a mirror that does not dawdle."""
    for name in ("EVERY_S", "LOOK_EVERY_S", "RETRY_S"):
        monkeypatch.setattr(mirror, name, 0.01)
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Trials that a mirror can keep up with, until the event is set."""
    report, enough = Driver.report, threading.Event()

    def slower(self: Driver, *args: Any) -> bool:
        enough.wait(0.04)
        return report(self, *args)

    monkeypatch.setattr(Driver, "report", slower)
    return enough


@pytest.fixture
def task(user_module: UserModule) -> str:
    return f"{user_module(TASK)}:Task"


def resume(name: str, runs: Path, place: str | Path | None = None) -> Sweep:
    """As on a machine whose runs are in a folder of their own."""
    if not (runs / name).is_dir():
        storage.fetch(str(place), name, runs, print)
    sweep = Sweep.open(runs / name)
    asked = request_for(sweep, address="inline", storage=place and str(place))
    return lifecycle.resume(asked, loading.load(asked, sweep), sweep).train()


def seeds(sweep: Sweep) -> pd.DataFrame:
    return results.load(sweep).seeds.drop(columns=["duration_s", "device"])


def assert_mirrored(sweep: Sweep, place: Store) -> None:
    copy = segments.newest(place)
    assert copy
    assert copy.record == sweep.paths.record.read_bytes()
    assert copy.scores == sweep.paths.scores.read_bytes()
    assert not copy.left_out
    here = {path.name for path in sweep.paths.checkpoints.glob("*.pt")}
    assert {name[9:] for name in place.names("checkpoints")} == here
    assert {"space.yaml", "provenance.json", "test_images.csv"} <= set(place.names())


def test_a_task_that_goes_to_another_folder_is_mirrored_meanwhile(
    user_module: UserModule, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = user_module(
        """
        import os, time

        def task(config, context):
            os.chdir("/")
            for _ in range(context.epochs):
                time.sleep(0.05)
                yield {"val_accuracy": 1.0}
        """
    )
    sweep = run(
        request(f"{name}:task", "space: {a: {grid: [1]}}\nepochs: 6\nseeds: 1\n", storage=str(shared))
    )
    assert not sweep.paths.folder.is_absolute()
    assert capsys.readouterr().out.splitlines() == [f"mirrored to {shared / sweep.name}"]
    copy = segments.newest(store.connect(str(shared)).below(sweep.name))
    assert copy
    assert copy.record == sweep.paths.record.read_bytes()


# ---------------------------------------------------------------- taking over


@pytest.mark.parametrize("keep", ["last", "best"])
def test_whatever_a_lost_machine_left_on_the_storage_ends_as_an_undisturbed_run(
    task: str, shared: Path, slow: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    text = GRID.replace("keep: last", f"keep: {keep}")
    moments: list[Path] = []
    write = Store.write

    def snapped(self: Store, name: str, data: bytes) -> None:
        write(self, name, data)
        if "one" in self.label:
            moments.append(tmp_path / f"moment-{len(moments)}")
            shutil.copytree(shared, moments[-1])

    monkeypatch.setattr(Store, "write", snapped)
    whole = run(request(task, text, storage=str(shared)))
    monkeypatch.setattr(Store, "write", write)
    slow.set()
    assert_mirrored(whole, storage.connect(str(shared)).below("one"))
    assert len(moments) > 12
    tried = 0
    for moment in (*moments[:: len(moments) // 6], moments[-1]):
        copy = segments.newest(storage.connect(str(moment)).below("one"))
        if copy is None:
            continue
        tried += 1
        again = resume("one", tmp_path / f"{moment.name}-runs", moment)
        pd.testing.assert_frame_equal(seeds(again), seeds(whole))
        assert epochs_done_twice(again.paths.record, copy.record.count(b"\n")) == []
        assert_mirrored(again, storage.connect(str(moment)).below("one"))
        looks = [a.look for a in again.history.attempts.values() if a.end == "finished"]
        assert looks == [1, 1]
    assert tried >= 4


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An object store: one in memory, behind fsspec, and S3 as moto plays it."""
    if request.param == "memory":
        files = fs.PyFileSystem(fs.FSSpecHandler(MemoryFileSystem(skip_instance_cache=True)))
        monkeypatch.setattr(MemoryFileSystem, "store", {})
        monkeypatch.setattr(store, "_open", lambda uri: Store(files, "bucket/runs", "memory"))
        yield "s3://bucket/runs"
        return
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip("needs moto's server: pip install 'moto[s3,server]'")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    options = f"scheme=http&endpoint_override={host}:{port}&region=us-east-1"
    made, _ = fs.FileSystem.from_uri(f"s3://bucket/runs?{options}&allow_bucket_creation=true")
    made.create_dir("bucket")
    yield f"s3://bucket/runs?{options}"
    server.stop()


def test_a_run_is_taken_over_through_an_object_store(
    task: str, shared: Path, bucket: str, tmp_path: Path
) -> None:
    whole = run(request(task, storage=bucket))
    assert_mirrored(whole, storage.connect(bucket).below("one"))
    halves = run(request(task, name="halves", text=GRID.replace("epochs: 4", "epochs: 2"), storage=bucket))
    shutil.move(halves.paths.folder, tmp_path / "lost")
    there = Sweep.open(storage.fetch(bucket, "halves", tmp_path / "elsewhere", print))
    pd.testing.assert_frame_equal(seeds(there), seeds(Sweep.open(tmp_path / "lost")))
    assert all(there.whole(a.saved) for a in there.history.attempts.values() if a.saved)


def test_who_is_taken_over_ends_and_what_it_still_wrote_is_left_out(
    task: str, shared: Path, slow: threading.Event, tmp_path: Path
) -> None:
    told: list[BaseException] = []
    endless = GRID.replace("epochs: 4", "epochs: 20")

    def old() -> None:
        try:
            run(request(task, endless, storage=str(shared), runs_dir=tmp_path / "old"))
        except StorageError as error:
            told.append(error)

    thread = threading.Thread(target=old)
    thread.start()
    place = storage.connect(str(shared)).below("one")
    while not (copy := segments.newest(place)) or b'"epoch":3,' not in copy.record:
        time.sleep(0.02)
    there = storage.fetch(str(shared), "one", tmp_path / "new", print)
    asked = request_for(Sweep.open(there), address="inline")
    material = loading.load(asked, Sweep.open(there))
    taking = threading.Timer(0.3, slow.set)  # the old one goes on a while, and then all is quick
    taking.start()
    new = lifecycle.resume(asked, material, Sweep.open(there)).train()
    thread.join()
    assert lacking(str(told[0]), ["one", f"{shared}/one"]) == []
    whole = run(request(task, endless, "whole"))
    pd.testing.assert_frame_equal(seeds(new), seeds(whole))
    assert_mirrored(new, place)
    # The old machine may not go on with what it has, and says so before anybody is disturbed.
    owners = place.names("owners")
    with pytest.raises(RunError, match=r"(?s): mv "):
        resume("one", tmp_path / "old")
    assert place.names("owners") == owners


def test_a_folder_that_is_behind_catches_up(task: str, shared: Path, tmp_path: Path) -> None:
    first = run(request(task, GRID.replace("epochs: 4", "epochs: 2"), storage=str(shared)))
    shutil.copytree(first.paths.folder, tmp_path / "behind/one")
    asked = request_for(first, address="inline")
    assert asked.storage == str(shared), "it is remembered"
    from tune_app import space as spaces

    wider = spaces.extend(first.space, epochs="4")
    first = Sweep.open(first.paths.folder)
    more = lifecycle.extend(asked, loading.load(asked, first), first, wider, "--epochs 4").train()
    again = resume("one", tmp_path / "behind")
    pd.testing.assert_frame_equal(seeds(again), seeds(more))
    assert again.space.epochs == 4


def test_a_run_without_name_takes_no_number_that_the_storage_has(
    task: str, shared: Path, tmp_path: Path
) -> None:
    for machine, name in (("a", "my-1"), ("b", "my-2")):
        asked = replace(request(task, storage=str(shared), runs_dir=tmp_path / machine), name=None)
        made = run(asked)
        assert made.name == name
    # And by the name of one it goes on with that: nothing is left to be trained.
    again = run(request(task, name="my-1", storage=str(shared), runs_dir=tmp_path / "b"))
    assert [a.trial for a in again.history.attempts.values()] == ["1.1", "2.1"]


def test_a_run_can_be_mirrored_from_some_sitting_on_and_no_more_from_another(task: str, shared: Path) -> None:
    sweep = run(request(task))
    assert resume("one", Path("runs"), shared).history.session.storage == str(shared)
    place = storage.connect(str(shared)).below("one")
    assert_mirrored(sweep, place)
    before = place.names("record")
    assert resume("one", Path("runs"), "none").history.session.storage is None
    assert resume("one", Path("runs")).history.session.storage is None
    assert place.names("record") == before


# ---------------------------------------------------------------- faults of the storage


def failing(monkeypatch: pytest.MonkeyPatch, whether: Callable[[int], bool]) -> list[str]:
    """Have the storage refuse its n-th write of a run; returns what is told."""
    told: list[str] = []
    write, count = Store.write, [0]

    def refuse(self: Store, name: str, data: bytes) -> None:
        if "one" in self.label:
            count[0] += 1
            if whether(count[0]):
                raise OSError(28, "No space left on device")
        write(self, name, data)

    monkeypatch.setattr(Store, "write", refuse)
    monkeypatch.setattr("tune_app.progress.note", told.append)
    return told


def test_a_storage_that_fails_in_mid_run_is_said_once_and_at_the_end(
    task: str, shared: Path, slow: threading.Event, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        told = failing(patch, lambda count: count > 9)
        with pytest.raises(StorageError, match=r"one: .*\d\d:\d\d.*\d+ events") as raised:
            run(request(task, storage=str(shared)))
    assert raised.value.exit_code == 1
    assert "No space left" in str(raised.value)
    assert "tune-app resume one" in str(raised.value)
    [warning] = [line for line in told if "WARNING" in line]
    assert f"{shared}/one" in warning
    slow.set()
    sweep = Sweep.open("runs/one")
    assert sweep.statuses() == ["finished"] * 2
    resume("one", Path("runs"))
    assert_mirrored(sweep, storage.connect(str(shared)).below("one"))


def test_a_storage_that_comes_back_gets_all_that_it_missed(
    task: str, shared: Path, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = failing(monkeypatch, lambda count: 6 < count < 10)
    sweep = run(request(task, storage=str(shared)))
    assert [line.partition(":")[0] for line in told if "the storage" in line] == [
        "WARNING",
        f"the storage {shared}/one answers again",
    ]
    assert_mirrored(sweep, storage.connect(str(shared)).below("one"))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "names nothing"),
        ("s4://bucket/runs", "unknown kind. It is the path of a folder"),
        ("s3:///runs", "names no bucket"),
        ("s3://key:secret@bucket/runs", r"s3://...@bucket: holds a key.*\n.*AWS_ACCESS_KEY_ID"),
        ("missing/folder", "there is no such folder. Make it, or mount"),
        ("file.txt", "there is no such folder"),
        ("/proc", r"cannot be used: .*\n.*permissions.*--storage none"),
        ("s3://bucket?nonsense=1", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_before_anything_is_trained(
    task: str, capsys: pytest.CaptureFixture[str], uri: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file.txt").touch()
    Path("my.yaml").write_text(f"task: {task}\n{GRID}")
    flag = ["--storage", uri]
    if "missing" in uri:
        monkeypatch.setenv("TUNE_APP_STORAGE", uri)
        flag = []
    with pytest.raises(SystemExit) as ended:
        command_line.main(["run", "my.yaml", "--address", "inline", *flag])
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)
    assert not Path("runs").exists()


def test_what_is_written_must_come_back(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "read", lambda self, name: b"something else")
    with pytest.raises(RunError, match=r"file|storage"):
        storage.connect(str(shared))


def test_nothing_in_a_storage_leads_out_of_it(task: str, shared: Path, tmp_path: Path) -> None:
    run(request(task, name="one", storage=str(shared)))
    segment = next((shared / "one/record").iterdir())
    segment.rename(tmp_path / "elsewhere")
    segment.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"jsonl.*link"):
        storage.fetch(str(shared), "one", tmp_path / "other", print)
    assert not (tmp_path / "other").exists()


def test_resume_names_the_runs_that_the_storage_has(
    task: str, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(request(task, storage=str(shared)))
    shutil.rmtree("runs")
    for name, code, said in (("on", 2, 'no run called "on"'), ("one", 0, "fetching one from")):
        with pytest.raises(SystemExit) as ended:
            command_line.main(["resume", name, "--storage", str(shared), "--address", "inline"])
        assert ended.value.code == code
        streams = capsys.readouterr()
        assert said in streams.out + streams.err
    assert Path("runs/one/seeds.csv").exists()


@pytest.mark.parametrize("uri", ["shared", "./x", "~/x"])
def test_a_path_on_another_machine_must_be_absolute(uri: str) -> None:
    with pytest.raises(RunError, match="absolute"):
        storage.there(uri)
    assert storage.there("/mnt/x") == storage.there("file:///mnt/x") == "/mnt/x"


# ---------------------------------------------------------------- segments


LINES = st.lists(st.integers(0, 9).map(lambda n: b"{%d}\n" % n), min_size=1, max_size=3).map(b"".join)
FATES = st.sampled_from(["whole", "whole", "whole", "torn", "missing", "flipped"])


def memory() -> Store:
    files = MemoryFileSystem(skip_instance_cache=True)
    files.store = {}
    return Store(fs.PyFileSystem(fs.FSSpecHandler(files)), "runs/one", "memory")


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
    copy = segments.newest(place)
    assert (copy and (copy.record, copy.scores)) == expected


@given(LINES, LINES, LINES)
def test_a_segment_that_was_tried_twice_counts_once_with_all_its_lines(
    first: bytes, more: bytes, last: bytes
) -> None:
    place = memory()
    owner = "000001-00000001"
    for number, lines in ((1, first), (1, first + more), (2, last)):
        place.write(f"record/{segments.segment_name(owner, number, lines, 0, 'jsonl')}", lines)
    copy = segments.newest(place)
    assert copy
    assert copy.record == first + more + last


def test_names_sort_as_owners_do_and_hold_their_checksum() -> None:
    name = segments.segment_name("000002-5e1f03aa", 7, b"x", 12, "jsonl")
    assert name == f"000002-5e1f03aa-000007-{zlib.crc32(b'x'):08x}-12.jsonl"
    assert segments.generation([name, "000010-00000000.json", "noise"]) == 10
