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
class Sealed:
    """What only the record may see: test metrics, and test scores (R, N) or (R, N, C)."""

    metrics: Values
    evaluated: list[int]
    scores: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """One epoch of a trial: metrics with one value a replicate, which of them diverged, and the end.

    ``diverged`` maps a replicate that became non-finite to the epoch at which it did, ``why`` to what did;
    ``ended`` maps one that ended by itself to its last epoch and to what ended it (see `history.PATIENCE`).
    Where all have ended, ``epoch`` is the last that was trained, which may have been reported before.
    ``sealed`` comes with the last report, and with it ``weights``, the file of the evaluated models;
    ``saved`` is a checkpoint that was written after this epoch, ``savable`` says whether there can be one.
    ``looped`` is why the replicates are not stacked though the sweep's are, or empty.
    ``files`` are the checkpoints of a spec that gathers them, by name, packed apart from the rest, since an
    engine may keep that; one of ``too_large`` bytes was left behind. ``output`` is what was printed, where
    that has no file.
    ``code`` is what the process has loaded of the task's files, or installed, other than the spec says.
    """

    epoch: int
    metrics: Values
    durations_s: list[float]
    diverged: Mapping[int, int] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)
    ended: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    done: bool = False
    sealed: Sealed | None = None
    saved: Saved | None = None
    savable: bool = False
    weights: Saved | None = None
    looped: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    too_large: int = 0
    output: str = ""
    code: Mapping[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The report as bytes that mean nothing to an engine, a searcher or a scheduler."""
        return pickle.dumps(replace(self, files={}))

    def pack_files(self) -> bytes:
        """Its files, likewise; empty where there are none."""
        return pickle.dumps(self.files) if self.files else b""

    @staticmethod
    def unpack(packed: bytes, files: bytes = b"") -> Report:
        """A report from ``pack`` and ``pack_files``; only for bytes that our own worker made."""
        report = pickle.loads(packed)
        if not isinstance(report, Report):
            raise TypeError(f"not a report: {type(report).__name__}")
        return replace(report, files=pickle.loads(files)) if files else report


@dataclass(frozen=True)
class Failure:
    """Why a trial has failed, as text: the class of what was raised may be known to the worker alone.

    ``reason`` is one line, ``log`` the traceback. ``kind`` is the name of the exception's class, ``place``
    (``file:line``) the innermost line of the user's own code in the traceback, or of any code where there is
    none; the place of a process that died is empty. ``mistaken`` says that the task has reported what it may
    not, so that another try would fail too; ``moved`` that the trial's machine was taken away with notice,
    which is no fault of the trial, nor is what ``refused`` tells: that a disk has refused its checkpoint.
    ``output`` is what was printed in its last epoch, where that has no file.
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
