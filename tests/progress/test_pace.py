"""Epochs a second."""

from __future__ import annotations

import pytest
from recording import Clock

from tune_app.progress.pace import Pace


def test_pace_is_that_of_the_last_ten_seconds() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.per_second() is None
    pace.note(1000)  # trained in an earlier session
    assert pace.per_second() is None
    for second in range(1, 61):
        clock.now += 1
        pace.note(1000 + 10 * min(second, 30) + 100 * max(0, second - 30))
    assert pace.per_second() == pytest.approx(100)


def test_pace_of_epochs_that_take_a_minute_each_does_not_fall_to_nothing() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(4):
        pace.note(int((clock.now - 100) // 60) * 5)
        clock.now += 60
    for _ in range(55):
        clock.now += 1
        pace.note(15)
    assert pace.per_second() == pytest.approx(5 / 60, rel=0.7)
