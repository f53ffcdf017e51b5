"""The live view while a sweep trains, on terminals and elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from recording import HALVING, Clock, decide_rung, look, plain_console, recorded, text_of, wait_at_rung
from rich.console import Console

from benchmarks.recorder import Recorder
from tune_app import progress
from tune_app.progress import drawing
from tune_app.progress.drawing import Timing
from tune_app.progress.watch import PlainLines
from tune_app.sweep import Sweep


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_without_a_terminal_each_end_is_one_whole_line(tmp_path: Path) -> None:
    console, clock = plain_console(), Clock()
    with recorded(tmp_path) as (sweep, recorder):
        recorder.train(3, [0.5, 0.5])
        with progress.Watch(sweep, "on 2 CPUs", console, clock):
            recorder.train(2, [0.93, 0.94])
            wait_for(lambda: "2/4" in text_of(console))
            recorder.fail(recorder.start(1), "ValueError: no")
            wait_for(lambda: "3/4" in text_of(console))
            clock.now += 4
    assert text_of(console).splitlines() == [
        "on 2 CPUs",
        "  2/4   lr 3e-6  step_size 8   93.5% (93.0, 94.0)   finished   4.0 s   cpu",
        "  3/4   lr 3e-6  step_size 4   failed: ValueError: no",
        "   75%   1 failed, 2 finished, 1 waiting   2 epochs/s   took 4.0 s",
    ]


def test_without_a_terminal_silence_lasts_ten_seconds_at_most(tmp_path: Path) -> None:
    console, clock = plain_console(), Clock()
    screen = PlainLines(console, clock)
    with recorded(tmp_path) as (sweep, recorder):
        recorder.epoch(recorder.start(1), [0.5, 0.5])
        snapshot = look(sweep)
        for _ in range(100):  # 25 seconds
            clock.now += 0.25
            screen.show(snapshot, Timing(2.0, clock.now - 100))
    assert text_of(console).splitlines() == ["    6%   1 running, 3 waiting   2 epochs/s   15 s left"] * 2


def test_without_a_terminal_a_rung_that_decides_is_a_line_and_a_heartbeat_says_how_far_one_is(
    tmp_path: Path,
) -> None:
    console, clock = plain_console(), Clock()
    screen = PlainLines(console, clock)
    with recorded(tmp_path, HALVING) as (sweep, recorder):
        screen.show(look(sweep), Timing(None, 0.0))
        wait_at_rung(recorder, *range(1, 9))
        clock.now += 10
        screen.show(look(sweep), Timing(2.0, 10.0))
        wait_at_rung(recorder, 9)
        decide_rung(recorder, [7, 8, 9], range(1, 7))
        screen.show(look(sweep), Timing(2.0, 10.0))
    lines = text_of(console).splitlines()
    assert lines[0] == (
        "   44%   8 paused, 1 waiting   2 epochs/s   10 s left   "
        "rung 1/2 (epoch 1): 8 of 9 came, 8 paused, 0 promoted"
    )
    assert lines[1] == "  rung 1/2 (epoch 1) has decided: 3 of 9 promoted"
    assert [line.split()[0] for line in lines[2:]] == [f"{number}/9" for number in range(1, 7)]


def test_lines_are_flushed_as_they_come(tmp_path: Path) -> None:
    class Slow(io.StringIO):
        seen: list[str] = []  # noqa: RUF012

        def flush(self) -> None:
            self.seen.append(self.getvalue())

    console = Console(file=Slow())
    progress.note("one [line]", console)
    assert Slow.seen[-1] == "one [line]\n"


def test_waiting_is_one_line_without_a_terminal() -> None:
    console = plain_console()
    with progress.waiting("starting Ray", console):
        assert text_of(console) == "starting Ray ...\n"
    assert text_of(console) == "starting Ray ...\n"


def test_a_fault_in_showing_ends_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("in drawing")

    monkeypatch.setattr(drawing, "ended", broken)
    with recorded(tmp_path) as (sweep, recorder):
        with progress.Watch(sweep, "plan", plain_console()):
            recorder.train(1, [0.5, 0.5])
            time.sleep(0.6)
            recorder.train(2, [0.5, 0.5])
        assert sweep.statuses()[1] == "finished"
    told = capsys.readouterr()
    assert told.err.count("ZeroDivisionError: in drawing") == 1
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_disk_that_is_full_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with recorded(tmp_path) as (sweep, recorder), progress.Watch(sweep, "plan", Console(file=Full())):
        recorder.train(1, [0.5, 0.5])
    assert "No space left on device" in capsys.readouterr().err


def test_an_exception_of_the_training_passes_through(tmp_path: Path) -> None:
    console = plain_console()

    def train(sweep: Sweep, recorder: Recorder) -> None:
        with progress.Watch(sweep, "plan", console):
            recorder.epoch(recorder.start(1), [0.5, 0.5])
            raise KeyboardInterrupt

    with recorded(tmp_path) as (sweep, recorder), pytest.raises(KeyboardInterrupt):
        train(sweep, recorder)
    assert "1 interrupted, 3 waiting" in text_of(console)
    assert "progress" not in [thread.name for thread in threading.enumerate()]


DEMO = """
    import sys, time
    from pathlib import Path
    sys.path[:0] = {folders!r}
    from benchmarks.recorder import Recorder
    from recording import new_sweep
    from tune_app import progress

    if sys.stdout.isatty():
        with progress.waiting("starting Ray"):
            time.sleep(0.3)
    sweep = new_sweep(Path({folder!r}))
    recorder = Recorder.of(sweep)
    with sweep.writing(), progress.Watch(sweep, "on 2 CPUs, 2 trials at a time"):
        for sample in (1, 2, 3, 4):
            recorder.train(sample, [0.9, 0.8 + sample / 50])
            time.sleep(0.3)
        print("a line from elsewhere")
    print("the end")
"""


def demo(folder: Path) -> str:
    here = Path(__file__).parent
    return textwrap.dedent(DEMO.format(folders=[str(here), str(here.parents[1])], folder=str(folder)))


def on_a_terminal(program: str, settings: Mapping[str, str]) -> str:
    """What a Python program writes to a terminal of 80 columns and 24 lines."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **settings}
    command = [sys.executable, "-W", "error", "-c", program]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # Linux ends a terminal that nobody writes to any more with an error
            block = b""
        if not block:
            break
        written += block
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode()


def test_on_a_terminal_it_is_drawn_in_place_and_the_last_state_stays(tmp_path: Path) -> None:
    written = on_a_terminal(demo(tmp_path), {})
    assert "Traceback" not in written
    assert "starting Ray ..." in written
    assert "\x1b[1A" in written, "the cursor goes up to draw over what is there"
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "a line from elsewhere" in written
    plain = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "")
    last = plain[plain.rindex("  lr ") :].splitlines()
    assert [line.split() for line in last[1:5]] == [
        ["3e-6", "4", "4/4", "86.0%", "(90.0,", "82.0)", "finished", "4.0", "s", "cpu"],
        ["3e-6", "8", "4/4", "87.0%", "(90.0,", "84.0)", "finished", "4.0", "s", "cpu"],
        ["3e-5", "4", "4/4", "88.0%", "(90.0,", "86.0)", "finished", "4.0", "s", "cpu"],
        ["3e-5", "8", "4/4", "89.0%", "(90.0,", "88.0)", "finished", "4.0", "s", "cpu"],
    ]
    assert last[6].startswith("==============================  100%   4 finished")
    assert last[-1] == "the end"


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    written = on_a_terminal(demo(tmp_path), {"TERM": "dumb"})
    assert "\x1b" not in written
    assert written.count("finished   4.0 s   cpu") == 4


def test_force_color_does_not_make_a_terminal_of_a_pipe(tmp_path: Path) -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", "-c", demo(tmp_path)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert b"\x1b[1A" not in done.stdout
    assert done.stdout.decode().count("finished   4.0 s   cpu") == 4


def test_a_reader_that_has_gone_ends_nothing(tmp_path: Path) -> None:
    program = demo(tmp_path).replace("print(", "sys.stderr.write(")
    command = [sys.executable, "-W", "error", "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.close()
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert "the end" in told
    assert told.count("the output is no longer read") == 1
