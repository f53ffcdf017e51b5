"""Runs, and the warnings about them by kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from records import DATA, Ended, record

from tune_app.data.identity import DataIdentity
from tune_app.results import Frames, verdict, warnings

FIXED = "task: pneumonia\nconfigs: [{lr: 1.0e-6}]\nepochs: %d\nseeds: %d\n"


def said(frames: Frames, others: Sequence[str] = ()) -> dict[str, list[str]]:
    """The texts by kind."""
    found: dict[str, list[str]] = {}
    for warning in warnings.check(frames, verdict.judge(frames), others):
        found.setdefault(warning.kind, []).append(warning.text)
    return found


def one(folder: Path, ended: Ended, seeds: int = 5, epochs: int = 2, data: DataIdentity = DATA) -> Frames:
    return record(folder, FIXED % (epochs, seeds), {1: ended}, data=data)


def curve(*values: float, name: str = "val_accuracy", seeds: int = 5) -> Ended:
    """Each replicate a little off the same curve."""
    wiggle = [0.002 * (r - (seeds - 1) / 2) for r in range(seeds)]
    return Ended({name: [[value + w for w in wiggle] for value in values]})
