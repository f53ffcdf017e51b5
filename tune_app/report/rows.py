"""Reads a row of the frames for tables: its configuration, replicates and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.space import Scalar
from tune_app.stats import paired_tests
from tune_app.stats.paired_tests import Difference
from tune_app.stats.units import DIGITS, NOTHING, MetricUnits

if TYPE_CHECKING:
    from tune_app.results import Frames

#: A row of ``Frames.trials``, and the configuration in it.
Point = tuple["pd.Series[Any]", dict[str, Scalar]]


def points(frames: Frames, trials: pd.DataFrame) -> list[Point]:
    """Each row of ``trials`` with its configuration, which has only the parameters that exist in it."""
    return [(row, dict(frames.config(row["sample"]))) for _, row in trials.iterrows()]


def select(frames: Frames, chosen: Sequence[pd.Series[Any]]) -> pd.DataFrame:
    """The rows ``chosen`` of ``trials``, as a frame."""
    return frames.trials[frames.trials["sample"].isin([row["sample"] for row in chosen])]


def values(frames: Frames, trial: pd.Series[Any], metric: str) -> list[float]:
    """A metric of each replicate of a finished configuration; empty for others."""
    return [float(value) for value in frames.replicates(int(trial["sample"]), metric)]


def measure(frames: Frames, trial: pd.Series[Any], metric: str, digits: int = DIGITS) -> str:
    """A metric of a configuration, with its interval: ``92.9 ± 0.6``."""
    return frames.units.measure(metric, frames.measured(trial["sample"], metric), digits)


def value(frames: Frames, trial: pd.Series[Any], name: str) -> str:
    """A parameter of a configuration; a dash if it does not exist."""
    config = frames.config(trial["sample"])
    return frames.labels.value(name, config[name]) if name in config else NOTHING


def paired(units: MetricUnits, metric: str, a: pd.Series[float], b: pd.Series[float]) -> Difference | None:
    """The paired t test of two configurations, over the replicates that both have (``Frames.replicates``)."""
    shared = pd.concat([a, b], axis=1, join="inner")
    one, other = shared.iloc[:, 0].tolist(), shared.iloc[:, 1].tolist()
    return paired_tests.paired(one, other, step=units.step(metric, [*one, *other]))


def align(frames: Frames, name: str) -> str:
    """``r`` for a parameter whose values are all numbers, else ``l``."""
    configs = (each.config for each in frames.sweep.history.configurations.values())
    return "l" if any(isinstance(config.get(name), str) for config in configs) else "r"


def identity(frames: Frames) -> dict[str, str]:
    """The columns of every CSV that say which data it comes from."""
    return {"data": frames.sweep.data.source, "data_sha256": frames.sweep.data.fingerprint}


def provenance(frames: Frames) -> Mapping[str, Any]:
    """The provenance of the first session: versions, machine, command; empty before a session."""
    openings = frames.sweep.history.openings
    return openings[0].provenance if openings else {}
