"""Draws the figures of a report in several processes: each takes the next kind until none is left.

A process that dies or fails only costs time: this process then draws what is missing, and raises its errors.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from tune_app.training.stacking_benchmark import start

if TYPE_CHECKING:
    from tune_app.report.figures import NotDrawn, Rendered
    from tune_app.results import Frames

Found = dict[str, "list[Rendered] | NotDrawn"]

#: The most processes besides this one: the kind that takes longest takes a third of the time of all.
MOST = 2

#: The kinds that take longest, which are drawn first.
_LONGEST = ("panels", "curves", "intervals", "heatmap")


class Helpers:
    """Processes that load what they need for drawing, and then wait for kinds to draw."""

    def __init__(self, count: int) -> None:
        self._all = [_Helper() for _ in range(count)]
        #: What is being done, for people.
        self.line = f"drawing the report in {count + 1} processes" if count else "drawing the report"

    def draw(self, frames: Frames, kinds: Iterable[str]) -> Found:
        """Draw these kinds here and in the helpers; raises RunError where a file of the run is damaged."""
        from tune_app.report import figures

        kinds = [*kinds]
        first = [kind for kind in _LONGEST if kind in kinds]
        left = deque([*first, *(kind for kind in kinds if kind not in first)])
        found: Found = {}
        content = pickle.dumps(frames) if self._all else b""
        threads = [
            threading.Thread(target=each.work, args=(content, left, found), daemon=True) for each in self._all
        ]
        for thread in threads:
            thread.start()
        with suppress(IndexError):
            while True:
                kind = left.popleft()
                found[kind] = figures.rendered(frames, kind)
        for helper, thread in zip(self._all, threads, strict=True):
            if not helper.draws:
                helper.kill()  # its thread, which waits for it, sees the end of its output
            thread.join()
        return {kind: found[kind] if kind in found else figures.rendered(frames, kind) for kind in kinds}

    def end(self) -> None:
        """End the processes, whatever they do."""
        for each in self._all:
            each.end()


class _Helper:
    def __init__(self) -> None:
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        self._process = start(__name__, stdin=pipe, stdout=pipe, stderr=quiet)
        #: Whether it is about to be given a kind, or draws one.
        self.draws = False

    def work(self, content: bytes, left: deque[str], found: Found) -> None:
        """Have it draw one kind after the other, once it is ready."""
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            return
        with suppress(OSError, EOFError, ValueError, pickle.UnpicklingError, IndexError):
            to.write(content)
            to.flush()
            pickle.load(back)
            self.draws = True
            while True:
                kind = left.popleft()
                _send(kind, to)
                found[kind] = pickle.load(back)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()


@contextmanager
def helpers(wanted: bool = True) -> Iterator[Helpers]:
    """Start helpers, as many as there are other CPUs and work for them; they end with the context."""
    count = min(MOST, (os.cpu_count() or 1) - 1) if wanted else 0
    started = Helpers(count)
    try:
        yield started
    finally:
        started.end()


def _send(value: Any, to: IO[bytes]) -> None:
    pickle.dump(value, to)
    to.flush()


def main() -> None:
    """Draw what standard input asks for: the frames, then one kind after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the first ends this one
    from tune_app.report import figures

    frames: Frames = pickle.load(sys.stdin.buffer)
    _send("ready", sys.stdout.buffer)
    with suppress(EOFError):
        while True:
            _send(figures.rendered(frames, pickle.load(sys.stdin.buffer)), sys.stdout.buffer)


if __name__ == "__main__":
    main()
