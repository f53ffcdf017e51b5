"""The configurations that are known in advance."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from parsing import TASK, parse
from space_trees import trees

from tune_app import space

CONDITIONAL = """
task: pneumonia
space:
  momentum: {grid: [0.5, 0.9], when: {optimizer: sgd}}
  optimizer: {grid: [adam, sgd]}
  nesterov: {grid: [true, false], when: {momentum: 0.9}}
  lr: {grid: [1e-3], when: {optimizer: [adam, sgd]}}
"""


def test_a_conditional_parameter_exists_only_beside_its_values() -> None:
    assert parse(CONDITIONAL).planned() == [
        {"optimizer": "adam", "lr": 1e-3},
        {"momentum": 0.5, "optimizer": "sgd", "lr": 1e-3},
        {"momentum": 0.9, "optimizer": "sgd", "nesterov": True, "lr": 1e-3},
        {"momentum": 0.9, "optimizer": "sgd", "nesterov": False, "lr": 1e-3},
    ]


def test_a_condition_may_name_what_is_fixed() -> None:
    loaded = parse(f"{TASK}fixed: {{a: 1}}\nspace: {{b: {{grid: [2, 3], when: {{a: [1, 2]}}}}}}\n")
    assert loaded.planned() == [{"b": 2, "a": 1}, {"b": 3, "a": 1}]


def test_true_and_1_are_two_values() -> None:
    assert parse(f"{TASK}space: {{a: {{grid: [true, 1]}}}}\n").planned() == [{"a": True}, {"a": 1}]


def test_exact_points_come_first_and_are_not_tried_again() -> None:
    loaded = parse(f"{TASK}space: {{a: {{grid: [1, 2, 3]}}}}\nconfigs:\n  - {{a: 2.0}}\n  - {{b: 1, a: 9}}\n")
    assert loaded.planned() == [{"a": 2.0}, {"a": 9, "b": 1}, {"a": 1}, {"a": 3}]
    assert list(loaded.planned()[1]) == ["a", "b"]


RANDOM = """
task: pneumonia
seed: 7
space:
  lr: {loguniform: [1e-6, 1e-2]}
  loss: {grid: [bce, ce]}
  width: {qrandint: [16, 64, 16], when: {loss: ce}}
  kind: {choice: [a, 1, null, true]}
search: {algorithm: random, samples: 10}
"""


def test_random_draws_are_crossed_with_the_grids() -> None:
    planned = parse(RANDOM).planned()
    assert len(planned) == 20
    assert parse(RANDOM).size() == 20
    for bce, ce in zip(planned[::2], planned[1::2], strict=True):
        assert list(bce) == ["lr", "loss", "kind"]
        assert list(ce) == ["lr", "loss", "width", "kind"]
        assert (bce["loss"], ce["loss"], bce["lr"], bce["kind"]) == ("bce", "ce", ce["lr"], ce["kind"])
    assert len({config["lr"] for config in planned}) == 10


def test_more_samples_leave_the_first_ones_as_they_are() -> None:
    few, many = parse(RANDOM).planned(), parse(RANDOM, "search.samples=30").planned()
    assert many[: len(few)] == few
    assert parse(RANDOM, "seed=8").planned()[0]["lr"] != few[0]["lr"]


def test_another_grid_value_or_a_parameter_at_the_end_leaves_the_draws_as_they_are() -> None:
    plain_draws = [config["lr"] for config in parse(RANDOM).planned()[::2]]
    wider = parse(RANDOM, "space.loss={grid: [bce, ce, mse]}", "space.zz={uniform: [0, 1]}").planned()
    assert [config["lr"] for config in wider[::3]] == plain_draws


def test_planned_values_are_plain_python() -> None:
    args = "a: {uniform: [0, 1]}, b: {quniform: [0, 1, 0.1]}, c: {randint: [0, 9]}, d: {randn: [0, 1]}"
    more = (
        "e: {lograndint: [1, 9]}, f: {qloguniform: [1, 9, 1]}, g: {choice: [1, x]}, h: {qrandint: [0, 9, 3]}"
    )
    text = f"{TASK}space: {{{args}, {more}}}\nsearch: {{algorithm: random, samples: 5}}\n"
    for config in parse(text).planned():
        assert {type(value) for value in config.values()} <= {int, float, str}
        assert json.loads(json.dumps(config)) == config


def test_optuna_plans_its_exact_points_alone() -> None:
    text = f"{TASK}space: {{a: {{uniform: [0, 1]}}}}\nsearch: {{algorithm: optuna, samples: 3}}\n"
    loaded = parse(text, "configs=[{a: 0.5}]", "fixed={b: 1}")
    assert loaded.planned() == [{"a": 0.5, "b": 1}]
    assert loaded.size() == 4


def test_conditions_may_form_a_long_chain() -> None:
    chain = [f"  p{i}: {{choice: [1, 2]{f', when: {{p{i - 1}: 1}}' if i else ''}}}" for i in range(1500)]
    text = f"{TASK}search: {{algorithm: random, samples: 1}}\nspace:\n" + "\n".join(chain)
    found = parse(text).planned()[0]
    last = next(i for i in range(1500) if found[f"p{i}"] == 2)
    assert set(found) == {f"p{i}" for i in range(last + 1)}


@given(trees())
def test_what_is_planned_is_sound(tree: dict[str, Any]) -> None:
    loaded = space.SearchSpace.model_validate(tree)
    planned = loaded.planned()
    assert planned == loaded.planned()
    if loaded.search.algorithm == "grid":
        assert len({space.canonical(config) for config in planned}) == len(planned)
    if loaded.search.algorithm == "optuna":
        assert planned == []
    for config in planned:
        assert dict(loaded.fixed).items() <= config.items() or loaded.fixed == {}
        for name, sampler in loaded.space.items():
            holds = all(
                other in config and any(space.canonical(config[other]) == space.canonical(v) for v in values)
                for other, values in sampler.when.items()
            )
            assert (name in config) == holds
            if name in config and space.KINDS[sampler.kind].listed:
                assert sampler.can_be(config[name])


def test_a_point_may_have_its_own_value_of_what_is_fixed() -> None:
    parsed = space.parse("task: a:b\nconfigs: [{lr: 1}, {gamma: 3, lr: 1}]\nfixed: {gamma: 2, loss: ce}\n")
    found = parsed.planned()
    assert found == [{"lr": 1, "gamma": 2, "loss": "ce"}, {"lr": 1, "gamma": 3, "loss": "ce"}]
    assert [*found[1]] == [*found[0]]
    assert space.parse(parsed.dump(), name="space") == parsed
