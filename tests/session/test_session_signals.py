from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tune_app.errors import Terminated
from tune_app.session import signals


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether this process has a terminal now; it had one when that was first asked."""
    there = [True]
    monkeypatch.setattr(signals, "_has_terminal", lambda: there[0])
    monkeypatch.setattr(signals, "_had_terminal", lambda: True)
    monkeypatch.setattr("tune_app.training.streams.make_output_lossy", lambda: None)
    return there


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """The signal as a terminal's process has it, even where the tests run under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_that_was_sent_by_hand_ends_a_command_with_129() -> None:
    with signals.survived(), pytest.raises(Terminated) as ended:
        signal.raise_signal(signal.SIGHUP)
    assert ended.value.code == 129


def test_the_loss_of_the_terminal_ends_nothing(terminal: list[bool]) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with signals.survived():
        terminal[0] = False
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == before


def test_under_nohup_the_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.survived():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_ends_the_driver_once_and_the_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    reasons: list[str] = []
    driver: Any = SimpleNamespace(end=reasons.append)
    with signals.ending(driver) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert (caught, reasons) == ([signal.SIGTERM], ["SIGTERM"])
    assert signal.getsignal(signal.SIGTERM) is before
