"""How two spaces differ."""

from __future__ import annotations

from parsing import TASK, parse

from tune_app import space


def test_differences_are_told_by_key() -> None:
    old = space.load("grid", ["configs=[{lr: 1, step_size: 2}]"])
    new = space.load("grid", ["epochs=5", "lr={grid: [1, 2]}", "gamma=0.5", "fixed.dropout=0.1"])
    assert space.difference(old, new) == [
        "space.lr: {grid: [3e-06, 3e-05, 3e-07]} recorded, {grid: [1, 2]} asked",
        "fixed.gamma: 0.4 recorded, 0.5 asked",
        "configs: [{lr: 1, step_size: 2}] recorded, [] asked",
        "epochs: 30 recorded, 5 asked",
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
