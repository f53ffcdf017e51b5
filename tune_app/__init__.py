"""Hyperparameter sweeps for PyTorch on Ray Tune, from a search-space file to a table in a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tune_app.results import Frames

__version__ = "0.1.0"


def open(run: str | Path) -> Frames:
    """The results of a run folder as DataFrames: ``.trials``, ``.seeds``, ``.curves``.

    Raises:
        RunError: no such run, or a damaged one.
    """
    from tune_app import results
    from tune_app.sweep import Sweep

    return results.load(Sweep.open(run))
