"""Notices from the driver to its workers, without a cluster; on one, tests/cluster/test_faults.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from tune_app.engines.ray import preemption, private_api
from tune_app.engines.ray.preemption import Notice, NoticeBoard, read_notice


class Head:
    """Ray's head, as far as a board needs one."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.draining: dict[str, int] = {}
        self.asked = 0
        self.clock = 0.0

    def put(self, key: bytes, value: bytes) -> None:
        self.kept[key] = value

    def drained(self, timeout_s: float) -> list[str]:
        self.asked += 1
        if self.draining.get("fault"):
            raise ray.exceptions.RpcError("no answer")
        return sorted(self.draining)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    head = Head()
    monkeypatch.setattr(private_api, "put", head.put)
    monkeypatch.setattr(private_api, "get", lambda key: head.kept.get(key, b""))
    monkeypatch.setattr(private_api, "draining", head.drained)
    context = SimpleNamespace(get_job_id=lambda: "01", get_node_id=lambda: "here")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(preemption, "time", SimpleNamespace(monotonic=lambda: head.clock))
    return head


def test_a_trial_leaves_a_machine_that_is_drained_and_no_other(head: Head) -> None:
    board = NoticeBoard()
    steps: list[tuple[dict[str, Any], Notice]] = [
        ({}, Notice()),
        ({"elsewhere": 0}, Notice()),
        ({"elsewhere": 0, "here": 5}, Notice(save=True, leave=True)),
        ({"fault": 1}, Notice(save=True, leave=True)),
        ({}, Notice()),
    ]
    for draining, notice in steps:
        head.draining = draining
        head.clock += 1.0
        board.tick(saving=False)
        assert read_notice() == notice


def test_all_are_saved_at_the_end_at_once(head: Head) -> None:
    board = NoticeBoard()
    head.clock += 0.1
    board.tick(saving=False)
    assert head.asked == 0, "once a second is enough"
    board.tick(saving=True)
    assert read_notice() == Notice(save=True, leave=False)
    head.clock += 5.0
    board.tick(saving=True)
    assert (head.asked, len(head.kept)) == (0, 1)
    board.tick(saving=False)
    assert read_notice() == Notice(), "a sweep that goes on asks no more"
