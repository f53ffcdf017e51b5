"""Signals to a sweep, and a second process at one run: as a terminal, a batch system or a user sends them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.chaos import checks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.processes import Session
from benchmarks.chaos.sweeps import PAUSE
from benchmarks.chaos.watching import RECORD, Moment, wait

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("proc")]

LIMIT_S = 240.0
Make = Callable[[str], Mortal]


@contextmanager
def session(
    runs: Mortal, args: list[str], pause_s: float = 0.1, ignored: tuple[signal.Signals, ...] = ()
) -> Iterator[Session]:
    """A call of the command line in a process of its own; nothing of it is left at the end."""
    made = Session(runs.folder, args, {PAUSE: str(pause_s)}, ignored=ignored)
    try:
        yield made
    finally:
        made.clean_up()


def reach(line: int, run: Path, working: Session) -> None:
    reached = wait(Moment("line", line), run, working.started, lambda: working.over, LIMIT_S)
    assert reached, working.output()


def assert_goes_on(runs: Mortal, run: Path) -> None:
    """The next session ends as if there had been none before, and trains no epoch a second time."""
    resumed = runs.sit(run)
    assert resumed.code == 0, resumed.output
    faults = checks.same_tables(run, runs.whole) + checks.same_scores(run, runs.whole)
    assert faults + checks.same_files(run, runs.whole) == []
    assert checks.trained_again(checks.events(run / RECORD)) == 0


def test_on_ray_a_second_process_is_refused_and_ctrl_c_saves_what_is_under_way(mortal: Make) -> None:
    runs = mortal("grid")
    run = runs.begin()
    with session(runs, runs.case.run("run", "local"), pause_s=0.5) as first:
        reach(8, run, first)
        second = runs.call(runs.case.resume("run", "local"))
        assert second.code == 2, second.output
        assert "another tune-app process is working on this run" in " ".join(second.output.split())
        assert "starting Ray" not in second.output, "it is refused before it starts anything"
        first.send(signal.SIGINT, group=True)
        assert first.wait(LIMIT_S) == 130
        assert "tune-app resume run" in " ".join(first.output().split())
    assert_goes_on(runs, run)


def test_the_lock_of_a_killed_process_is_free_at_once(mortal: Make) -> None:
    runs = mortal("grid")
    run = runs.begin()
    with session(runs, runs.case.run("run", "inline")) as first:
        reach(12, run, first)
        first.send(signal.SIGKILL)
        assert first.wait(LIMIT_S) == -9
    resumed = runs.sit(run)
    assert resumed.code == 0, resumed.output
    assert checks.same_tables(run, runs.whole) == []


def test_in_the_background_sigint_is_ignored_and_sigterm_saves_what_is_under_way(mortal: Make) -> None:
    """A shell starts a background process with SIGINT ignored: Ctrl-C is for the one in the foreground."""
    runs = mortal("keep last")
    run = runs.begin()
    with session(runs, runs.case.run("run", "inline"), ignored=(signal.SIGINT,)) as first:
        reach(12, run, first)
        first.send(signal.SIGINT)
        reach(20, run, first)
        first.send(signal.SIGTERM)
        assert first.wait(LIMIT_S) == 143, first.output()
    assert_goes_on(runs, run)


def test_sigterm_while_ray_starts_ends_with_143(mortal: Make) -> None:
    runs = mortal("grid")
    run = runs.begin()
    with session(runs, runs.case.run("run", "local")) as starting:
        while "starting Ray" not in starting.output():
            assert not starting.over, starting.output()
            time.sleep(0.02)
        time.sleep(0.5)
        starting.send(signal.SIGTERM)
        assert starting.wait(LIMIT_S) == 143, starting.output()
        assert "Traceback" not in starting.output()
    assert not run.exists()
