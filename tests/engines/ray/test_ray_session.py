"""Calls into Ray when a server has died."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tune_app.engines.ray import ray_session
from tune_app.engines.ray.ray_session import GONE_AFTER_S, RayInstance, Server
from tune_app.errors import RayLost

HOST = "127.0.0.1"


def listening() -> tuple[socket.socket, int]:
    server = socket.create_server((HOST, 0))
    return server, server.getsockname()[1]


def test_a_server_that_refuses_connections_is_given_up_after_its_time() -> None:
    opened, port = listening()
    here, far = Server("here", HOST, port, local=True), Server("far", HOST, port, local=False)
    assert (here.lost(print), far.lost(print), here.dying) == ("", "", False)
    opened.close()
    assert here.lost(print) == "", "not at once"
    assert here.dying
    time.sleep(GONE_AFTER_S)
    assert here.lost(print).startswith(f"here at {HOST}:{port} has died")
    assert far.lost(print) == ""
    assert not far.dying


def test_that_a_head_is_away_is_said_once_and_forgotten_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune_app.engines.ray.ray_session._SAY_AFTER_S", 0.0)
    opened, port = listening()
    opened.close()
    head, told = Server("head", HOST, port, local=False), list[str]()
    for _ in range(2):
        assert head.lost(told.append) == ""
    assert len(told) == 1
    with socket.create_server((HOST, port)):
        assert (head.lost(told.append), head._away_since) == ("", None)


@pytest.fixture
def instance() -> RayInstance:
    return RayInstance(owned=False)


def test_a_call_returns_or_raises_what_its_work_does(instance: RayInstance) -> None:
    assert instance.call(lambda: instance.call(threading.current_thread)).name == "Ray"
    with pytest.raises(ValueError, match="mine"):
        instance.call(lambda: int("mine"))
    instance.leave(lambda: None, lambda: False)
    ray_session.wait_until_gone()
    assert not instance._thread.is_alive()


def test_a_call_is_left_behind_when_a_server_has_died(instance: RayInstance) -> None:
    opened, port = listening()
    instance.servers = (Server("head", HOST, port, local=True),)
    asked, over = list[str](), threading.Event()

    def give_up(why: str) -> bool:
        asked.append(why)
        return len(asked) == 2

    opened.close()
    with pytest.raises(RayLost, match=rf"head at {HOST}:{port} has died"):
        instance.call(over.wait, give_up=give_up)
    assert len(asked) == 2, "what is under way is given its time"
    over.set()


def test_a_call_that_fails_by_the_death_of_a_server_says_so(instance: RayInstance) -> None:
    opened, port = listening()
    instance.servers = (Server("head", HOST, port, local=True),)

    def fail() -> None:
        opened.close()
        raise ConnectionError("broken")

    with pytest.raises(RayLost):
        instance.call(fail)
