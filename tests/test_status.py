"""The statuses, and the groups of them."""

from __future__ import annotations

from tune_app.status import ENDED, FAULTY, LIVE, WAITING, Status


def test_every_status_is_listed_in_live_views() -> None:
    assert set(LIVE) == {*Status, WAITING} - {Status.PLANNED}
    assert FAULTY < ENDED


def test_a_status_is_its_text() -> None:
    assert f"{Status.FINISHED}" == "finished"
    assert Status("failed") is Status.FAILED
