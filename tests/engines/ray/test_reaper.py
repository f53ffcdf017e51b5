"""Processes that a dead process has left: found by their mark, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tune_app.engines.ray import reaper
from tune_app.engines.ray.ray_session import OwnedProcesses

PROGRAM = """
    import os, signal, subprocess, sys, time
    from tune_app.engines.ray.ray_session import OwnedProcesses
    owned = OwnedProcesses()
    with owned.marking():
        started = subprocess.Popen(["sleep", "300"], start_new_session=True)
    print(started.pid, flush=True)
    if sys.argv[1] == "ends":
        owned.end(by_itself=False)
        print(started.wait(0), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("proc")
@pytest.mark.parametrize("how", ["dies", "ends"])
def test_nothing_that_was_marked_outlives_the_process_that_marked_it(how: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), how], capture_output=True, text=True, check=False
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    pid, *ended = ran.stdout.split()
    assert ended == ([str(-signal.SIGKILL)] if how == "ends" else [])
    deadline = time.monotonic() + 10
    while reaper.PROC.joinpath(pid, "cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not reaper.PROC.joinpath(pid, "cmdline").exists()


@pytest.mark.usefixtures("proc")
@pytest.mark.parametrize(("number", "killed"), [(signal.SIGKILL, True), (signal.SIGABRT, False)])
def test_a_child_that_was_killed_is_told_from_one_that_gave_up(number: int, killed: bool) -> None:
    child = subprocess.Popen(["sleep", "300"])
    assert not reaper.killed_child("sleep", but_by=signal.SIGABRT)
    child.send_signal(number)
    deadline = time.monotonic() + 5
    while reaper.PROC.joinpath(str(child.pid), "cmdline").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert reaper.killed_child("sleep", but_by=signal.SIGABRT) == killed
    child.wait()


@pytest.mark.usefixtures("proc")
def test_what_has_ended_by_itself_kills_nothing() -> None:
    owned = OwnedProcesses()
    with owned.marking():
        assert reaper.MARK in os.environ
        bystander = subprocess.Popen(["sleep", "300"])
    assert reaper.MARK not in os.environ
    owned.end(by_itself=True)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
