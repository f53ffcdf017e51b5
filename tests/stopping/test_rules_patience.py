"""When patience runs out."""

from __future__ import annotations

import pytest
from deciding import (
    parse,
)

from tune_app.stopping.rules import Patience
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import SweepSettings


@pytest.mark.parametrize(
    ("text", "values", "end"),
    [
        ("patience: 3", [5, 4, 4, 4], 4),
        ("patience: 3", [5, 4, 4, 6, 6, 6, 6], 7),
        ("patience: 1", [5, 5], 2),
        ("patience: 1", [1, 2, 3, 4, 5], None),
        # small steps add up: 1.2 is more than 0.5 above 0.6, which did not count
        ("patience: 2, min_delta: 0.5", [0.0, 0.4, 0.6, 1.0, 1.2, 1.5, 1.6], 7),
        ("patience: 2, min_delta: 0.5", [0.0, 0.5, 0.5], 3),
        # patience runs from the grace period on, and the best before it counts
        ("patience: 2, grace_period: 4", [9, 1, 1, 1, 1, 1], 6),
        ("patience: 2, grace_period: 4", [9, 1, 1, 1, 1, 10, 1, 1], 8),
    ],
)
def test_hand_counted_patience(text: str, values: list[float], end: int | None) -> None:
    for mode, sign in (("max", 1), ("min", -1)):
        patience = Patience.of(SweepSettings.of(parse(f"scheduler: none, {text}", mode), Numerics()))
        assert patience
        ends = [patience.exhausted(epoch, sign * value) for epoch, value in enumerate(values, start=1)]
        assert ends == [epoch == end for epoch in range(1, len(values) + 1)]
