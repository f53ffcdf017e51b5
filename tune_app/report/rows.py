"""What the tables take from a row of the frames: its configuration, its replicates, its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.report import formats
from tune_app.space import Scalar

if TYPE_CHECKING:
    from tune_app.results import Frames

#: A row of ``Frames.trials``, and the configuration in it.
Point = tuple["pd.Series[Any]", dict[str, Scalar]]


def points(frames: Frames) -> list[Point]:
    """Every row of ``trials`` with its configuration, without parameters that do not exist in it."""
    found: list[Point] = []
    for _, row in frames.trials.iterrows():
        cells = ((name, formats.plain(row[name])) for name in frames.parameters)
        found.append((row, {name: value for name, value in cells if value is not None}))
    return found


def select(frames: Frames, chosen: Sequence[pd.Series[Any]]) -> pd.DataFrame:
    """The part of ``trials`` that these rows are."""
    return frames.trials[frames.trials["sample"].isin([row["sample"] for row in chosen])]


def values(frames: Frames, trial: pd.Series[Any], metric: str) -> list[float]:
    """A metric of each replicate of a finished configuration; nothing of one that has not finished."""
    if trial["status"] != "finished" or metric not in frames.seeds:
        return []
    twin = trial.get("twin")
    sample = trial["sample"] if twin is None or pd.isna(twin) else twin
    seeds = frames.seeds[(frames.seeds["sample"] == sample) & (frames.seeds["status"] == "finished")]
    return [float(value) for value in seeds[metric].dropna()]


def measure(trial: pd.Series[Any], metric: str) -> str:
    """A metric of a configuration, with its interval: ``92.9 ± 0.6``."""
    return formats.measure(metric, trial.get(f"{metric}_mean"), trial.get(f"{metric}_ci95"))


def align(column: pd.Series[Any]) -> str:
    """``l`` for a parameter that has words among its values, ``r`` for one of numbers."""
    return "l" if any(isinstance(formats.plain(value), str) for value in column) else "r"


def identity(frames: Frames) -> dict[str, str]:
    """The columns of every CSV that say which data it comes from."""
    return {"data": frames.sweep.data.source, "data_sha256": frames.sweep.data.fingerprint}
