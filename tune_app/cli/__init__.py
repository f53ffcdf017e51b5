"""The command line: arguments in, one call, an exit code out. Heavy modules are imported when needed."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

import click

from tune_app.cli import clusters, installation, reporting, runs, training  # noqa: F401 - they declare commands
from tune_app.cli.options import GROUPS, cli, say
from tune_app.errors import DiskError, Terminated, TuneAppError, as_disk_error
from tune_app.training import streams

__all__ = ["GROUPS", "cli", "main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. A user's mistake ends with one message and exit code 2, never a traceback."""
    # At exit the interpreter collects garbage among all loaded modules, which takes a third of a second.
    atexit.register(gc.freeze)
    streams.open_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" shows "?"
    try:
        code: str | int | None = _outcome(argv)
    except SystemExit as ended:
        code = ended.code
    _leave(code)


def _outcome(argv: Sequence[str] | None) -> int:
    """Run the command line, printing its error if there is one; returns the exit code."""
    try:
        with _terminable():
            code = cli.main(args=argv, prog_name="tune-app", standalone_mode=False)
            if sys.stdout:
                sys.stdout.flush()  # the interpreter would report a failure at exit with its own message
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except TuneAppError as error:
        return _print_error(error)
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Python 3.11 wraps it where it makes a class
            return 130
        raise
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of the output has gone
            return 1
        if disk_error := as_disk_error(error, "standard output"):
            return _print_error(disk_error)
        raise
    return code if isinstance(code, int) else 0


def _print_error(error: TuneAppError) -> int:
    text = str(error)
    if isinstance(error, DiskError) and "\n" not in text:
        text += "\n  Free some space there, and run the command again."
    say(text if _located(text) else f"tune-app: {text}", err=True)
    return error.exit_code


def _leave(code: str | int | None) -> NoReturn:
    """End this process; at once if a thread hangs in a call of Ray."""
    ray_session = sys.modules.get("tune_app.engines.ray.ray_session")  # else no Ray was started
    if ray_session:
        ray_session.wait_until_gone()
    if ray_session and ray_session.abandoned:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)
    raise SystemExit(code)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command by an exception, as Ctrl-C does, so that it can clean up; the exit code is 143.

    Python drops an exception that is raised within a callback of the garbage collector. The signal is then
    sent again.
    """

    def terminate(number: int, _: object) -> None:
        raise Terminated(128 + number)

    def again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, (SystemExit, KeyboardInterrupt)):
            number = signal.SIGTERM if issubclass(lost.exc_type, SystemExit) else signal.SIGINT
            repeat = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, number])
            repeat.daemon = True
            repeat.start()  # outside of the callback
        else:
            unraisable(lost)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, unraisable = signal.signal(signal.SIGTERM, terminate), sys.unraisablehook
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        signal.signal(signal.SIGTERM, before)


def _located(text: str) -> bool:
    """Whether a message starts with ``file:line:``, which editors turn into a link."""
    parts = text.split(":", 2)
    return len(parts) == 3 and parts[1].isdigit()
