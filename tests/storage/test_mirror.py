"""A run is mirrored while it trains, and what a failing storage does to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import mirroring
import pytest
from mirroring import assert_mirrored, resume
from small_task import request, run

from tune_app import storage
from tune_app.errors import StorageError
from tune_app.storage import Store, segments, store
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]


shared, slow, task = mirroring.shared, mirroring.slow, mirroring.task


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
    copy = segments.newest_run(store.connect(str(shared)).subfolder(sweep.name))
    assert copy
    assert copy.record == sweep.paths.record.read_bytes()


def test_a_run_can_be_mirrored_from_some_session_on_and_no_more_from_another(task: str, shared: Path) -> None:
    sweep = run(request(task))
    assert resume("one", Path("runs"), shared).history.session.storage == str(shared)
    place = storage.connect(str(shared)).subfolder("one")
    assert_mirrored(sweep, place)
    before = place.names("record")
    assert resume("one", Path("runs"), "none").history.session.storage is None
    assert resume("one", Path("runs")).history.session.storage is None
    assert place.names("record") == before


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
    assert_mirrored(sweep, storage.connect(str(shared)).subfolder("one"))


def test_a_storage_that_comes_back_gets_all_that_it_missed(
    task: str, shared: Path, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = failing(monkeypatch, lambda count: 6 < count < 10)
    sweep = run(request(task, storage=str(shared)))
    failed, recovered = (line for line in told if "the storage" in line)
    assert failed.startswith("WARNING: ")
    assert recovered.startswith(f"the storage {shared}/one ")
    assert_mirrored(sweep, storage.connect(str(shared)).subfolder("one"))
