"""The searcher of a session; how it suggests is tested in tests/search."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_task import GRID, request, run

from tune_app import progress
from tune_app import space as spaces
from tune_app.search.searcher import OptunaSearch
from tune_app.session.session import open_search
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]

TASK = """
    def task(config, context):
        yield {"val_accuracy": config["lr"]}
"""
SEARCH = (
    "space: {lr: {uniform: [0, 1]}}\nepochs: 1\nseeds: 1\n"
    "search: {algorithm: optuna, sampler: random, samples: 3}\n"
)


@pytest.fixture
def sweep(user_module: UserModule) -> Sweep:
    return run(request(f"{user_module(TASK)}:task", SEARCH))


def test_a_grid_needs_no_searcher(user_module: UserModule) -> None:
    asked = request(f"{user_module(TASK)}:task", GRID)
    with open_search(Sweep.create(asked.space, runs_dir="runs", name="one")) as searcher:
        assert searcher is None


def test_an_extended_search_suggests_what_a_longer_one_would_have(sweep: Sweep) -> None:
    wider = spaces.extend(sweep.space, samples="+2")
    with sweep.writing():
        sweep.extend(wider, "--samples +2", from_start=False)
    with open_search(sweep) as searcher:
        assert isinstance(searcher, OptunaSearch)
        fourth = searcher.ask(4)
    whole = run(request(sweep.space.task, SEARCH.replace("samples: 3", "samples: 5"), "whole"))
    assert fourth == whole.history.configurations[4].config


def test_a_sampler_that_suggests_other_points_now_is_reported(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    catch_up = OptunaSearch.catch_up

    def departed(self: OptunaSearch, *events: object) -> None:
        catch_up(self, *events)  # type: ignore[arg-type]
        self.departs_at = 2

    monkeypatch.setattr(OptunaSearch, "catch_up", departed)
    with open_search(sweep):
        pass
    assert ["2" in note for note in notes] == [True]
