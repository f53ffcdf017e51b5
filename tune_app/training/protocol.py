"""What a worker sends back to the driver of a trial: reports, the test outcome, and why it failed."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tune_app.errors import DiskError, MachineLeaving, TaskError, describe, own_line, printable
from tune_app.sweep.events import Saved, Values

#: A file of this name among the checkpoints asks every trial to write one after its epoch.
SAVE_NOW = ".save-now"


@dataclass(frozen=True)
class TestOutcome:
    """The replicates of a trial on the test set: metrics, evaluated epochs, and scores (R, N) or (R, N, C).

    The driver records it; the searcher and early stopping never see it. ``scores`` are little-endian float32,
    empty for a function task.
    """

    metrics: Values
    evaluated: list[int]
    scores: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class EpochReport:
    """One epoch of a trial, and its end if it has ended; what is recorded has the names of the events."""

    #: The last epoch that was trained. Where all replicates have ended, it may have been reported before.
    epoch: int
    #: One value a replicate.
    metrics: Values
    durations_s: list[float]
    #: For each replicate that became non-finite: at which epoch, and what did.
    diverged: Mapping[int, int] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)
    #: For each replicate that ended by itself: its last epoch, and what ended it (see `history.PATIENCE`).
    ended: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    #: Whether the trial has ended; then it has the test outcome, and the file of the evaluated models.
    done: bool = False
    test: TestOutcome | None = None
    weights: Saved | None = None
    #: The checkpoint that was written after this epoch, and whether the trial can write one at all.
    saved: Saved | None = None
    savable: bool = False
    #: Why the replicates are looped though the sweep's are stacked.
    looped: str = ""
    #: Checkpoints by name, of a spec that gathers them; packed apart, since an engine may keep the rest.
    files: Mapping[str, bytes] = field(default_factory=dict)
    #: The size of a checkpoint that was too large to travel.
    too_large_bytes: int = 0
    #: What was printed, where the spec names no file for it.
    output: str = ""
    #: Files of the task that the process has loaded, and versions, other than the spec says.
    code: Mapping[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The report as bytes that mean nothing to an engine, a searcher or a scheduler."""
        return pickle.dumps(replace(self, files={}))

    def pack_files(self) -> bytes:
        """Its files, likewise; empty where there are none."""
        return pickle.dumps(self.files) if self.files else b""

    @staticmethod
    def unpack(packed: bytes, files: bytes = b"") -> EpochReport:
        """A report from ``pack`` and ``pack_files``; only for bytes that our own worker made."""
        report = pickle.loads(packed)
        if not isinstance(report, EpochReport):
            raise TypeError(f"not a report: {type(report).__name__}")
        return replace(report, files=pickle.loads(files)) if files else report


@dataclass(frozen=True)
class Failure:
    """Why a trial has failed, as text: only the worker may know the class of what was raised.

    ``reason`` is one line, ``log`` the traceback. ``kind`` is the name of the exception's class. ``place``
    (``file:line``) is the innermost line of the user's own code in the traceback, or of any code where there
    is none; it is empty for a process that died. ``mistaken`` says that the task has reported what it must
    not, so that another try would fail too. Two are no fault of the trial: ``moved`` says that its machine
    was taken away with notice, and ``refused`` why a disk has refused its checkpoint. ``output`` is what was
    printed in its last epoch, where that has no file.
    """

    reason: str
    log: str
    kind: str = ""
    place: str = ""
    mistaken: bool = False
    moved: bool = False
    refused: str = ""
    output: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure of a trial in which ``error`` was raised."""
        return cls(
            describe(error),
            _traceback(error),
            type(error).__name__,
            _place(error),
            mistaken=isinstance(error, TaskError),
            moved=isinstance(error, MachineLeaving),
            refused=str(error) if isinstance(error, DiskError) else "",
        )


#: Bytes of a traceback: a message may hold a whole array.
_LONGEST_LOG = 64 << 10


def _traceback(error: BaseException) -> str:
    try:
        text = printable("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - it asks the user's own class for its message
        text = printable("".join(traceback.format_tb(error.__traceback__))) + describe(error)
    if len(text) <= _LONGEST_LOG:
        return text
    left_out = len(text) - _LONGEST_LOG
    half = _LONGEST_LOG // 2
    return f"{text[:half]}\n[{left_out:,} characters left out]\n{text[-half:]}"


def _place(error: BaseException) -> str:
    frames = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return own_line(error) or (frames[-1] if frames else "")
