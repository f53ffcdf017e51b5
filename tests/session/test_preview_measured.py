"""Measurements before a sweep; what they measure is tested in tests/training and tests/driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from small_task import GRID, TASK, request, run

from tune_app import progress
from tune_app.driver.gpu_sharing import Sharing
from tune_app.driver.resources import Plan, plan
from tune_app.engines.choice import Engine
from tune_app.session import preview
from tune_app.session.request import Request
from tune_app.space import Resources
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec

UserModule = Callable[[str], str]


@pytest.fixture
def asked(user_module: UserModule) -> Request:
    return request(f"{user_module(TASK)}:Task", f"{GRID}replicates: stacked\n")


@pytest.fixture
def planned() -> Plan:
    return plan(Resources(), 1, 0, 2)


def test_fixed_numerics_are_not_measured(asked: Request, planned: Plan) -> None:
    with preview.stacking(asked, asked.load(), Numerics("looped")) as choose:
        choice = choose(planned)
    assert (choice.replicates, choice.looped_s) == ("looped", None)


@pytest.mark.parametrize("address", ["inline", "local"])
def test_what_the_space_asks_for_is_tried(asked: Request, planned: Plan, address: str) -> None:
    """The task has dropout, which cannot be stacked."""
    asked = replace(asked, address=address)
    with preview.stacking(asked, asked.load()) as choose:
        assert "Dropout" in choose(planned).line


def test_an_estimate_leaves_no_files(asked: Request) -> None:
    found = preview.estimate(asked, asked.load())
    assert found.epoch_s > 0
    assert found.state_bytes > found.weights_bytes > 0
    assert found.at_a_time >= 1
    assert not asked.runs_dir.exists()


def test_sharing_of_gpus_is_measured_where_the_engine_can(
    asked: Request, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    sweep = run(replace(asked, space=asked.space.model_copy(update={"replicates": "looped"})))
    notes.clear()
    alone = Engine(planned, "here", lambda driver: None)
    assert preview.gpu_sharing(alone, sweep) == (alone, None)
    shared = Engine(planned, "there", lambda driver: None)
    specs: list[TrialSpec] = []

    def measure(spec: TrialSpec) -> tuple[Engine, Sharing]:
        specs.append(spec)
        return shared, Sharing(2, "faster")

    engine, recorded = preview.gpu_sharing(replace(alone, measure_sharing=measure), sweep)
    assert engine is shared
    assert recorded is not None
    assert (recorded["trials"], recorded["why"]) == (2, "faster")
    assert [len(spec.replicates) for spec in specs] == [2]
    assert notes == [Sharing(2, "faster").line]
