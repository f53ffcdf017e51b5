"""Settings, metrics and states as a person would write them in a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.space import Value
from tune_app.space.labels import text, texts
from tune_app.space.scalars import is_compound
from tune_app.stats.units import DIGITS, NOTHING, SHARES, MetricUnits, named_share, parted
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Whole floats below this are written as whole numbers, others as 1e300.
_WHOLE = 1e15

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_METRICS = {"auc": "AUC"}

_WORDS: dict[str, dict[str, str]] = {
    "images": {"course": "the course's files", "folder": "other X-rays"},
    "evaluate": {"last": "last epoch", "best": "best epoch"},
    "loss": {"bce": "BCE", "ce": "CE"},
    "optimizer": {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"},
    "split": {"image": "by image", "patient": "by patient"},
}


def plain(value: Any) -> Value:
    """A cell of a frame as a parameter's value: None where there is none, whole floats as integers."""
    if value is None or value is pd.NA or value != value:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    if isinstance(value, str | int | float | bool) or is_compound(value):
        return value  # type: ignore[no-any-return]
    raise TypeError(f"not a parameter's value: {value!r}")


def setting(name: str, values: Sequence[Value]) -> str:
    """The values of one setting: ``3e-6, 3e-5``; of more than eight numbers their range."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) > 8:
        others = [text(v) for v in values if not isinstance(v, int | float) or isinstance(v, bool)]
        return ", ".join([*others, f"{text(min(numbers))} to {text(max(numbers))} ({len(numbers)} values)"])
    letters = texts(values)
    found = [_setting(name, *pair) for pair in zip(values, letters, strict=True)]
    return ", ".join(found if len(set(found)) == len(set(letters)) else letters)


def _setting(name: str, each: Value, letters: str) -> str:
    if isinstance(each, int) and not isinstance(each, bool):
        if name.endswith("_images"):
            return f"{each:,}"
        if name == "image_size":
            return f"{each} × {each}"
    return _WORDS.get(name, {}).get(each, letters) if isinstance(each, str) else letters


def metric(units: MetricUnits, name: str) -> str:
    """A metric's name with its unit, for a heading: ``validation accuracy, %`` for ``val_accuracy``."""
    return f"{quantity(name)}, %" if units.is_share(name) else quantity(name)


def chosen_metric(frames: Frames, name: str = "") -> str:
    """What configurations are chosen by, for a heading: a metric of the space, the one that ranks if empty.

    Any other metric is named as it is.
    """
    space = frames.sweep.space
    name = name or space.metric.name
    words = space.chosen_by(quantity(name), short=True) if name in frames.choices else quantity(name)
    return f"{words}, %" if frames.units.is_share(name) else words


def chosen_by(frames: Frames) -> str:
    """What configurations are chosen by, for a sentence."""
    space = frames.sweep.space
    return space.chosen_by(quantity(space.metric.name))


def ranked_by(frames: Frames) -> str:
    """The same with its direction: ``validation accuracy (max, mean of the last 5 epochs)``."""
    metric, epochs = frames.sweep.space.metric, frames.sweep.space.choosing_epochs
    return f"{quantity(metric.name)} ({metric.mode}{f', mean of the {epochs}' if epochs else ''})"


def quantity(name: str) -> str:
    """A metric's name for a sentence: ``validation accuracy`` for ``val_accuracy``, else as it is."""
    split, _, what = parted(name)
    known = split in _SPLITS and what in (*SHARES, "loss")
    return f"{_SPLITS[split]} {_METRICS.get(what, what)}" if known else name


def published(name: str, figure: float) -> str:
    """A figure of the paper with the digits that it was published with: ``83``, ``82.25``, ``0.37``."""
    return f"{100 * figure if named_share(name) else figure:.6g}"


def measure(frames: Frames, sample: int, metric: str, digits: int = DIGITS, unit: bool = False) -> str:
    """A metric of a configuration, with its interval: ``92.9 ± 0.6``."""
    return frames.units.measure(metric, frames.measured(sample, metric), digits, unit)


def choice(frames: Frames, sample: int, metric: str, digits: int = DIGITS, unit: bool = False) -> str:
    """What a configuration is chosen by, with its interval; a metric that does not choose as it is."""
    return frames.units.measure(metric, frames.measured(sample, frames.choice_of(metric)), digits, unit)


def value(frames: Frames, sample: int, name: str, short: bool = False) -> str:
    """A parameter of a configuration, ``short`` for a terminal; a dash if it does not exist."""
    config, labels = frames.config(sample), frames.short_labels if short else frames.labels
    return labels.value(name, config[name]) if name in config else NOTHING


def align(frames: Frames, name: str) -> str:
    """``r`` for a parameter whose values are all numbers, else ``l``."""
    labels = frames.sweep.space.labels
    words = name in labels or any(isinstance(c.get(name), str | list | dict) for c in frames.configs.values())
    return "l" if words else "r"


def status(row: pd.Series[Any]) -> str:
    """A configuration's status in words, with the epoch that it has reached."""
    word, epoch = str(row["status"]), int(row["epochs"])
    if word in (Status.FINISHED, Status.PLANNED):
        return word
    if word == Status.DIVERGED:
        word = f"{word} in {counted(int(row['n_diverged']), 'run')},"
    return f"{word} at epoch {epoch}"


def listed(items: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
