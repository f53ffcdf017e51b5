"""When to strike: moments of a run's life, found by watching its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RECORD, CHECKPOINTS = "record.jsonl", "checkpoints"


@dataclass(frozen=True)
class Moment:
    """A moment of a run's life.

    ``start``: so many seconds (``at``) after its process began; ``line``: so long (``after_s``) after the
    record has ``at`` whole lines; ``part``: a checkpoint is being written, the ``at``-th that is seen;
    ``half``: the driver has written half of its ``at``-th line, which it sees to itself (`steps`).
    """

    kind: str
    at: float
    after_s: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case "start":
                return f"{self.at:.2f} s after its start"
            case "line":
                return f"{1000 * self.after_s:.0f} ms after line {self.at:.0f} of the record"
            case "part":
                return f"while a checkpoint is written, the {self.at:.0f}. seen"
            case _:
                return f"with half of line {self.at:.0f} of this session written"


def wait(moment: Moment, run: Path, started: float, over: Callable[[], bool], limit_s: float) -> bool:
    """Wait for a moment; False when the process ends before it, or it does not come."""
    reached, pause_s = _REACHED[moment.kind](moment, run, started)
    deadline = time.monotonic() + limit_s
    while not reached():
        if over() or time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    time.sleep(moment.after_s)
    return not over()


def whole_lines(record: Path) -> bytes:
    """The whole lines of a record, none where there is no record."""
    content = record.read_bytes() if record.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _start(moment: Moment, run: Path, started: float) -> tuple[Callable[[], bool], float]:
    return lambda: time.monotonic() - started >= moment.at, 0.01


def _line(moment: Moment, run: Path, started: float) -> tuple[Callable[[], bool], float]:
    return lambda: whole_lines(run / RECORD).count(b"\n") >= moment.at, 0.003


def _part(moment: Moment, run: Path, started: float) -> tuple[Callable[[], bool], float]:
    seen: set[str] = set()

    def reached() -> bool:
        seen.update(path.name for path in (run / CHECKPOINTS).glob("*.part"))
        return len(seen) >= moment.at

    return reached, 0.0002


_REACHED = {"start": _start, "line": _line, "part": _part}
