"""The statuses, and the groups of them."""

from __future__ import annotations

from tune_app.status import ENDED, FAULTY, LIVE, PRECEDENCE, WAITING, Status


def test_every_status_has_its_place_in_each_order() -> None:
    assert sorted(PRECEDENCE) == sorted(Status)
    assert set(LIVE) == {*Status, WAITING} - {Status.PLANNED}
    assert FAULTY < ENDED


def test_a_status_is_its_text() -> None:
    assert f"{Status.FINISHED}" == "finished"
    assert Status("failed") is Status.FAILED
