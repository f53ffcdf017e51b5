"""What the user's task may get wrong is an error in one line, before anything is planned."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_task import TASK, request

from tune_app import cli
from tune_app.errors import TaskError
from tune_app.session import preview

UserModule = Callable[[str], str]

SPACE = "space: {lr: {grid: [0.01]}}\nepochs: 3\nseeds: 1\n"
INT_Y = "y.astype(np.int64)"
FLOAT_X = "(rng.normal(size=(n, 6)) + y[:, None]).astype(np.float32)"
SPLITS = "return Splits(draw(40), draw(20), draw(20))"
MODEL = "torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))"
LOSS = 'return lambda logits, y: bce(logits[:, 0], y.float(), reduction="none")'
SCHEDULE = 'torch.optim.lr_scheduler.StepLR(optimizer, 2, config.get("gamma", 0.5))'
ADAM = 'torch.optim.Adam(params, lr=config["lr"])'

BROKEN: dict[str, tuple[str, str, str]] = {
    # what is wrong: (part of the task, what stands there instead, words of the message)
    "float labels": (INT_Y, "y + 0.5", r"train.y is float64.*such as a regression, write a function"),
    "whole floats": (INT_Y, "y.astype(np.float32)", r"train.y is float32.*train.y.astype\(numpy.int64\)"),
    "labels in a column": (INT_Y, "y[:, None]", r"shape \(40, 1\).*give train.y\[:, 0\]"),
    "labels one-hot": (INT_Y, "np.eye(2)[y]", r"shape \(40, 2\).*write a function"),
    "labels in a list": (INT_Y, "list(y)", r"train.y is a list.*numpy.asarray"),
    "labels in torch": (INT_Y, "torch.tensor(y)", r"train.y is a torch.Tensor.*train.y.numpy\(\)"),
    "labels of text": (INT_Y, "y.astype(str)", r"train.y holds <U21, which is not a number"),
    "labels below 0": (INT_Y, "(y - 1)", r"train.y holds -1"),
    "labels above C": (INT_Y, "(y + 1)", r"go up to 2, but the model gives 1 logits.*0 to 1: give 3"),
    "too few labels": (INT_Y, f"{INT_Y}[1:]", r"40 inputs but 39 labels"),
    "inputs in a frame": (FLOAT_X, f"__import__('pandas').DataFrame({FLOAT_X})", r"is a pandas.*DataFrame"),
    "inputs of objects": (FLOAT_X, f"{FLOAT_X}.astype(object)", r"train.x holds object.*numpy.float32"),
    "inputs of double": (FLOAT_X, f"{FLOAT_X}.astype(float)", r"\n  inputs are float64.*numpy.float32"),
    "inputs of NaN": (
        FLOAT_X,
        f"np.where(np.arange(n)[:, None] == 7, np.nan, {FLOAT_X}).astype(np.float32)",
        r"train.x\[7\] holds NaN",
    ),
    "no inputs": (SPLITS, "return Splits(draw(40), draw(0), draw(20))", r"val is empty"),
    "no test set": (SPLITS, "return Splits(draw(40), draw(20), None)", r"test=None: all three"),
    "another shape": (
        SPLITS,
        "a = draw(9); return Splits(a, a, Labelled(a.x[:, :5], a.y))",
        "an input of test has shape",
    ),
    "no splits": (SPLITS, "pass", r"splits\(\) gave None"),
    "raising splits": (SPLITS, "raise OSError('no\\nfile')", r"raised OSError: no \(.*\.py:\d+\)$"),
    "ending splits": (SPLITS, "raise SystemExit(0)", r"splits\(\) called sys.exit\(0\)"),
    "raising model": (MODEL, "config['nodes']", r"model\(\) raised KeyError: 'nodes' \(.*\.py:\d+\)$"),
    "no model": (MODEL, "None", r"model\(\) gave None: give a torch.nn.Module"),
    "flat logits": (
        MODEL,
        "torch.nn.Sequential(torch.nn.Linear(6, 1), torch.nn.Flatten(0))",
        r"shape \(4, C\), but it gave \(4,\); give x.unsqueeze",
    ),
    "several outputs": (MODEL, "torch.nn.LSTM(6, 2)", r"\(4, C\), but it gave a tuple"),
    "an embedding": (MODEL, "torch.nn.Embedding(9, 4)", r"given a training batch, raised"),
    "no parameters": (MODEL, "torch.nn.Flatten()", "optimizer.. raised .*empty"),
    "mean loss": (
        LOSS,
        "return lambda logits, y: bce(logits[:, 0], y.float())",
        "one number for all; give it red",
    ),
    "loss in a column": (
        LOSS,
        "return lambda logits, y: bce(logits, y[:, None].float(), reduction='none')",
        r"it gave shape \(4, 1\); flatten it",
    ),
    "raising loss": (LOSS, "return lambda logits, y: 1 / 0", r"the loss of a batch raised ZeroDivisionError"),
    "loss without a gradient": (LOSS, "return lambda logits, y: y.float()", r"one step of training raised"),
    "schedule by a metric": (
        SCHEDULE,
        "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)",
        "needs a metric",
    ),
    "short schedule": (
        SCHEDULE,
        "torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=2)",
        r"stepped once an epoch for 3 epochs, raised ValueError",
    ),
    "no schedule": (SCHEDULE, "[1]", r"scheduler\(\) gave a list"),
    "no optimiser": (ADAM, "3", r"optimizer\(\) gave an int"),
    "a batch of none": ("return 8, 10", "return 0, 10", r"batch_sizes\(\) gave \(0, 10\)"),
    "sizes of numpy": ("return 8, 10", "return np.int64(8), 10", r"give two of type int"),
    "one size": ("return 8, 10", "return 8", r"batch_sizes\(\) gave 8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_classifier_is_refused(user_module: UserModule, name: str) -> None:
    part, instead, words = BROKEN[name]
    assert part in TASK
    task = f"{user_module(TASK.replace(part, instead))}:Task"
    with pytest.raises(
        TaskError, match=rf'^task "{task}": .*{words}' if "\n" not in words else words
    ) as caught:
        request(task, SPACE).load()
    assert caught.value.exit_code == 2
    assert str(caught.value).count("\n") <= 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("return 8, 10", "return 10**6, 10**6"),
        (INT_Y, "y.astype(bool)"),
        (SCHEDULE, "torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3)"),
        (MODEL, f"torch.nn.Sequential({MODEL}, torch.nn.BatchNorm1d(1))"),
        (FLOAT_X, "np.ones((n, 6), np.uint16)"),
        (FLOAT_X, "np.ones((n, 6), bool)"),
    ],
)
def test_what_trains_is_not_refused(user_module: UserModule, part: str, instead: str) -> None:
    asked = request(f"{user_module(TASK.replace(part, instead))}:Task", SPACE)
    assert preview.estimate(asked, asked.load()).epoch_s > 0


def test_the_check_leaves_random_generators_alone(user_module: UserModule) -> None:
    drawing = "(np.random.random(), __import__('random').random(), torch.rand(1))"
    task = user_module(TASK.replace("return torch.nn.Seq", f"{drawing}; return torch.nn.Seq"))

    def states() -> list[object]:
        return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]

    before = states()
    request(f"{task}:Task", SPACE).load()
    assert states() == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "raise KeyError('width')",
            r"^task .*one epoch of {\"lr\":0.01} raised KeyError: 'width' \(.*\.py:\d+\)",
        ),
        ("raise SystemExit(0)", r"called sys.exit\(0\)"),
        ("return", "ended"),
        ("yield 3", "it must yield a mapping"),
        ("yield {'val_loss': 1}", 'the metric "val_accuracy" is missing'),
    ],
)
def test_check_names_what_a_function_raises(
    user_module: UserModule, capsys: pytest.CaptureFixture[str], body: str, words: str
) -> None:
    task = user_module(f"def train(config, context):\n    {body}\n    yield {{}}\n")
    Path("mine.yaml").write_text(f"task: {task}:train\n{SPACE}")
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "mine.yaml", "--address", "inline"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback" not in said
    asked = request(f"{task}:train", SPACE)
    with pytest.raises(TaskError, match=words):
        preview.estimate(asked, asked.load())
