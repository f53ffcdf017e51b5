"""The request for a session of a run, and the task and the data that it loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_task import FAILING, LEVELS, TASK, again, request, run

from tune_app import space
from tune_app import space as spaces
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA
from tune_app.errors import DataError, TaskError
from tune_app.session.request import LoadedTask, Request, request_for
from tune_app.sweep import Sweep
from tune_app.sweep.events import Source
from tune_app.tasks import task_folder
from tune_app.tasks.pneumonia import Pneumonia

UserModule = Callable[[str], str]


def test_data_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = Sweep.create(
        spaces.parse("task: pneumonia"),
        runs_dir="runs",
        name="one",
        source=Source("xr", str(tmp_path / "xr"), 8, "patient", everything=True),
    )
    with pytest.raises(DataError, match=r"(?s)xr: .*--data"):
        request_for(sweep)
    (tmp_path / "xr").mkdir()
    assert request_for(sweep).data == "xr"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    asked = request_for(sweep, resources={"max_concurrent": 1, "cpus_per_trial": None})
    assert (asked.data, asked.image_size, asked.split, asked.everything) == (
        str(tmp_path / "xr"),
        8,
        "patient",
        True,
    )
    assert asked.space.resources == spaces.Resources(max_concurrent=1)
    assert request_for(sweep, data="phantom").data == "phantom"


def test_changed_data_is_refused(user_module: UserModule) -> None:
    name = user_module(TASK)
    run(request(f"{name}:Task"))
    task_folder._folders.clear()  # as a new process begins
    Path(f"{name}.py").write_text(Path(f"{name}.py").read_text().replace("default_rng(3)", "default_rng(4)"))
    with pytest.raises(DataError, match=r"\bone\b"):
        again("one")


def test_a_function_has_no_data(user_module: UserModule) -> None:
    asked = request(f"{user_module(FAILING)}:task", LEVELS)
    loaded = asked.load()
    assert (loaded.identity, loaded.splits, loaded.size_bytes) == (NO_DATA, None, 0)
    assert loaded.test_images() == ""
    with pytest.raises(TaskError, match="--data phantom"):
        replace(asked, data="phantom").load()


def test_the_built_in_task_is_trained_on_phantoms_unless_told_otherwise() -> None:
    loaded = Request(space.load("grid"), image_size=8).load()
    assert loaded.identity.kind == "phantom"
    assert loaded.splits is not None
    parts = (loaded.splits.train, loaded.splits.val, loaded.splits.test)
    assert loaded.size_bytes == sum(part.x.nbytes + part.y.nbytes for part in parts) > 0


def test_test_images_are_named_unless_the_task_changed_them(tiny: Dataset) -> None:
    splits = Pneumonia().splits(tiny)
    loaded = LoadedTask(Pneumonia(), tiny.identity, tiny, splits)
    header, first, *rest = loaded.test_images().splitlines()
    assert header == "index,label,name,patient"
    assert first == f"0,{tiny.test.y[0]},{tiny.test.names[0]},{tiny.test.patients[0]}"
    assert len(rest) == len(tiny.test.y) - 1
    flipped = replace(splits, test=replace(splits.test, y=np.flip(splits.test.y)))
    text = LoadedTask(Pneumonia(), tiny.identity, tiny, flipped).test_images()
    assert text.splitlines()[1] == f"0,{tiny.test.y[-1]},,"
