"""Shows a sweep while it trains, from a separate thread that never stops the training."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from types import TracebackType
from typing import IO

from rich._null_file import NULL_FILE
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tune_app.progress import drawing
from tune_app.progress.snapshot import Pace, Snapshot, SnapshotTaker
from tune_app.status import FAULTY, Status
from tune_app.sweep import Sweep
from tune_app.sweep.rung_states import RungState
from tune_app.text import wrapped
from tune_app.training import output

_EVERY_S = 0.25
_HEARTBEAT_S = 10.0


class Terminal(Console):
    """Standard output, also while a trial in this process prints to its log."""

    @property
    def file(self) -> IO[str]:
        """See rich."""
        stream = output.terminal()
        return getattr(stream, "rich_proxied_file", stream) or NULL_FILE

    @file.setter
    def file(self, new: IO[str]) -> None: ...


def note(text: str, console: Console | None = None) -> None:
    """Print a line at once, also while a live view is on the screen; on a terminal it ends between words."""
    console = console or Terminal()
    console.out(wrapped(text, console.width) if _interactive(console) else text, highlight=False)


@contextmanager
def waiting(text: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show what is being waited for: on a terminal with a spinner, until the end; elsewhere as one line.

    Yields a function that replaces the text.
    """
    console = console or Console()
    if _interactive(console):
        with console.status(Text(f"{text} ..."), spinner="line") as status:
            yield lambda now: status.update(Text(f"{now} ..."))
        return
    printed = ""

    def show(now: str) -> None:
        nonlocal printed
        if now != printed:
            note(f"{now} ...", console)
        printed = now

    show(text)
    yield show


def follow(sweep: Sweep, console: Console | None = None) -> None:
    """Show a sweep that another process is training, until that process has ended or Ctrl-C is pressed."""
    if not sweep.live():
        return
    with (
        suppress(KeyboardInterrupt),
        Watch(sweep, f"following {sweep.name}; Ctrl-C ends only this view", console),
    ):
        while sweep.live():
            sweep.refresh()
            time.sleep(_EVERY_S)
    sweep.refresh()


class Watch:
    """Shows ``sweep`` for as long as the context lasts: a live table on a terminal, plain lines elsewhere.

    What goes wrong in showing never reaches the training: the first such error is told once at the end,
    on standard error.

    Args:
        sweep: the sweep that a driver is writing to.
        plan_line: printed first, as it is.
        console: where to; standard output unless given.
        clock: seconds, never going backwards.
    """

    def __init__(
        self,
        sweep: Sweep,
        plan_line: str,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._taker = SnapshotTaker(sweep)
        self._plan_line = plan_line
        self._console = console or Terminal()
        self._clock = clock
        self._lines = PlainLines(self._console, clock)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._pace = Pace(clock)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> Watch:
        self._started = self._clock()
        self._guard(self._open)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._guard(lambda: self._draw(over=True))
        self._guard(self._live.stop)  # the last state stays on the screen
        if self._error:
            print(
                f"tune-app: the progress could not be shown in full ({type(self._error).__name__}: "
                f"{self._error}); training and record are not affected",
                file=sys.stderr,
            )

    def _open(self) -> None:
        note(self._plan_line, self._console)
        self._trained_before = self._taker.take().trained
        self._draw()

    def _work(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._guard(self._draw)

    def _draw(self, over: bool = False) -> None:
        snapshot = self._taker.take(live=not over)
        elapsed = self._clock() - self._started
        if Status.RUNNING in snapshot.states or snapshot.trained > self._trained_before:
            self._pace.note(snapshot.trained)
        per_second = self._pace.per_second()
        if over:
            trained = snapshot.trained - self._trained_before
            per_second = trained / elapsed if elapsed > 0 else None
        timing = drawing.Timing(per_second, elapsed, over)
        if _interactive(self._console):
            self._live.start()
            self._live.update(drawing.live(snapshot, timing, *self._console.size), refresh=True)
        else:
            self._lines.show(snapshot, timing)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SystemExit:  # so rich says that nobody reads what it writes; it has silenced the console
            self._error = self._error or BrokenPipeError("the output is no longer read")
        except Exception as error:  # noqa: BLE001 - told at the end: a view must not end what it views
            self._error = self._error or error


class PlainLines:
    """A line for each configuration that ends and each rung that decides, and one now and then."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._last_line = clock()
        self._told: set[int] | None = None
        self._decided = 0

    def show(self, snapshot: Snapshot, timing: drawing.Timing) -> None:
        """Print what is new."""
        if self._told is None:
            self._told = set(snapshot.newest)
            self._decided = len(_decided(snapshot))
        for rung in _decided(snapshot)[self._decided :]:
            self._decided += 1
            self._print(drawing.decided(snapshot, rung))
        rows = {row.sample: row for row in snapshot.rows}
        for sample in reversed(snapshot.newest):
            if sample not in self._told:
                self._told.add(sample)
                if snapshot.settling and rows[sample].state not in FAULTY:
                    continue  # a look tells what came of a batch
                self._print(drawing.ended(snapshot, rows[sample], len(self._told)))
        if timing.over or self._clock() - self._last_line >= _HEARTBEAT_S:
            self._print(drawing.heartbeat(snapshot, timing))

    def _print(self, line: str) -> None:
        note(line, self._console)
        self._last_line = self._clock()


def _decided(snapshot: Snapshot) -> list[RungState]:
    """The first rungs, up to one that has still to decide."""
    return list(takewhile(lambda rung: rung.decided, snapshot.rungs))


def _interactive(console: Console) -> bool:
    """Whether something can be drawn over: FORCE_COLOR makes rich take a pipe for a terminal."""
    return console.is_interactive and console.file.isatty()
