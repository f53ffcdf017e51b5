"""A run that is continued on another machine from what the storage has."""

from __future__ import annotations

import importlib.util
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mirroring
import pandas as pd
import pytest
from facts import lacking
from fsspec.implementations.memory import MemoryFileSystem
from lines import epochs_trained_twice
from mirroring import assert_mirrored, resume, seeds
from pyarrow import fs
from small_task import GRID, request, run

from tune_app import cli as command_line
from tune_app import storage
from tune_app.errors import RunError, StorageError
from tune_app.session import lifecycle
from tune_app.session.request import request_for
from tune_app.storage import Store, segments, store
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]


shared, slow, task = mirroring.shared, mirroring.slow, mirroring.task


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
    assert_mirrored(whole, storage.connect(str(shared)).subfolder("one"))
    assert len(moments) > 12
    tried = 0
    for moment in (*moments[:: len(moments) // 6], moments[-1]):
        copy = segments.newest_run(storage.connect(str(moment)).subfolder("one"))
        if copy is None:
            continue
        tried += 1
        again = resume("one", tmp_path / f"{moment.name}-runs", moment)
        pd.testing.assert_frame_equal(seeds(again), seeds(whole))
        assert epochs_trained_twice(again.paths.record, copy.record.count(b"\n")) == []
        assert_mirrored(again, storage.connect(str(moment)).subfolder("one"))
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
    assert_mirrored(whole, storage.connect(bucket).subfolder("one"))
    halves = run(request(task, name="halves", text=GRID.replace("epochs: 4", "epochs: 2"), storage=bucket))
    shutil.move(halves.paths.folder, tmp_path / "lost")
    there = Sweep.open(storage.fetch(bucket, "halves", tmp_path / "elsewhere", print))
    pd.testing.assert_frame_equal(seeds(there), seeds(Sweep.open(tmp_path / "lost")))
    assert all(there.is_intact(a.saved) for a in there.history.attempts.values() if a.saved)


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
    place = storage.connect(str(shared)).subfolder("one")
    while not (copy := segments.newest_run(place)) or b'"epoch":3,' not in copy.record:
        time.sleep(0.02)
    there = storage.fetch(str(shared), "one", tmp_path / "new", print)
    asked = request_for(Sweep.open(there), address="inline")
    material = asked.load(Sweep.open(there))
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
    more = lifecycle.extend(asked, asked.load(first), first, wider, "--epochs 4").train()
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
