"""One exception tree. Each message says the value, the rule and how to fix it.

The command line prints ``str(error)`` and ends with ``error.exit_code``; a traceback is for our
own mistakes only.
"""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path


class TuneAppError(Exception):
    """What a user can fix: the message says the value, the rule that it broke, and how to fix it."""

    exit_code = 2


class SpaceError(TuneAppError):
    """A search-space file, or an override of it, that cannot be used."""


class TaskError(TuneAppError):
    """An unknown task, or a parameter that the task cannot take."""


class DataError(TuneAppError):
    """Missing, damaged or unsuitable data."""


class ResourceError(TuneAppError):
    """A request for CPUs, GPUs or memory that can never be met."""


class RunError(TuneAppError):
    """A run folder that is missing, in use, of another sweep, or not writable."""


class ClusterError(TuneAppError):
    """A cluster's file that cannot be used, or a cluster that does not answer as it should."""


class ReportError(TuneAppError):
    """A table, figure or comparison that cannot be made as it was asked for."""


class TrustError(TuneAppError):
    """A run or a model that may come from a stranger names code, data or a storage (`sweep.trust`)."""


class StorageError(TuneAppError):
    """The disk refused a write in mid-run; what was recorded before is safe and resumable."""

    exit_code = 1


class FolderChanged(TuneAppError):
    """A run folder was moved, removed or replaced in mid-run: nothing more is written at its path."""

    exit_code = 1


class DiskError(StorageError):
    """It was a disk of this machine: full, over quota, or not to be written."""


class TrialError(TuneAppError):
    """One trial cannot go on: recorded as its failure, never the end of the sweep."""

    exit_code = 1


class MachineLeaving(TuneAppError):
    """The machine of a trial is about to be taken away: the trial is saved, and goes on elsewhere."""

    exit_code = 1


class TrialsFailed(TuneAppError):
    """The sweep ended, but some of its trials failed."""

    exit_code = 1


class RayLost(TuneAppError):
    """A server of Ray has died or cannot be reached; what was recorded before is safe and resumable."""

    exit_code = 1


class Interrupted(TuneAppError):
    """A signal ended the sweep; it can be resumed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(SystemExit):
    """SIGTERM, as an exception that clears up: not to be taken for a task's own ``sys.exit``."""


#: What a disk that takes no more answers: full, over quota, read-only, file too large, broken, not permitted.
_REFUSALS = {
    getattr(errno, name, 0) for name in ("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EIO", "EACCES", "EPERM")
}


def full(error: OSError) -> bool:
    """Whether a disk, or a user's share of it, is full."""
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", 0))


def refused(error: BaseException, path: object = None) -> DiskError | None:
    """A disk's refusal as a user is told it; None for any other error. ``path``: where none is known."""
    if isinstance(error, DiskError):
        return error
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    where = error.filename2 or error.filename or path
    return DiskError(f"{where or 'a file'}: cannot be written: {error.strerror}.")


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "x"?`` for the known word nearest to ``word``, or an empty string.

    >>> nearest("loguniforn", ["uniform", "loguniform"])
    ' Did you mean "loguniform"?'
    """
    close = closest(word, known)
    return f' Did you mean "{close}"?' if close else ""


def closest(word: str, known: Iterable[str]) -> str:
    """The known word nearest to ``word``, whatever its case, or an empty string."""
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else ""


#: Characters of a message in one line; the rest is in the log.
_LONGEST = 500


def describe(error: BaseException) -> str:
    """An error in one line, as it is recorded for a failed trial: its class, and its message's first line."""
    name = type(error).__name__
    try:
        lines = printable(str(error)).strip().splitlines()
    except Exception:  # noqa: BLE001 - the class is the user's, and so is its __str__
        return f"{name} (its message cannot be shown: its __str__ raises)"
    if not lines:
        return name
    return f"{name}: {lines[0][:_LONGEST]}{'...' if len(lines[0]) > _LONGEST else ''}"


@cache
def _others() -> tuple[str, ...]:
    """Where code lies that is not the user's own."""
    import sysconfig  # here, for `tune-app --help` does without

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return (str(Path(__file__).parent), *filter(None, map(sysconfig.get_path, names)), "<frozen")


def own_line(error: BaseException) -> str:
    """``file:line`` of the innermost frame of the user's own code that an error passed; empty without any."""
    passed = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [f"{file}:{line}" for file, line in passed if not file.startswith(_others())]
    return own[-1] if own else ""


def printable(text: str) -> str:
    """A text that any UTF-8 file can hold: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
