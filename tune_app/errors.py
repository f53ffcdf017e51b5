"""The exceptions of tune-app. Each message names the value, the rule that it broke and the fix.

The command line prints ``str(error)`` and ends with ``error.exit_code``. A traceback means a bug in tune-app.
"""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable
from pathlib import Path


class TuneAppError(Exception):
    """An error for the user: it names the value, the rule that it broke and the fix."""

    exit_code = 2


class SpaceError(TuneAppError):
    """A search-space file, or an override of it, cannot be used."""


class TaskError(TuneAppError):
    """The task is unknown, or it cannot take a parameter."""


class DataError(TuneAppError):
    """The data is missing, damaged or unsuitable."""


class ResourceError(TuneAppError):
    """A request for CPUs, GPUs or memory can never be met."""


class RunError(TuneAppError):
    """A run folder is missing, in use, of another sweep, or not writable."""


class ClusterError(TuneAppError):
    """A cluster file cannot be used, or a cluster does not answer as it should."""


class ReportError(TuneAppError):
    """A table, figure or comparison cannot be made as requested."""


class TrustError(TuneAppError):
    """A run or a model that may come from a stranger names code, data or a storage (`sweep.trust`)."""


class TrainingError(TuneAppError):
    """No mistake of the user: training could not go on, or only in part."""

    exit_code = 1


class StorageError(TrainingError):
    """A disk or storage refused a write during training. What was recorded is safe and can be resumed."""


class FolderChanged(TrainingError):
    """A run folder was moved, removed or replaced during training. Nothing more is written to its path."""


class DiskError(StorageError):
    """The refusing disk is one of this machine: full, over quota, or read-only."""


class TrialError(TrainingError):
    """One trial cannot continue. This is recorded as its failure and does not end the sweep."""


class MachineLeaving(TrainingError):
    """The machine of a trial is about to be taken away. The trial is saved and continues on another."""


class TrialsFailed(TrainingError):
    """The sweep ended, but some of its trials failed."""


class RayLost(TrainingError):
    """A server of Ray died or cannot be reached. What was recorded is safe and can be resumed."""


class Interrupted(TuneAppError):
    """A signal ended the sweep; it can be resumed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(SystemExit):
    """SIGTERM as an exception, so that cleanup runs; not to be mistaken for ``sys.exit`` of a task."""


#: Errors of a disk that refuses a write: full, over quota, read-only, file too large, broken, not permitted.
_REFUSALS = {
    getattr(errno, name, 0) for name in ("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EIO", "EACCES", "EPERM")
}


def disk_is_full(error: OSError) -> bool:
    """Whether the disk, or the user's quota on it, is full."""
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", 0))


def as_disk_error(error: BaseException, path: object = "a file") -> DiskError | None:
    """The user's error if a disk refused a write, else None. ``path`` is used if ``error`` names none."""
    if isinstance(error, DiskError):
        return error
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    where = error.filename2 or error.filename or path
    return DiskError(f"{where}: cannot be written: {error.strerror}.")


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean "x"?`` for the known word that is nearest to ``word``, or an empty string."""
    close = closest(word, known)
    return f' Did you mean "{close}"?' if close else ""


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that is nearest to ``word``, ignoring case, or an empty string."""
    lower = {each.lower(): each for each in known}
    return next((lower[each] for each in difflib.get_close_matches(word.lower(), lower, n=1)), "")


def describe(error: BaseException) -> str:
    """An error in one line, as a failed trial records it: its class and the first line of its message."""
    name = type(error).__name__
    try:
        line = (printable(str(error)).strip().splitlines() or [""])[0]
    except Exception:  # noqa: BLE001 - the class and its __str__ are the user's
        return f"{name} (its message cannot be shown: its __str__ raises)"
    return f"{name}: {line[:500]}{'...' if len(line) > 500 else ''}".removesuffix(": ")


def own_line(error: BaseException) -> str:
    """``file:line`` of the innermost frame of the user's own code in a traceback; empty without one."""
    import sysconfig  # slow to import, and `tune-app --help` does not need it

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    others = (str(Path(__file__).parent), *filter(None, map(sysconfig.get_path, names)), "<frozen")
    passed = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next((f"{file}:{line}" for file, line in reversed(passed) if not file.startswith(others)), "")


def printable(text: str) -> str:
    """The text with lone surrogates escaped, so that UTF-8 can encode it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
