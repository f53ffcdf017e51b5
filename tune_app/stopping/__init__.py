"""Early stopping: pure rules over reported values. Every decision is returned, so that it can be recorded.

`rules` has one class per algorithm. A `Stopper` applies that of a space, and restores it from a record.
`Patience` ends a single replicate that has converged.
"""

from __future__ import annotations

from tune_app.stopping.pausing import Rungs, stages
from tune_app.stopping.rules import StoppingDecision, bracket_of, order_key
from tune_app.stopping.stopper import Stopper, make_stopper, observation, replay_inputs

__all__ = [
    "Rungs",
    "Stopper",
    "StoppingDecision",
    "bracket_of",
    "make_stopper",
    "observation",
    "order_key",
    "replay_inputs",
    "stages",
]
