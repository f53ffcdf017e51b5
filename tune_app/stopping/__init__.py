"""Early stopping: pure rules over reported values. Every judgement is returned, to be recorded.

`rules` holds one class an algorithm; a `Stopper` applies those of a space, and takes them up again from a
record; `Patience` ends a replicate that has converged, whatever the others do; `recompute` holds a record's
decisions against the events before them.
"""

from __future__ import annotations

from tune_app.stopping.audit import recompute
from tune_app.stopping.patience import Patience
from tune_app.stopping.rules import Asha, Decision, Hyperband, Median, Rule, bracket, lot
from tune_app.stopping.stopper import DIVERGED, Observation, Stopper, ended, make, observation, recorded

__all__ = [
    "DIVERGED",
    "Asha",
    "Decision",
    "Hyperband",
    "Median",
    "Observation",
    "Patience",
    "Rule",
    "Stopper",
    "bracket",
    "ended",
    "lot",
    "make",
    "observation",
    "recompute",
    "recorded",
]
