"""A run folder: what is wanted, what is recorded, and what is lacking; one writer, nothing rewritten."""

from __future__ import annotations

from tune_app.sweep.sweep import Sweep, find_sample

__all__ = ["Sweep", "find_sample"]
