"""Finding the run that ``--name`` names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_task import GRID, TASK, request, run

from tune_app.errors import RunError
from tune_app.session import lifecycle
from tune_app.session.request import Request
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]


@pytest.fixture
def asked(user_module: UserModule) -> Request:
    return request(f"{user_module(TASK)}:Task")


def find(asked: Request) -> Sweep | None:
    return lifecycle.run(asked, asked.load()).sweep


def test_without_such_a_run_there_is_none(asked: Request) -> None:
    assert find(asked) is None
    assert find(replace(asked, name=None)) is None
    assert lifecycle.find_finished(asked) is None


def test_the_same_sweep_is_found_and_another_one_is_refused(asked: Request) -> None:
    run(asked)
    found = find(asked)
    assert found is not None
    assert found.name == "one"
    more_seeds = request(asked.space.task, GRID.replace("seeds: 2", "seeds: 3"))
    with pytest.raises(RunError, match=r"(?s)--name one.*seeds.*2.*3.*another --name"):
        find(more_seeds)
    with pytest.raises(RunError, match=r"(?s)--name one.*data: "):
        lifecycle.run(asked, replace(asked.load(), identity=replace(found.data, fingerprint="0" * 64)))


@pytest.mark.parametrize("change", ["max_failures: 3", "resources: {max_concurrent: 1}"])
def test_how_to_train_may_change(asked: Request, change: str) -> None:
    run(asked)
    assert find(request(asked.space.task, f"{GRID}{change}\n")) is not None


def test_a_file_that_does_not_say_how_to_choose_keeps_what_is_recorded(asked: Request) -> None:
    def request_with(text: str) -> Request:
        return request(asked.space.task, GRID + text)

    run(request_with("choose: {window: 3}\n"))
    assert find(asked) is not None
    assert lifecycle.find_finished(asked) is not None
    with pytest.raises(RunError, match=r"choose.window: 3 recorded, 2 asked"):
        find(request_with("choose: {window: 2}\n"))


def test_a_finished_run_is_found_without_its_data(asked: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    run(asked)
    monkeypatch.setattr(Request, "load", None)
    found = lifecycle.find_finished(asked)
    assert found is not None
    assert lifecycle.find_finished(replace(asked, name=None)) is None
    assert lifecycle.find_finished(replace(asked, storage="/storage")) is None
    assert lifecycle.find_finished(replace(asked, data="elsewhere")) is None
    record = Path("runs/one/record.jsonl")
    record.write_bytes(b"".join(record.read_bytes().splitlines(keepends=True)[:-3]))
    assert lifecycle.find_finished(asked) is None, "it is not finished any more"
