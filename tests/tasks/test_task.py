from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tune_app import space as spaces
from tune_app.errors import SpaceError, TaskError
from tune_app.tasks import task
from tune_app.tasks.pneumonia import PARAMETERS, Pneumonia
from tune_app.tasks.task import Labelled, Splits, Task

MODULE = """
    def curve(config, context):
        yield {"val_accuracy": config["lr"]}

    def one(config):
        yield {}

    def plain(config, context):
        return [{"val_accuracy": 1.0}]

    class Mine:
        def splits(self, dataset): ...
        def model(self, config, shape): ...
        def loss(self, config): ...
        def optimizer(self, config, params): ...
        def scheduler(self, config, optimizer): ...
        def batch_sizes(self, config): ...

    made = Mine()

    class Half:
        def splits(self, dataset): ...
        def model(self, config, shape): ...

    class Demanding(Mine):
        def __init__(self, size): ...
"""

UserModule = Callable[[str], str]


def parse(text: str) -> spaces.SearchSpace:
    return spaces.parse(f"task: pneumonia\n{text}", file="my.yaml")


# ---------------------------------------------------------------- load


def test_a_built_in_task_goes_by_its_name() -> None:
    assert isinstance(task.load("pneumonia"), Pneumonia)


@pytest.mark.parametrize("attribute", ["Mine", "made"])
def test_a_task_of_the_users_is_a_class_or_an_object(user_module: UserModule, attribute: str) -> None:
    assert isinstance(task.load(f"{user_module(MODULE)}:{attribute}"), Task)


def test_a_function_task_is_found_in_the_working_directory(user_module: UserModule) -> None:
    found = task.load(f"{user_module(MODULE)}:curve")
    assert not isinstance(found, Task)
    assert list(found({"lr": 0.5}, task.Context(0, 0, 1, "cpu"))) == [{"val_accuracy": 0.5}]


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Min", '"Min".*"Mine"'),
        ("one", r"one\".*\(config\).*\(config, context\)"),
        ("plain", "splits, model, loss"),
        ("Half", "loss, optimizer, scheduler, batch_sizes"),
        ("Demanding", r"Demanding\(\).*TypeError: .*size"),
    ],
)
def test_what_is_no_task_is_told(user_module: UserModule, attribute: str, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task.load(f"{user_module(MODULE)}:{attribute}")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("pneumonai", '"pneumonai".*"pneumonia"(.|\n)*module:attribute'),
        ("", '""'),
        (":f", '":f"'),
        ("m:", '"m:"'),
        ("no_such_module_here:f", '"no_such_module_here".* /'),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(reference: str, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task.load(reference)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_thing", '"no_such_thing"'),
        ("1 / 0", "user_module_.*ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told(user_module: UserModule, source: str, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task.load(f"{user_module(source)}:f")


# ---------------------------------------------------------------- check and settings


@pytest.mark.parametrize("name", spaces.builtin_names())
def test_the_built_in_spaces_suit_the_built_in_task(name: str) -> None:
    task.check(spaces.load(name), Pneumonia())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs: 2\nspace:\n  lrr: {grid: [1e-3]}", 'my.yaml:4: .*"lrr".*"lr"'),
        ("fixed:\n  gama: 0.4", 'my.yaml:3: .*"gama".*"gamma"'),
        ("configs:\n- {lr: 1}\n- {zzz: 1}", 'my.yaml:4: .*"zzz"(.|\n)*lr, step_size'),
        ("space:\n  lr: {grid: [1e-3, 0]}", r"my.yaml:3: .*\b0\b"),
        ("fixed:\n  loss: mse", "my.yaml:3: .*mse.*bce, ce"),
        ("configs:\n- {lr: 1}\n- {lr: -1}", "my.yaml:4: .*-1"),
        (
            "space:\n  gamma: {uniform: [0.5, 1.5]}\nsearch: {algorithm: random, samples: 2}",
            r"my.yaml:3: .*\b1\.5\b",
        ),
        (
            "metric:\n  name: val_acuracy\n  mode: max",
            'my.yaml:3: .*"val_accuracy"',
        ),
        (
            "metric:\n- {name: val_auc, mode: max}\n- {name: val_los, mode: min}",
            r'my.yaml:4: metric\[1\].name: .*"val_los".*"val_loss"',
        ),
    ],
)
def test_what_the_task_cannot_take_is_told_at_its_line(text: str, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        task.check(parse(text), Pneumonia())


def test_a_task_that_declares_nothing_takes_any_parameter(user_module: UserModule) -> None:
    found = task.load(f"{user_module(MODULE)}:curve")
    assert task.parameters(found) is None
    task.check(parse("fixed: {anything: goes}\nmetric: {name: reward, mode: max}"), found)
    assert task.settings(found, {"anything": "goes"}) == {"anything": "goes"}


def test_settings_are_the_defaults_with_the_configuration_on_top() -> None:
    found = task.settings(Pneumonia(), {"lr": 1.0})
    assert found == {name: p.default for name, p in PARAMETERS.items()} | {"lr": 1.0}


# ---------------------------------------------------------------- identify


def test_the_identity_of_arrays_follows_every_byte_type_shape_and_split() -> None:
    x, y = np.arange(24, dtype=np.float32).reshape(4, 3, 2), np.array([0, 1, 0, 1])
    part = Labelled(x, y)
    base = Splits(part, part, part)
    identity = task.identify(base)
    assert (identity.kind, identity.counts) == ("arrays", {"train": 4, "val": 4, "test": 4})
    assert len(identity.fingerprint) == 64
    swapped = Labelled(x.astype(x.dtype.newbyteorder(">")), np.asfortranarray(y))
    assert task.identify(replace(base, val=swapped)) == identity
    changed = x.copy()
    changed[-1, -1, -1] += 1
    others = [
        replace(base, train=Labelled(changed, y)),
        replace(base, test=Labelled(changed, y)),
        replace(base, test=Labelled(x, y[::-1])),
        replace(base, test=Labelled(x.reshape(4, 2, 3), y)),
        replace(base, test=Labelled(x.view(np.int32), y)),
    ]
    found = {task.identify(each).fingerprint for each in [base, *others]}
    assert len(found) == 1 + len(others)
