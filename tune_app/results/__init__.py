"""A record as DataFrames and CSV files, with a verdict and warnings."""

from __future__ import annotations

from tune_app.results.frames import COLUMNS, Frames, as_texts, load, ranked, write
from tune_app.results.seal import sealed

__all__ = ["COLUMNS", "Frames", "as_texts", "load", "ranked", "sealed", "write"]
