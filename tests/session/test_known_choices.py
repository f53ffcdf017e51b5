"""Answers about looped or stacked replicates that are kept between runs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tune_app import space as spaces
from tune_app.driver.resources import plan
from tune_app.session import known_choices, preview, provenance
from tune_app.session.request import Request
from tune_app.training import stacking_benchmark
from tune_app.training.stacking_benchmark import Benchmark, Choice

MEASURED = Choice("stacked", "5 at once are 1.5 times as fast as one after the other", 0.006, 0.004)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tune-app/stacking"


def request(*changes: str) -> Request:
    return Request(spaces.load("grid", list(changes)), image_size=16, address="local")


def path(*changes: str, data: str = "a") -> Path:
    asked = request(*changes)
    loaded = asked.load()
    benchmark = stacking_benchmark.prepare(asked.space, loaded.task, loaded.splits, 1, "any")
    assert isinstance(benchmark, Benchmark)
    found = known_choices.path_of(benchmark, data)
    assert found
    return found


def test_an_answer_holds_for_the_same_question_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = path()
    assert path() == path("epochs=40") == path("lr={grid: [3e-6, 3e-5, 3e-7]}") == first
    others = [path("seeds=4"), path("batch_size=64"), path(data="b"), path("replicates=stacked")]
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "cpu_model", lambda: "another")
        others.append(path())
    with monkeypatch.context() as patch:
        patch.setattr(known_choices, "_own_code", lambda: "another")
        others.append(path())
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    others.append(path())
    assert len({first, *others}) == 8


def test_what_is_kept_is_read_again_unless_measuring_failed(folder: Path) -> None:
    file = folder / "one.json"
    assert known_choices.read(file) is None
    known_choices.write(file, Choice("looped", "measuring failed: no memory"))
    assert not folder.exists()
    for choice in (MEASURED, Choice("looped", "Dropout 3 draws random numbers")):
        known_choices.write(file, choice)
        assert known_choices.read(file) == choice
    assert known_choices.read(None) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"replicates": "stacked"}',
        json.dumps(asdict(MEASURED))[:-1],
        json.dumps(asdict(MEASURED) | {"replicates": "both"}),
        json.dumps(asdict(MEASURED) | {"why": 3}),
        json.dumps(asdict(MEASURED) | {"looped_s": "fast"}),
        json.dumps(asdict(MEASURED) | {"more": 1}),
    ],
)
def test_a_damaged_answer_is_none(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "one.json").write_text(content)
    assert known_choices.read(folder / "one.json") is None
    (folder / "one.json").write_bytes(b"\xff\x00")
    assert known_choices.read(folder / "one.json") is None


def test_a_cache_that_cannot_be_written_costs_nothing_else(folder: Path) -> None:
    folder.parent.write_text("a file")
    known_choices.write(folder / "one.json", MEASURED)
    assert known_choices.read(folder / "one.json") is None


def test_runs_at_the_same_time_leave_one_whole_answer(folder: Path) -> None:
    choices = [replace(MEASURED, why=f"{number}" * 1000) for number in range(8)]

    def keep(choice: Choice) -> Choice | None:
        known_choices.write(folder / "one.json", choice)
        return known_choices.read(folder / "one.json")

    with ThreadPoolExecutor(8) as pool:
        assert all(found in choices for found in pool.map(keep, choices * 20))
    assert [file.name for file in folder.iterdir()] == ["one.json"]


def test_a_second_run_measures_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request()
    loaded, planned = asked.load(), plan(asked.space.resources, 2, 0, 9)
    with preview.stacking(asked, loaded) as choose:
        first = choose(planned)
    [file] = folder.iterdir()

    def fail(*_: Any) -> None:
        pytest.fail("it is measured again")

    monkeypatch.setattr(stacking_benchmark, "run_beside", fail)
    with preview.stacking(asked, loaded) as choose:
        assert choose(planned) == first
    assert known_choices.read(file) == first
