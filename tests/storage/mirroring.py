"""Runs whose folder is mirrored to shared storage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs
from small_task import TASK

from tune_app import results, storage
from tune_app.driver.driver import Driver
from tune_app.session import lifecycle
from tune_app.session.request import request_for
from tune_app.storage import Store, mirror, segments
from tune_app.sweep import Sweep


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
def task(user_module: Callable[[str], str]) -> str:
    return f"{user_module(TASK)}:Task"


def resume(name: str, runs: Path, place: str | Path | None = None) -> Sweep:
    """As on a machine whose runs are in a folder of their own."""
    if not (runs / name).is_dir():
        storage.fetch(str(place), name, runs, print)
    sweep = Sweep.open(runs / name)
    asked = request_for(sweep, address="inline", storage=place and str(place))
    return lifecycle.resume(asked, asked.load(sweep), sweep).train()


def seeds(sweep: Sweep) -> pd.DataFrame:
    return results.load(sweep).seeds.drop(columns=["duration_s", "device"])


def assert_mirrored(sweep: Sweep, place: Store) -> None:
    copy = segments.newest_run(place)
    assert copy
    assert copy.record == sweep.paths.record.read_bytes()
    assert copy.scores == sweep.paths.scores.read_bytes()
    assert not copy.left_out
    here = {path.name for path in sweep.paths.checkpoints.glob("*.pt")}
    assert {name[9:] for name in place.names("checkpoints")} == here
    assert {"space.yaml", "provenance.json", "test_images.csv"} <= set(place.names())


def memory() -> Store:
    files = MemoryFileSystem(skip_instance_cache=True)
    files.store = {}
    return Store(fs.PyFileSystem(fs.FSSpecHandler(files)), "runs/one", "memory")
