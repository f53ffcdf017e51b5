from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tune_app.errors import Terminated
from tune_app.session import hangup


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether this process has a terminal now; it had one when that was first asked."""
    there = [True]
    monkeypatch.setattr(hangup, "_has_terminal", lambda: there[0])
    monkeypatch.setattr(hangup, "_had_terminal", lambda: True)
    monkeypatch.setattr("tune_app.training.streams.make_output_lossy", lambda: None)
    return there


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """The signal as a terminal's process has it, even where the tests run under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_that_was_sent_by_hand_ends_a_command_with_129() -> None:
    with hangup.survived(), pytest.raises(Terminated) as ended:
        signal.raise_signal(signal.SIGHUP)
    assert ended.value.code == 129


def test_the_loss_of_the_terminal_ends_nothing(terminal: list[bool]) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with hangup.survived():
        terminal[0] = False
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == before


def test_under_nohup_the_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hangup.survived():
            signal.raise_signal(signal.SIGHUP)
            assert hangup.ignored()
    finally:
        signal.signal(signal.SIGHUP, before)
