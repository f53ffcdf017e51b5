"""Numbers, settings and states as a person would write them in a report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from tune_app.space import Scalar
from tune_app.words import SHARES, count, is_share

#: What stands in a cell that has nothing to show.
NOTHING = "–"

#: Decimals of a percentage.
DIGITS = 1

#: Whole floats below this are written as whole numbers, others as 1e300.
_WHOLE = 1e15

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_METRICS = {"auc": "AUC"}

_WORDS: dict[str, dict[Scalar, str]] = {
    "images": {"course": "the course's files", "folder": "other X-rays"},
    "evaluate": {"last": "last epoch", "best": "best epoch"},
    "loss": {"bce": "BCE", "ce": "CE"},
    "optimizer": {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"},
    "split": {"image": "by image", "patient": "by patient"},
}


def plain(value: Any) -> Scalar:
    """A cell of a frame as a parameter's value: None where there is none, whole floats as integers."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    if isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"not a parameter's value: {value!r}")


def value(value: Scalar) -> str:
    """A parameter's value: ``3e-6``, ``0.4``, ``128``, ``adam``."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    return _exponent(f"{value:.4g}") if isinstance(value, float) else str(value)


def setting(name: str, values: Sequence[Scalar]) -> str:
    """The values of one setting: ``3e-6, 3e-5``; of more than eight numbers their range."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) > 8 and len(numbers) == len(values):
        return f"{value(min(numbers))} to {value(max(numbers))} ({len(values)} values)"
    return ", ".join(_setting(name, each) for each in values)


def _setting(name: str, each: Scalar) -> str:
    if name.endswith("_images"):
        return f"{each:,}"
    if name == "image_size":
        return f"{each} × {each}"
    return _WORDS.get(name, {}).get(each, value(each))


def metric(name: str) -> str:
    """A metric's name with its unit, for a heading: ``validation accuracy, %`` for ``val_accuracy``."""
    return f"{quantity(name)}, %" if is_share(name) else quantity(name)


def quantity(name: str) -> str:
    """A metric's name for a sentence: ``validation accuracy`` for ``val_accuracy``, else as it is."""
    split, _, what = name.partition("_")
    known = split in _SPLITS and what in (*SHARES, "loss")
    return f"{_SPLITS[split]} {_METRICS.get(what, what)}" if known else name


def number(name: str, mean: float | None, digits: int = DIGITS) -> str:
    """A metric's value: shares in per cent with ``digits`` decimals, others with two significant more."""
    if mean is None or pd.isna(mean):
        return NOTHING
    return f"{100 * mean:.{digits}f}" if is_share(name) else _exponent(f"{mean:#.{digits + 2}g}".rstrip("."))


def measure(name: str, mean: float | None, half_width: float | None, digits: int = DIGITS) -> str:
    """A metric's mean and the half-width of its interval, where there is one: ``92.9 ± 0.6``."""
    if mean is None or half_width is None or pd.isna(mean) or pd.isna(half_width):
        return number(name, mean, digits)
    share = is_share(name)
    half = f"{100 * half_width:.{digits}f}" if share else _exponent(f"{half_width:.{digits + 1}g}")
    return f"{number(name, mean, digits)} ± {half}"


def published(name: str, figure: float) -> str:
    """A figure of the paper with the digits that it was published with: ``83``, ``82.25``, ``0.37``."""
    return f"{100 * figure if is_share(name) else figure:.6g}"


def status(row: pd.Series[Any]) -> str:
    """A configuration's status in words, with the epoch that it has reached."""
    word, epoch = str(row["status"]), int(row["epochs"])
    if word in ("finished", "planned"):
        return word
    if word == "diverged":
        word = f"{word} in {count(int(row['n_diverged']), 'run')},"
    return f"{word} at epoch {epoch}"


def listed(items: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _exponent(digits: str) -> str:
    return re.sub(r"e([+-])0*", lambda sign: "e-" if sign[1] == "-" else "e", digits)
