"""A search space: defaults, equality, dumps, and its JSON schema."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import jsonschema  # type: ignore[import-untyped, unused-ignore]
import pytest
from hypothesis import given
from parsing import TASK, parse
from pydantic import ValidationError
from space_trees import trees

from tune_app import space
from tune_app.space.reader import read

SHIPPED = ["grid", "loss", "optuna", "table3"]


SCHEMA = jsonschema.Draft202012Validator(space.json_schema())


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


def test_a_space_travels_between_processes() -> None:
    loaded = space.load("grid", ["epochs=3"])
    again = pickle.loads(pickle.dumps(loaded))
    assert again == loaded
    assert again.name == "grid"
    assert str(again.error("epochs", "x")) == "--set epochs=3: epochs: x"


@given(trees())
def test_what_is_dumped_reads_back_as_an_equal_space(tree: dict[str, Any]) -> None:
    loaded = space.SearchSpace.model_validate(tree)
    again = parse(loaded.dump())
    assert again == loaded
    assert space.difference(loaded, again) == []
    assert again.plain() == loaded.plain()
    assert again.dump() == loaded.dump()
    SCHEMA.validate(json.loads(json.dumps(loaded.plain())))


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
    assert set(parameter["properties"]) == {*space.KINDS, "p", "when"}
    assert all(entry["description"] for entry in parameter["properties"].values())


def test_importing_the_module_loads_no_heavy_library() -> None:
    heavy = "{'numpy', 'torch', 'ray', 'pandas', 'optuna', 'scipy'}"
    code = f"import sys, tune_app.space; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
