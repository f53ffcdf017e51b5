"""Training recorded configurations once more."""

from __future__ import annotations

import pytest

from tune_app import space as spaces
from tune_app.session import recorded_points

TEXT = """
task: pneumonia
space: {lr: {grid: [1e-5, 1e-4]}}
fixed: {gamma: 0.4}
epochs: 9
stop: {scheduler: asha, grace_period: 2, reduction_factor: 3, patience: 3, min_delta: 0.1}
"""


@pytest.mark.parametrize(("epochs", "patience"), [(9, 3), (5, None)])
def test_the_points_alone_are_trained_to_their_end_or_until_patience_ends_them(
    epochs: int, patience: int | None
) -> None:
    space = spaces.parse(TEXT, name="my")
    keys = recorded_points.keys(space, [{"lr": 1e-4, "gamma": 0.4}], epochs)
    narrow = spaces.changed(space, keys, "again", recorded=True)
    assert narrow.planned() == [{"lr": 1e-4, "gamma": 0.4}]
    assert (narrow.stop.scheduler, narrow.stop.patience) == ("none", patience)
    assert narrow.stop.min_delta == (0.1 if patience else 0)
