"""Keys that ``--set`` changes."""

from __future__ import annotations

import pytest
from facts import lacking
from parsing import TASK, refused

from tune_app import space


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("epochs=5", "epochs", 5),
        ("evaluate=best", "evaluate", "best"),
        ("fixed.gamma=0.5", "fixed", {"gamma": 0.5, "batch_size": 128, "loss": "bce"}),
        ("gamma=0.5", "fixed", {"gamma": 0.5, "batch_size": 128, "loss": "bce"}),
        ("fixed.dropout=0.1", "fixed", {"gamma": 0.4, "batch_size": 128, "loss": "bce", "dropout": 0.1}),
        ("task=my.module:task", "task", "my.module:task"),
        ("description=a = b", "description", "a = b"),
        (" epochs =5", "epochs", 5),
    ],
)
def test_an_override_sets_its_key(override: str, key: str, value: object) -> None:
    assert getattr(space.load("grid", [override]), key) == value


def test_the_last_override_of_a_key_wins() -> None:
    assert space.load("grid", ["epochs=5", "epochs=6"]).epochs == 6


def test_an_override_may_make_a_section() -> None:
    loaded = space.load("grid", ["stop.scheduler=asha", "stop.grace_period=3"])
    assert (loaded.stop.scheduler, loaded.stop.grace_period) == ("asha", 3)


@pytest.mark.parametrize("override", ["lr={grid: [1e-5, 1e-4]}", "space.lr={grid: [1e-5, 1e-4]}"])
def test_a_sampler_may_be_replaced(override: str) -> None:
    loaded = space.load("grid", [override])
    assert loaded.space["lr"].args == (1e-5, 1e-4)
    assert list(loaded.space) == ["lr", "step_size"]


def test_the_shorthand_moves_a_parameter_between_space_and_fixed() -> None:
    loaded = space.load("grid", ["lr=1e-5", "gamma={grid: [0.3, 0.5]}"])
    assert list(loaded.space) == ["step_size", "gamma"]
    assert loaded.fixed == {"batch_size": 128, "loss": "bce", "lr": 1e-5}
    assert loaded.size() == 6
    assert space.load("grid", ["lr=1e-5", "lr={grid: [1, 2, 3]}"]).size() == 9


GRID = f"{TASK}space:\n  lr: {{grid: [3e-6, 3e-5]}}\nfixed: {{gamma: 0.4}}\n"


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("nonsense", ["not key=value", "--set epochs=5"]),
        ("=3", ["not key=value"]),
        ("fixed.=3", ["not key=value"]),
        ("epochs=x", ["epochs: ", '"x"']),
        ("epochs=", ["epochs: ", "null"]),
        ("epochs=4.0", ["epochs: ", "4.0"]),
        ("epoch=4", ['called "epoch"', '"epochs"']),
        ("gama=4", ['called "gama"', '"gamma"']),
        ("zzz=4", ['called "zzz"', "lr", "gamma"]),
        ("stopp.grace_period=4", ['"stopp"', '"stop"']),
        (
            "stop={scheduler: asha, grace_perid: 4}",
            ["stop: ", '"grace_perid"', '"grace_period"'],
        ),
        ("stop.grace_period=4", ["stop.scheduler: missing"]),
        ("epochs.x=4", ["epochs: ", "{x: 4}"]),
        ("task.x=4", ['"pneumonia"']),
        ("lr=[1, 2]", ["{grid: [1, 2]}"]),
        ("lr={grid: [1, 2}", ["YAML"]),
        ("lr={a: 1, a: 2}", ["twice"]),
        ("lr=!!str 1", ["tags"]),
        ("lr={loguniforn: [1, 2]}", ['"loguniforn"', '"loguniform"']),
        ("lr={grid: [1, 1]}", ["1", "grid", "twice"]),
        ("fixed.lr=4", ["fixed.lr: "]),
        ("space.gamma={grid: [1]}", ["fixed.gamma: "]),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(override: str, facts: list[str]) -> None:
    message = refused(GRID, override)
    assert lacking(message, facts) == [], message
    if override != "space.gamma={grid: [1]}":  # there it is the file's own line that now is in the way
        assert message.startswith(f"--set {override}: ")


def test_overrides_are_told_after_the_faults_of_the_file() -> None:
    message = refused(f"{TASK}seeds: 0\n", "epochs=0")
    assert message.startswith("my.yaml:2: seeds: 0")
    assert lacking(message.splitlines()[-1], ["1"]) == []


def test_a_point_by_point_parameter_has_no_shorthand() -> None:
    message = refused(f"{TASK}configs:\n  - {{lr: 1}}\n", "lr=2")
    assert lacking(message, ["--set lr=2: ", '"lr"', "configs"]) == []


def test_a_conditional_parameter_is_not_silently_made_unconditional() -> None:
    text = f"{TASK}space:\n  a: {{grid: [1, 2]}}\n  b: {{grid: [1, 2], when: {{a: 2}}}}\n"
    message = refused(text, "b=2")
    fix = "b={grid: [2], when: {a: 2}}"
    assert f"--set '{fix}'" in message
    assert len(space.parse(text, [fix]).planned()) == 2
