from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from specs import make_spec
from torch import nn

from tune_app import space as spaces
from tune_app.data import Dataset
from tune_app.errors import TaskError
from tune_app.space import Value
from tune_app.tasks.pneumonia import PARAMETERS, Pneumonia
from tune_app.tasks.task import settings
from tune_app.training.device_data import DeviceSplits
from tune_app.training.task_replicates import Looped

TASK = Pneumonia()
PAPER: Mapping[str, Value] = {}  # the defaults are the paper's


def layers(config: Mapping[str, Value], shape: tuple[int, ...] = (256, 256)) -> list[object]:
    """The model's layers, a linear one as its sizes (in, out)."""
    made = TASK.model(config, shape)
    return [
        (each.in_features, each.out_features) if isinstance(each, nn.Linear) else type(each)
        for each in made.children()
    ]


# ---------------------------------------------------------------- Table 1


@pytest.mark.parametrize(("loss", "outputs"), [("bce", 1), ("ce", 2)])
def test_the_paper_has_three_hidden_layers_of_64_with_relu(loss: str, outputs: int) -> None:
    hidden = [(256 * 256, 64), nn.ReLU, (64, 64), nn.ReLU, (64, 64), nn.ReLU]
    assert layers({"loss": loss}) == [nn.Flatten, *hidden, (64, outputs)]


def test_the_paper_trains_with_bce_and_adam_at_3e_6() -> None:
    params = list(TASK.model(PAPER, (4, 4)).parameters())
    optimizer = TASK.optimizer(PAPER, params)
    assert type(optimizer) is torch.optim.Adam
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-6, (0.9, 0.999), 0.0)
    assert TASK.batch_sizes(PAPER) == (128, 32)
    assert settings(TASK, PAPER)["loss"] == "bce"


def test_the_paper_multiplies_the_rate_by_0_4_every_4_epochs() -> None:
    optimizer = TASK.optimizer(PAPER, TASK.model(PAPER, (2, 2)).parameters())
    scheduler = TASK.scheduler(PAPER, optimizer)
    assert isinstance(scheduler, torch.optim.lr_scheduler.StepLR)
    rates = []
    for _ in range(9):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([3e-6] * 4 + [1.2e-6] * 4 + [4.8e-7])


@pytest.mark.parametrize("name", ["grid", "table3", "loss"])
def test_the_shipped_spaces_keep_to_the_paper(name: str) -> None:
    space = spaces.load(name)
    varied = {key for config in space.planned() for key, v in config.items() if v != PARAMETERS[key].default}
    assert varied <= {"lr", "step_size", "loss"}
    assert (space.epochs, space.evaluate) == (30, "last")


# ---------------------------------------------------------------- pixels


def test_pixels_reach_the_model_unscaled(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    x = tiny.train.x.copy()
    x.flat[0] = 255
    tiny = replace(tiny, train=replace(tiny.train, x=x))

    def forward(self: nn.Flatten, batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.clone())  # its memory is used again by the next batch
        return batch.flatten(1)

    monkeypatch.setattr(nn.Flatten, "forward", forward)
    splits = TASK.splits(tiny)
    assert splits.train.x is tiny.train.x
    spec = make_spec({"batch_size": 7, "test_batch_size": 4})
    Looped(spec, TASK, DeviceSplits.load(splits, "cpu")).step()
    training, validation = seen[:4], seen[4:]
    assert [len(batch) for batch in training] == [7, 7, 7, 4]
    assert [len(batch) for batch in validation] == [4, 4, 1]
    assert {batch.dtype for batch in seen} == {torch.float32}
    pixels = torch.cat(training).numpy()
    assert pixels.max() == 255
    assert np.array_equal(np.sort(pixels, axis=None), np.sort(tiny.train.x, axis=None))


def test_without_images_there_is_nothing_to_train_on() -> None:
    with pytest.raises(TaskError, match="give it --data"):
        TASK.splits(None)


# ---------------------------------------------------------------- losses, optimisers, layers


def test_losses_are_one_number_an_image() -> None:
    y = torch.tensor([0, 1, 1])
    logits = torch.tensor([[0.3], [2.0], [-1.0]])
    bce = TASK.loss({"loss": "bce"})(logits, y)
    share = torch.sigmoid(logits[:, 0])
    torch.testing.assert_close(bce, -torch.where(y == 1, share, 1 - share).log())
    two = torch.cat([torch.zeros(3, 1), logits], dim=1)
    torch.testing.assert_close(TASK.loss({"loss": "ce"})(two, y), bce)


def test_other_optimisers_take_their_own_settings() -> None:
    config = {"lr": 0.1, "weight_decay": 0.2, "momentum": 0.9}
    adamw, sgd = (
        TASK.optimizer({**config, "optimizer": name}, [nn.Parameter(torch.zeros(1))])
        for name in ("adamw", "sgd")
    )
    assert (type(adamw), type(sgd)) == (torch.optim.AdamW, torch.optim.SGD)
    assert [each.param_groups[0]["weight_decay"] for each in (adamw, sgd)] == [0.2, 0.2]
    assert sgd.param_groups[0]["momentum"] == 0.9


def test_layers_nodes_and_dropout_follow_the_configuration() -> None:
    assert layers({"hidden_layers": 0}, (3, 3)) == [nn.Flatten, (9, 1)]
    small = {"hidden_layers": 1.0, "nodes": 5.0, "dropout": 0.25}  # whole numbers, however they are written
    assert layers(small, (3, 3)) == [nn.Flatten, (9, 5), nn.ReLU, nn.Dropout, (5, 1)]


# ---------------------------------------------------------------- rules

GOOD: dict[str, list[Value]] = {
    "lr": [1e-12, 1, 1e30],
    "step_size": [1, 4.0],
    "gamma": [1e-9, 1, 1.0],
    "batch_size": [1, 128.0],
    "test_batch_size": [1, 10**6],
    "loss": ["bce", "ce"],
    "optimizer": ["adam", "adamw", "sgd"],
    "momentum": [0, 0.999],
    "weight_decay": [0, 10],
    "hidden_layers": [0, 3],
    "nodes": [1],
    "dropout": [0, 0.99],
}
WHOLE: list[Value] = [0, -1, 1.5, True, "1", None]
BAD: dict[str, list[Value]] = {
    "lr": [0, -1e-3, True, "1e-3", None, float("inf"), float("nan")],
    "step_size": WHOLE,
    "gamma": [0, 1.01, -0.4, False, None],
    "batch_size": WHOLE,
    "test_batch_size": WHOLE,
    "loss": ["BCE", "", 1, None, True],
    "optimizer": ["Adam", "rmsprop", None],
    "momentum": [1, -0.1, True, "0"],
    "weight_decay": [-1e-9, None, "0"],
    "hidden_layers": [-1, 0.5, True],
    "nodes": WHOLE,
    "dropout": [1, -0.1, True, None],
}


def test_every_parameter_has_its_rule() -> None:
    assert list(GOOD) == list(BAD) == list(PARAMETERS)
    for name, parameter in PARAMETERS.items():
        assert parameter.accepts(parameter.default), name
        assert parameter.rule, name
        assert parameter.meaning, name
        assert [value for value in GOOD[name] if not parameter.accepts(value)] == [], name
        assert [value for value in BAD[name] if parameter.accepts(value)] == [], name
