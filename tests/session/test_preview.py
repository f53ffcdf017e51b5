"""What is measured before training, and what the commands print of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from small_task import GRID, TASK, request, run

from tune_app import progress
from tune_app import space as spaces
from tune_app.data.identity import DataIdentity
from tune_app.driver.gpu_sharing import Sharing
from tune_app.driver.resources import Plan, plan
from tune_app.engines.choice import Engine
from tune_app.session import preview
from tune_app.session.request import Request
from tune_app.space import Resources
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec

DATA = DataIdentity(
    "xrays", "folder", "c0ffee" * 10, 64, "image", {"train": 3, "val": 2, "test": 1}, ("Old.",)
)
ESTIMATE = preview.Estimate(2.0, 3, 5 << 20, 1 << 20, "looped: as asked")


def parse(text: str) -> spaces.SearchSpace:
    space = "" if "space:" in text else "space: {lr: {grid: [1, 2, 3]}}\n"
    return spaces.parse(f"task: pneumonia\n{space}seeds: 2\nepochs: 4\n{text}", name="my")


def test_the_headline_names_the_work_and_the_data() -> None:
    first, second, note = preview.headline(parse(""), DATA).splitlines()
    assert first == "my: 3 configurations × 2 seeds × 4 epochs"
    assert DATA.label() in second
    assert note.endswith("Old.")


def test_the_plan_counts_and_estimates() -> None:
    said = preview.plan(parse(""), ESTIMATE)
    assert "3   replicates: 6   epochs in all: 24" in said
    assert "about 16.0 s" in said, "24 epochs of 2 s, 3 trials at a time"
    assert "replicates: looped: as asked" in said
    assert "GPUs" not in said


@pytest.mark.parametrize(("keep", "kept"), [("none", "none"), ("best", "2 MiB"), ("last", "30 MiB")])
def test_the_disk_space_depends_on_what_is_kept(keep: str, kept: str) -> None:
    [disk] = [line for line in preview.plan(parse(f"keep: {keep}"), ESTIMATE).splitlines() if "disk" in line]
    assert "30 MiB of checkpoints" in disk, "2 seeds of 3 trials at a time"
    assert kept in disk.partition(";")[2]


@pytest.mark.parametrize(
    ("stop", "kept", "epochs"),
    [
        # 10 configurations of 2 seeds; of 10 at epoch 1, of 3 or 4 at epoch 3
        ("scheduler: halving", ["epoch 1 (4 ", "epoch 3 (2 "], 2 * (10 + 4 * 2 + 2)),
        ("scheduler: asha, type: promotion", ["epoch 1 (3 ", "epoch 3 (1 "], 2 * (10 + 3 * 2 + 1)),
    ],
)
def test_the_epochs_of_trials_that_wait_at_rungs(stop: str, kept: list[str], epochs: int) -> None:
    space = parse(f"space: {{lr: {{grid: {list(range(10))}}}}}\nstop: {{{stop}}}")
    said = preview.plan(space, ESTIMATE)
    assert f"epochs in all: {epochs} of 80 without early stopping" in said
    assert all(each in said for each in kept)
    # without checkpoints, those that train on start again
    again = preview.plan(space, replace(ESTIMATE, state_bytes=0))
    four, two = (int(each.rpartition("(")[2]) for each in kept)
    assert f"epochs in all: {2 * (10 + 3 * four + 4 * two)} of" in again


def test_a_function_has_no_checkpoints() -> None:
    assert "disk: no checkpoints" in preview.plan(parse(""), preview.Estimate(1.0, 1, 0, 0))


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
