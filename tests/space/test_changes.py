"""Spaces that are changed, compared, and extended by samples, seeds, epochs and values."""

from __future__ import annotations

from typing import Any

import pytest
from parsing import TASK, parse

from tune_app import space
from tune_app.errors import SpaceError

GRID = f"{TASK}space: {{lr: {{grid: [0.01, 0.1]}}}}\nepochs: 4\nseeds: 2\n"
DRAWN = f"{TASK}space: {{lr: {{uniform: [0, 1]}}}}\nsearch: {{algorithm: random, samples: 3}}\n"


@pytest.mark.parametrize(
    ("more", "key", "value"),
    [
        ({"seeds": "+1"}, "seeds", 3),
        ({"seeds": "5"}, "seeds", 5),
        ({"epochs": "+2"}, "epochs", 6),
        ({"add": ["lr=0.2", "lr=0.3"]}, "space.lr.grid", [0.01, 0.1, 0.2, 0.3]),
        ({"add": ["{lr: 7}"]}, "configs", [{"lr": 7}]),
    ],
)
def test_a_space_is_extended_in_one_key(more: dict[str, Any], key: str, value: object) -> None:
    wider = space.extend(parse(GRID), **more)
    assert wider.plain() == parse(GRID, f"{key}={value}").plain()
    assert wider.name == "my"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "nothing to extend by"),
        ({"seeds": "1"}, r"--seeds 1: there are 2 already.*write more than 2"),
        ({"seeds": "many"}, r"--seeds many: write how many more, as in --seeds \+5"),
        ({"epochs": "+-1"}, r"--epochs \+-1: write how many"),
        ({"samples": "+5"}, r"--samples \+5: my is a grid, which has no samples"),
        ({"add": ["lr"]}, r"--add lr: write name=value"),
        ({"add": ["lr=0.1"]}, r"my, extended.*: space.lr: 0.1 .* twice"),
        ({"add": ["lrr=0.2"]}, r'no parameter called "lrr" is searched. Did you mean "lr"'),
        ({"add": ["lr=[1]"]}, r"--add lr=\[1\]: write one value"),
        ({"add": ["{lr: 0.2, other: 1}", "{lr: 0.2, other: 1}"]}, "the same point"),
    ],
)
def test_a_wrong_extension_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(SpaceError, match=f"(?s){words}"):
        space.extend(parse(GRID), **more)


def test_a_drawn_parameter_takes_no_values_but_whole_points() -> None:
    drawn = parse(DRAWN)
    with pytest.raises(SpaceError, match=r"lr .*uniform"):
        space.extend(drawn, add=["lr=0.5"])
    wider = space.extend(drawn, add=["{lr: 0.5}"], samples="+2")
    assert wider.planned()[0] == {"lr": 0.5}
    assert wider.planned()[1:4] == drawn.planned()


def test_a_space_is_built_from_the_content_of_its_file() -> None:
    tree = {"task": "pneumonia", "space": {"lr": {"grid": [1, 2]}}, "epochs": 3}
    built = space.build(tree, "mine")
    assert (built.name, built.planned(), built.epochs) == ("mine", [{"lr": 1}, {"lr": 2}], 3)
    changed = space.changed(built, {"epochs": 5}, "changed")
    assert (changed.epochs, changed.name) == (5, "mine")
    with pytest.raises(SpaceError, match=r"^mine, changed.*epochs"):
        space.changed(built, {"epochs": 0}, "changed")


def test_differences_are_told_by_key() -> None:
    old = space.load("grid", ["configs=[{lr: 1, step_size: 2}]"])
    new = space.load("grid", ["epochs=5", "lr={grid: [1, 2]}", "gamma=0.5", "fixed.dropout=0.1"])
    assert space.difference(old, new) == [
        "space.lr: {grid: [3e-06, 3e-05, 3e-07]} recorded, {grid: [1, 2]} asked",
        "fixed.gamma: 0.4 recorded, 0.5 asked",
        "configs: [{lr: 1, step_size: 2}] recorded, [] asked",
        "epochs: 30 recorded, 5 asked",
        "choose.window: 5 recorded, 1 asked",
        "fixed.dropout: nothing recorded, 0.1 asked",
    ]


def test_the_order_of_the_file_makes_a_difference_but_its_name_makes_none() -> None:
    one = parse(f"{TASK}space: {{a: {{grid: [1]}}, b: {{grid: [2]}}}}\n")
    two = parse(f"description: x\n{TASK}space: {{b: {{grid: [2]}}, a: {{grid: [1]}}}}\n")
    assert one != two
    assert space.difference(one, two) == [
        "the order of the parameters: configurations would be planned in another order"
    ]
    again = space.parse(
        f"{TASK}description: y\nspace: {{a: {{grid: [1.0]}}, b: {{grid: [2]}}}}\n", name="other"
    )
    assert one == again
    assert hash(one) == hash(again)
    assert space.difference(one, again) == []
