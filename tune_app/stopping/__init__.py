"""Early stopping: pure rules over reported values. Every decision is returned, so that it can be recorded.

`rules` has one class per algorithm. A `Stopper` applies those of a space, and restores them from a record.
`Patience` ends a single replicate that has converged. `recompute` checks the decisions of a record.
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
