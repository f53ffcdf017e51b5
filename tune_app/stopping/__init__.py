"""Early stopping: pure rules over reported values. Every judgement is returned, to be recorded.

`rules` holds one class an algorithm; a `Stopper` applies those of a space, and takes them up again from a
record; `Patience` ends a replicate that has converged, whatever the others do; `recompute` holds a record's
decisions against the events before them.
"""

from __future__ import annotations

from tune_app.stopping.audit import recompute
from tune_app.stopping.patience import Patience
from tune_app.stopping.rules import Asha, Hyperband, Median, Rule, StoppingDecision, bracket_of, order_key
from tune_app.stopping.stopper import (
    DIVERGED,
    Observation,
    Stopper,
    end_observation,
    make_stopper,
    observation,
    replay_inputs,
)

__all__ = [
    "DIVERGED",
    "Asha",
    "Hyperband",
    "Median",
    "Observation",
    "Patience",
    "Rule",
    "Stopper",
    "StoppingDecision",
    "bracket_of",
    "end_observation",
    "make_stopper",
    "observation",
    "order_key",
    "recompute",
    "replay_inputs",
]
