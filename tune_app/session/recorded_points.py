"""Training recorded configurations once more, for `rerun` and `confirm`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tune_app import progress
from tune_app.space import Config, SearchSpace
from tune_app.sweep import Sweep, code


def keys(space: SearchSpace, points: Sequence[Config], epochs: int) -> dict[str, Any]:
    """The keys that turn ``space`` into a space of only these points.

    No rule that compares trials may end them; patience is kept where it can act within ``epochs``.
    """
    stop: dict[str, Any] = {"scheduler": "none"}
    if space.stop.patience is not None and space.stop.grace_period + space.stop.patience < epochs:
        stop |= space.stop.model_dump(include={"patience", "min_delta", "grace_period", "metric"})
    return {
        "space": {},
        "fixed": {},
        "configs": [dict(point) for point in points],
        "search": {"algorithm": "grid"},
        "stop": stop,
    }


def note_changed_code(sweep: Sweep, points: Sequence[Config]) -> None:
    """Tell the user how the code differs from the code that trained these points before."""
    current = code.collect(sweep.space.task, code.known_files(sweep.history))
    samples = [c.sample for c in sweep.history.configurations.values() if c.config in points]
    if warning := code.difference_note(sweep.history, samples, sweep.space.replicate_numbers, current):
        progress.note(warning)
