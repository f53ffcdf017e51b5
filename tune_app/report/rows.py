"""What the tables take from a row of the frames: its configuration, its replicates, its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app import stats
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
    return [float(value) for value in frames.replicates(int(trial["sample"]), metric)]


def paired(a: pd.Series[float], b: pd.Series[float]) -> stats.Difference | None:
    """The paired t test of two configurations, over the replicates that both have (``Frames.replicates``)."""
    shared = pd.concat([a, b], axis=1, join="inner")
    return stats.paired(shared.iloc[:, 0].tolist(), shared.iloc[:, 1].tolist())


def identity(frames: Frames) -> dict[str, str]:
    """The columns of every CSV that say which data it comes from."""
    return {"data": frames.sweep.data.source, "data_sha256": frames.sweep.data.fingerprint}
