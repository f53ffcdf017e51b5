"""What the paper reports, as data: its settings (Table 1), its loss table and its Table 3."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tune_app.space import Scalar

#: Images behind every test accuracy of the paper.
TEST_IMAGES = 400


def same(a: Scalar, b: Scalar) -> bool:
    """Whether two values are one; numbers may differ by what rounding does to a drawn value."""
    numbers = [float(v) for v in (a, b) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == 2:
        return math.isclose(*numbers, rel_tol=1e-9)
    return type(a) is type(b) and a == b


@dataclass(frozen=True)
class Setting:
    """A line of Table 1: its name in a run, its name for people, and the values the paper gives.

    Where the paper says nothing (``stated`` is False), ``published`` is what saying nothing means.
    """

    group: str
    name: str
    title: str
    published: tuple[Scalar, ...]
    stated: bool = True

    def allows(self, value: Scalar) -> bool:
        """Whether a run with this value is set as the paper's was."""
        return any(same(value, published) for published in self.published)


SETTINGS = (
    Setting("data", "images", "images", ("course",)),
    Setting("data", "train_images", "training images", (1800,)),
    Setting("data", "val_images", "validation images", (200,)),
    Setting("data", "test_images", "test images", (TEST_IMAGES,)),
    Setting("data", "image_size", "image size", (256,)),
    Setting("data", "split", "split", ("image",)),
    Setting("learning", "batch_size", "training batch", (128,)),
    Setting("learning", "test_batch_size", "test batch", (32,)),
    Setting("learning", "epochs", "epochs", (30,)),
    Setting("learning", "evaluate", "evaluated at", ("last",)),
    Setting("learning", "loss", "loss", ("bce", "ce")),
    Setting("learning", "optimizer", "optimiser", ("adam",)),
    Setting("learning", "lr", "learning rate", (3e-6,)),
    Setting("learning", "schedule", "schedule", ("StepLR",)),
    Setting("learning", "step_size", "step size", (4,)),
    Setting("learning", "gamma", "gamma", (0.4,)),
    Setting("layers", "hidden_layers", "hidden layers", (3,)),
    Setting("layers", "nodes", "nodes in each", (64,)),
    Setting("layers", "activation", "activation", ("ReLU",)),
    Setting("layers", "dropout", "dropout", (0,)),
    Setting("layers", "outputs", "outputs", ("1 for BCE", "2 for CE")),
)


@dataclass(frozen=True)
class Sample:
    """A row of Table 3: one run, trained with BCE; ``accuracy`` is of the test images, a fraction."""

    number: int
    lr: float
    step_size: int
    accuracy: float

    def matches(self, config: Mapping[str, Scalar]) -> bool:
        """Whether a configuration is this sample: its learning rate, its step size, and the loss BCE."""
        return (
            same(config.get("lr"), self.lr)
            and same(config.get("step_size"), self.step_size)
            and config.get("loss", "bce") == "bce"
        )


SAMPLES = (
    Sample(1, 3e-6, 4, 0.83),
    Sample(2, 3e-5, 4, 0.8025),
    Sample(3, 3e-7, 4, 0.77),
    Sample(4, 3e-6, 8, 0.7475),
    Sample(5, 3e-6, 2, 0.7525),
)

#: The loss table: one run each, "the best try". Accuracies as fractions; no test loss is given.
LOSSES: Mapping[str, Mapping[str, float]] = {
    "bce": {
        "train_accuracy": 0.94,
        "train_loss": 0.37,
        "val_accuracy": 0.90,
        "val_loss": 0.37,
        "test_accuracy": 0.83,
    },
    "ce": {
        "train_accuracy": 0.92,
        "train_loss": 0.37,
        "val_accuracy": 0.87,
        "val_loss": 0.35,
        "test_accuracy": 0.8225,
    },
}


def matches(config: Mapping[str, Scalar]) -> Sample | None:
    """The sample of Table 3 that a configuration is, or None."""
    return next((sample for sample in SAMPLES if sample.matches(config)), None)
