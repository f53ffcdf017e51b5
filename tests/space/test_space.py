from __future__ import annotations

import itertools
import json
import math
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from ray import tune
from ray.tune.schedulers.async_hyperband import _Bracket
from scipy import stats

from tune_app import space
from tune_app.errors import SpaceError
from tune_app.space.arguments import sampler as make_sampler
from tune_app.space.reader import plain, read
from tune_app.space.rules import COLUMNS
from tune_app.space.scalars import quote

SHIPPED = ["grid", "loss", "optuna", "table3"]
TASK = "task: pneumonia\n"
FOUR = f"{TASK}space: {{lr: {{grid: [1, 2, 3, 4]}}}}\n"
SCHEMA = jsonschema.Draft202012Validator(space.json_schema())


def parse(text: str, *overrides: str) -> space.SearchSpace:
    return space.parse(text, overrides, file="my.yaml", name="my")


# ---------------------------------------------------------------- YAML 1.2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-6", 3e-6),
        ("1e5", 1e5),
        ("-.5e2", -50.0),
        ("1.", 1.0),
        ("+3", 3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("2001-01-01", "2001-01-01"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("nan", "nan"),
        ("inf", "inf"),
        ("e5", "e5"),
        (".", "."),
        ("-", "-"),
        ("<<", "<<"),
    ],
)
def test_unquoted_words_follow_the_core_schema(text: str, value: space.Scalar) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_infinities_are_read_as_numbers() -> None:
    assert [plain(text) for text in (".inf", "-.INF", "+.Inf")] == [math.inf, -math.inf, math.inf]
    number = plain(".NaN")
    assert isinstance(number, float)
    assert math.isnan(number)


def test_a_version_directive_does_not_bring_yaml_1_1_back() -> None:
    tree = read("%YAML 1.1\n---\na: yes\nb: 3e-6\nc: 010\n", "my.yaml").tree
    assert tree == {"a": "yes", "b": 3e-6, "c": 10}


def test_quoted_and_folded_texts_are_texts() -> None:
    tree = read("a: '3'\nb: \"true\"\nc: |\n  3\nd: >-\n  null\n", "my.yaml").tree
    assert tree == {"a": "3", "b": "true", "c": "3\n", "d": "null"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example('\u2028\x85\ufeff\x00\n\t\\"')
def test_a_quoted_text_reads_back(text: str) -> None:
    assert read(f"a: {quote(text)}\n", "my.yaml").tree == {"a": text}


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
@example("?")
@example("- - -")
@example("{}")
@example("a: &x [*x]")
def test_no_text_whatever_ends_in_anything_but_a_space_or_our_own_error(text: str) -> None:
    told = "my.yaml:"
    try:
        parse(text)
    except SpaceError as error:
        told = str(error)
    assert told.startswith("my.yaml:")


# ---------------------------------------------------------------- the shipped spaces


def test_the_built_in_spaces() -> None:
    assert space.builtin_names() == SHIPPED
    for name in SHIPPED:
        assert space.load(name).name == name


def test_grid_is_nine_configurations_in_the_order_of_the_file() -> None:
    grid = space.load("grid")
    fixed = {"gamma": 0.4, "batch_size": 128, "loss": "bce"}
    assert grid.planned() == [
        {"lr": lr, "step_size": step, **fixed} for lr in (3e-6, 3e-5, 3e-7) for step in (4, 8, 2)
    ]
    assert list(grid.planned()[0]) == ["lr", "step_size", "gamma", "batch_size", "loss"]
    assert (grid.size(), grid.epochs, grid.seeds, grid.seed, grid.evaluate) == (9, 30, 5, 0, "last")


def test_table3_is_the_five_samples_of_the_paper() -> None:
    table = space.load("table3")
    assert [(c["lr"], c["step_size"]) for c in table.planned()] == [
        (3e-6, 4),
        (3e-5, 4),
        (3e-7, 4),
        (3e-6, 8),
        (3e-6, 2),
    ]
    assert {(c["gamma"], c["batch_size"], c["loss"]) for c in table.planned()} == {(0.4, 128, "bce")}


def test_loss_compares_the_two_losses_at_the_settings_of_the_paper() -> None:
    rest = {"lr": 3e-6, "step_size": 4, "gamma": 0.4, "batch_size": 128}
    assert space.load("loss").planned() == [{"loss": "bce", **rest}, {"loss": "ce", **rest}]


def test_optuna_plans_nothing_and_counts_its_samples() -> None:
    loaded = space.load("optuna")
    assert loaded.planned() == []
    assert (loaded.size(), loaded.search.sampler, loaded.seeds) == (50, "tpe", 3)
    assert loaded.stop.rungs(loaded.epochs) == [3, 9, 27]


# ---------------------------------------------------------------- defaults and strictness


def test_a_task_alone_is_one_configuration() -> None:
    smallest = parse(TASK)
    assert smallest.planned() == [{}]
    assert smallest.size() == 1
    assert smallest.metric == space.Metric(name="val_accuracy", mode="max")
    assert smallest.search.algorithm == "grid"
    assert smallest.stop.rungs(30) == []
    assert parse(f"{TASK}fixed: {{lr: 3e-6}}\n").planned() == [{"lr": 3e-6}]
    assert parse(f"{TASK}configs:\n  - {{lr: 3e-6}}\n").planned() == [{"lr": 3e-6}]


def test_a_space_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse(TASK).epochs = 3  # type: ignore[misc, unused-ignore]


def test_a_whole_number_is_fine_where_a_float_is_wanted() -> None:
    loaded = parse(
        f"{TASK}stop: {{scheduler: asha, reduction_factor: 2}}\nresources: {{gpus_per_trial: 2}}\n"
    )
    assert (loaded.stop.reduction_factor, loaded.resources.gpus_per_trial) == (2.0, 2.0)


def test_optuna_has_tpe_unless_another_sampler_is_named() -> None:
    text = f"{TASK}space: {{a: {{uniform: [0, 1]}}}}\nsearch: {{algorithm: optuna, samples: 3}}\n"
    assert parse(text).search.sampler == "tpe"
    assert parse(text, "search.sampler=my.module:Sampler").search.sampler == "my.module:Sampler"


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


def test_a_space_travels_between_processes() -> None:
    loaded = space.load("grid", ["epochs=3"])
    again = pickle.loads(pickle.dumps(loaded))
    assert again == loaded
    assert again.name == "grid"
    assert str(again.error("epochs", "x")) == "--set epochs=3: epochs: x"


# ---------------------------------------------------------------- overrides


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


def test_a_new_name_may_be_given() -> None:
    assert space.load("grid", name="mine").name == "mine"


# ---------------------------------------------------------------- what is planned

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


# ---------------------------------------------------------------- samplers, against Ray Tune's own

CONTINUOUS: list[tuple[str, list[float]]] = [
    ("uniform", [-2, 3]),
    ("loguniform", [1e-7, 1e-3]),
    ("randn", [1.5, 0.5]),
]
DISCRETE: list[tuple[str, list[Any]]] = [
    ("choice", ["a", 1, None, 2.5]),
    ("quniform", [-1, 1, 0.25]),
    ("quniform", [0, 0.6, 0.1]),
    ("qloguniform", [1, 8, 0.5]),
    ("randint", [-3, 5]),
    ("lograndint", [1, 9]),
    ("qrandint", [1, 14, 4]),
    ("qrandint", [-8, 8, 4]),
]
DRAWS = 4000


def draws(kind: str, args: list[Any]) -> tuple[list[Any], list[Any]]:
    """As many draws of ours and of Ray Tune's sampler of the same name, with fixed seeds."""
    ours, rng = make_sampler({kind: args}), np.random.default_rng(1)
    theirs = tune.choice(args) if kind == "choice" else getattr(tune, kind)(*args)
    return [ours.draw(rng) for _ in range(DRAWS)], theirs.sample(
        size=DRAWS, random_state=np.random.default_rng(2)
    )


@pytest.mark.parametrize(("kind", "args"), CONTINUOUS)
def test_continuous_draws_have_ray_tunes_distribution(kind: str, args: list[float]) -> None:
    ours, theirs = draws(kind, args)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    if kind != "randn":
        assert args[0] <= min(ours)
        assert max(ours) <= args[1]


@pytest.mark.parametrize(("kind", "args"), DISCRETE)
def test_discrete_draws_have_ray_tunes_values_and_frequencies(kind: str, args: list[Any]) -> None:
    ours, theirs = (
        Counter(v if kind == "choice" else round(v, 9) for v in side) for side in draws(kind, args)
    )
    assert set(ours) == set(theirs)
    values = list(ours)
    table = [[side[value] for value in values] for side in (ours, theirs)]
    assert stats.chi2_contingency(table).pvalue > 0.01
    assert all(make_sampler({kind: args}).can_be(value) for value in values)


def test_the_bounds_are_ray_tunes() -> None:
    rng = np.random.default_rng(0)

    def support(kind: str, *args: float) -> set[space.Scalar]:
        return {make_sampler({kind: list(args)}).draw(rng) for _ in range(400)}

    assert support("randint", 1, 4) == support("lograndint", 1, 4) == {1, 2, 3}
    assert support("qrandint", 2, 6, 2) == {2, 4, 6}
    assert support("qrandint", 1, 7, 2) == {2, 4, 6}  # snapped inwards
    assert support("quniform", 0, 0.3, 0.1) == {0.0, 0.1, 0.2, 0.3}  # 0.3, not 0.30000000000000004
    assert support("qloguniform", 1, 3, 1) == {1.0, 2.0, 3.0}


def test_a_grid_is_not_drawn_from() -> None:
    with pytest.raises(TypeError, match="never drawn from"):
        make_sampler({"grid": [1]}).draw(np.random.default_rng(0))


def test_every_kind_but_grid_is_a_function_of_ray_tune() -> None:
    assert all(callable(getattr(tune, kind)) for kind in space.KINDS if kind != "grid")


# ---------------------------------------------------------------- rungs


@pytest.mark.parametrize("grace", [1, 2, 3, 5])
@pytest.mark.parametrize("factor", [2, 2.5, 3, 4])
@pytest.mark.parametrize("epochs", [6, 27, 30, 100])
def test_the_rungs_are_those_at_which_rays_asha_decides(grace: int, factor: float, epochs: int) -> None:
    class Trial:
        trial_id = "one"

    bracket = _Bracket(grace, epochs, factor, 0)
    decided = []
    for epoch in range(1, epochs):
        before = sum(len(recorded) for _, recorded in bracket._rungs)
        bracket.on_result(Trial(), epoch, 1.0)  # type: ignore[arg-type, unused-ignore]
        if sum(len(recorded) for _, recorded in bracket._rungs) > before:
            decided.append(epoch)
    stop = space.Stop(scheduler="asha", grace_period=grace, reduction_factor=factor)
    assert stop.rungs(epochs) == decided


@pytest.mark.timeout(20)
def test_a_factor_close_to_1_costs_no_time() -> None:
    for factor in (1.0000001, 1.000002, 1.0001):
        stop = space.Stop(scheduler="asha", grace_period=1, reduction_factor=factor)
        assert stop.rungs(1_000_000)[:3] == [1, 2, 3]


def test_conditions_may_form_a_long_chain() -> None:
    chain = [f"  p{i}: {{choice: [1, 2]{f', when: {{p{i - 1}: 1}}' if i else ''}}}" for i in range(1500)]
    text = f"{TASK}search: {{algorithm: random, samples: 1}}\nspace:\n" + "\n".join(chain)
    found = parse(text).planned()[0]
    last = next(i for i in range(1500) if found[f"p{i}"] == 2)
    assert set(found) == {f"p{i}" for i in range(last + 1)}


@given(st.integers(1, 50), st.floats(1, 1e6, exclude_min=True), st.integers(1, 200))
@example(1, 1.0000000000000002, 200)
@example(1, 1.1, 30)
def test_rungs_ascend_below_the_last_epoch(grace: int, factor: float, epochs: int) -> None:
    rungs = space.Stop(scheduler="asha", grace_period=grace, reduction_factor=factor).rungs(epochs)
    assert rungs == sorted(set(rungs))
    assert all(grace <= rung < epochs for rung in rungs)
    assert bool(rungs) == (grace < epochs)
    ladders = space.Stop(scheduler="hyperband", grace_period=grace, reduction_factor=factor).ladders(epochs)
    assert [ladder[0] for ladder in ladders] == rungs, "a bracket for each rung, and none without"
    assert all(later == ladder[1:] for ladder, later in itertools.pairwise(ladders))


@pytest.mark.parametrize(
    ("text", "ladders"),
    [
        ("{scheduler: none}", []),
        ("{scheduler: none, brackets: 2}", []),
        ("{scheduler: median}", []),
        ("{scheduler: asha}", [[1, 3, 9, 27]]),
        ("{scheduler: asha, brackets: 1}", [[1, 3, 9, 27]]),
        ("{scheduler: hyperband}", [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27]]),
        ("{scheduler: hyperband, brackets: 2, grace_period: 2}", [[2, 6, 18], [6, 18]]),
        ("{scheduler: hyperband, brackets: 1}", [[1, 3, 9, 27]]),
    ],
)
def test_the_brackets_of_each_scheduler(text: str, ladders: list[list[int]]) -> None:
    assert parse(f"{FOUR}stop: {text}\n").stop.ladders(30) == ladders


def test_one_flag_changes_the_scheduler_of_a_file_whatever_keys_it_has() -> None:
    text = f"{FOUR}stop: {{scheduler: hyperband, brackets: 2, min_samples_required: 9}}\n"
    for scheduler in ("none", "hyperband"):
        assert parse(text, f"stop.scheduler={scheduler}").stop.scheduler == scheduler


def test_patience_goes_beside_any_scheduler() -> None:
    for scheduler in ("none", "asha", "hyperband", "median"):
        found = parse(f"{FOUR}stop: {{scheduler: {scheduler}, patience: 28}}\n").stop
        assert (found.patience, found.min_delta) == (28, 0)
        assert parse(f"{FOUR}stop: {{scheduler: {scheduler}}}\n").stop.patience is None


def test_only_halving_has_rungs() -> None:
    assert space.Stop(scheduler="median").rungs(30) == space.Stop(scheduler="none").rungs(30) == []


# ---------------------------------------------------------------- canonical


def test_canonical_json() -> None:
    assert space.canonical({"b": 4.0, "a": [True, None, 3e-6]}) == '{"a":[true,null,3e-06],"b":4}'
    assert space.canonical(-0.0) == space.canonical(0)
    assert space.canonical((1,)) == "[1]"
    with pytest.raises(ValueError, match="JSON"):
        space.canonical(math.inf)
    with pytest.raises(TypeError):
        space.canonical(object())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_is_its_own_canonical_form(value: Any) -> None:
    text = space.canonical(value)
    assert json.loads(text) == value
    assert space.canonical(json.loads(text)) == text


# ---------------------------------------------------------------- difference


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


# ---------------------------------------------------------------- dump and read back

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name.casefold() not in {*COLUMNS, "loss", "val_auc", "val_loss"}
)
FLOATS = st.floats(-1e100, 1e100)
POSITIVE = st.floats(1e-100, 1e100)
INTS = st.integers(-(2**53), 2**53)
SCALARS: st.SearchStrategy[space.Scalar] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["null", "true", "yes", "3e-6", "1:2", "a: b", "#", "", "~", "a:b", "[", "module:name"])
)


def ascending(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def quantised(draw: st.DrawFn, least: int) -> list[float]:
    q = draw(st.sampled_from([0.1, 0.25, 1, 3.5, 1e-6]))
    low, high = sorted(draw(st.lists(st.integers(least, 1000), min_size=2, max_size=2, unique=True)))
    return [low * q, high * q, q]


LISTED = st.lists(SCALARS, min_size=1, max_size=4, unique_by=space.canonical)
DRAWN = (
    st.tuples(st.just("choice"), LISTED)
    | st.tuples(st.just("uniform"), ascending(FLOATS))
    | st.tuples(st.just("loguniform"), ascending(POSITIVE))
    | st.tuples(st.just("quniform"), quantised(-1000))
    | st.tuples(st.just("qloguniform"), quantised(1))
    | st.tuples(st.just("randint"), ascending(INTS))
    | st.tuples(st.just("lograndint"), ascending(st.integers(1, 2**53)))
    | st.tuples(
        st.just("qrandint"),
        ascending(INTS).flatmap(lambda b: st.just([*b, 2]) if b[1] > b[0] + 1 else st.just([0, 2, 2])),
    )
    | st.tuples(st.just("randn"), st.tuples(FLOATS, POSITIVE).map(list))
)
GRIDS = st.tuples(st.just("grid"), LISTED)


METRIC = st.fixed_dictionaries(
    {"name": st.sampled_from(["val_auc", "loss", "val_speed"]), "mode": st.sampled_from(["min", "max"])}
)


@st.composite
def stops(draw: st.DrawFn, medians: bool) -> dict[str, Any]:
    """Early stopping for 7 epochs and, with ``medians``, 4 configurations at the least."""
    scheduler = draw(st.sampled_from(["none", "asha", "hyperband", *(["median"] if medians else [])]))
    patience: dict[str, Any] = draw(st.sampled_from([{}, {"patience": 2}, {"patience": 1, "min_delta": 0.1}]))
    return {
        "scheduler": scheduler,
        "grace_period": draw(st.integers(1, 4)),
        "reduction_factor": draw(st.floats(1.5, 10) | st.integers(2, 9)),
        "min_samples_required": draw(st.integers(1, 3)),
        **({"brackets": 1} if draw(st.booleans()) else {}),
        **patience,
    }


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """A valid search-space file as plain values, of any algorithm, with conditions and exact points."""
    names = draw(st.lists(NAMES, min_size=1, max_size=7, unique_by=str.casefold))
    cut = draw(st.integers(0, len(names)))
    algorithm = draw(st.sampled_from(["grid", "random", "optuna"])) if cut else "grid"
    kinds: st.SearchStrategy[tuple[str, Any]] = {"grid": GRIDS, "random": GRIDS | DRAWN, "optuna": DRAWN}[
        algorithm
    ]
    parameters: dict[str, Any] = {}
    for name in names[:cut]:
        kind, args = draw(kinds)
        assume(algorithm != "optuna" or kind not in ("randn", "qloguniform"))
        parameters[name] = {kind: args}
        others = [
            other for other, raw in parameters.items() if other != name and raw.keys() & {"grid", "choice"}
        ]
        conditional, listed = draw(st.tuples(st.booleans(), st.booleans()))
        if others and conditional:
            other = draw(st.sampled_from(others))
            values = next(iter(parameters[other].values()))
            some = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique_by=space.canonical))
            parameters[name]["when"] = {other: some if len(some) > 1 or listed else some[0]}
    assume(algorithm != "random" or any("grid" not in raw for raw in parameters.values()))
    tree: dict[str, Any] = {
        "task": draw(st.sampled_from(["pneumonia", "my.module:task"])),
        "space": parameters,
        "fixed": {name: draw(SCALARS) for name in names[cut:]},
        "epochs": draw(st.integers(7, 10**3)),
        "seeds": draw(st.integers(1, 100)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "evaluate": draw(st.sampled_from(["last", "best"])),
        "metric": draw(
            METRIC | st.lists(METRIC, min_size=1, max_size=3, unique_by=lambda each: each["name"])
        ),
        "stop": draw(stops(medians=algorithm != "grid")),
        "resources": draw(
            st.sampled_from([{}, {"gpus_per_trial": 0.25}, {"max_concurrent": 3, "cpus_per_trial": 2}])
        ),
    }
    if not parameters:
        known = [name.casefold() for name in names]
        free = NAMES.map(str.casefold).filter(lambda name: name not in known)
        point = st.dictionaries(free, SCALARS, max_size=3)
        tree["configs"] = draw(st.lists(point, max_size=3, unique_by=space.canonical))
    if algorithm != "grid" or draw(st.booleans()):
        tree["search"] = {
            "algorithm": algorithm,
            **({} if algorithm == "grid" else {"samples": draw(st.integers(4, 6))}),
        }
    if draw(st.booleans()):
        tree["description"] = draw(st.text(st.characters(exclude_categories=["Cs"])))
    return tree


@given(trees())
def test_what_is_dumped_reads_back_as_an_equal_space(tree: dict[str, Any]) -> None:
    loaded = space.SearchSpace.model_validate(tree)
    again = parse(loaded.dump())
    assert again == loaded
    assert space.difference(loaded, again) == []
    assert again.plain() == loaded.plain()
    assert again.dump() == loaded.dump()
    SCHEMA.validate(json.loads(json.dumps(loaded.plain())))


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


# ---------------------------------------------------------------- several metrics

SEVERAL = """
task: mine:task
metric: [{name: loss, mode: min}, {name: speed, mode: max}]
"""


def test_of_several_metrics_the_first_ranks() -> None:
    several = parse(SEVERAL)
    loss, speed = (space.Metric(name="loss", mode="min"), space.Metric(name="speed", mode="max"))
    assert several.metrics == (several.metric, speed)
    assert (several.metric.name, several.metric.mode) == ("loss", "min")
    one = parse(SEVERAL.replace(", {name: speed, mode: max}", ""))
    assert one.metrics == (loss,)
    assert one == parse("task: mine:task\nmetric: {name: loss, mode: min}")
    assert one != several
    assert parse("task: mine:task").metrics == (space.Metric(name="val_accuracy", mode="max"),)
    assert parse(SEVERAL, "epochs=3").model_copy(update={"seeds": 2}).metrics == several.metrics
    assert space.changed(several, {"seeds": 2}, "changed").metrics == several.metrics
    [told] = space.difference(several, parse(SEVERAL.replace("max", "min")))
    assert "speed" in told


@pytest.mark.parametrize(
    ("stop", "name"), [("", "loss"), ("metric: speed, ", "speed"), ("metric: loss, ", "loss")]
)
def test_early_stopping_goes_by_the_first_metric_unless_said(stop: str, name: str) -> None:
    assert parse(f"{SEVERAL}stop: {{{stop}scheduler: asha}}").stop_metric.name == name


# ---------------------------------------------------------------- the JSON schema


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_takes_the_shipped_files(name: str) -> None:
    tree = read(space.find(name).read_text(), name).tree
    SCHEMA.validate(tree)


@pytest.mark.parametrize(
    "text",
    [
        "epochs: 3",
        "task: pneumonia\nepoch: 3",
        "task: pneumonia\nepochs: 0",
        "task: pneumonia\nepochs: three",
        "task: pneumonia\nspace: {lr: 3}",
        "task: pneumonia\nspace: {lr: {loguniforn: [1, 2]}}",
        "task: pneumonia\nspace: {lr: {uniform: [1]}}",
        "task: pneumonia\nspace: {lr: {grid: []}}",
        "task: pneumonia\nspace: {lr: {grid: [1, 1]}}",
        "task: pneumonia\nspace: {lr: {grid: [1], choice: [1]}}",
        "task: pneumonia\nspace: {lr: {when: {a: 1}}}",
        "task: pneumonia\nspace: {lr: {randint: [1.5, 2]}}",
        "task: pneumonia\nfixed: {lr: [1]}",
        "task: pneumonia\nconfigs: [3]",
        "task: pneumonia\nmetric: {name: auc, mode: most}",
        "task: pneumonia\nmetric: []",
        "task: pneumonia\nmetric: [{name: auc, mode: max}, {name: loss}]",
        "task: pneumonia\nstop: {scheduler: asha, grace: 3}",
    ],
)
def test_the_schema_refuses_what_is_broken(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(read(text, "my.yaml").tree)


def test_the_schema_completes_every_key_and_sampler_with_a_description() -> None:
    schema = space.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(entry.get("description") for entry in schema["properties"].values())
    for section in schema["$defs"].values():
        assert all(entry.get("description") for entry in section["properties"].values())
    parameter = schema["properties"]["space"]["additionalProperties"]
    assert set(parameter["properties"]) == {*space.KINDS, "when"}
    assert all(entry["description"] for entry in parameter["properties"].values())


# ---------------------------------------------------------------- documentation and import


def test_every_key_and_sampler_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "search-space.md").read_text()
    sections = (space.Metric, space.Search, space.Stop, space.Resources)
    keys = {key for model in (space.SearchSpace, *sections) for key in model.model_fields}
    assert [key for key in [*keys, *space.KINDS] if f"`{key}`" not in text] == []


def test_the_documented_examples_load() -> None:
    docs = Path(__file__).parents[2] / "docs"
    text = "".join((docs / name).read_text() for name in ("search-space.md", "search.md"))
    examples = [block.split("```")[0] for block in text.split("```yaml\n")[1:]]
    assert len(examples) >= 4
    for block in examples:
        assert space.parse(block).size() >= 1


def test_importing_the_module_loads_no_heavy_library() -> None:
    heavy = "{'numpy', 'torch', 'ray', 'pandas', 'optuna', 'scipy'}"
    code = f"import sys, tune_app.space; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
