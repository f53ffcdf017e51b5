"""The request for another session of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tune_app import space as spaces
from tune_app.errors import DataError
from tune_app.session.request import request_for
from tune_app.sweep import Sweep
from tune_app.sweep.events import Source

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
