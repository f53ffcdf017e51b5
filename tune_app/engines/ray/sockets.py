"""Where Ray puts its sockets on this machine: their paths have 107 bytes at most (103 on macOS), in ASCII."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tune_app.errors import ResourceError

_SHORT = "/tmp"


def ray_folder() -> tuple[str, str]:
    """The folder in which Ray makes its own, and the variable that names it; empty where none does."""
    for name in ("RAY_TMPDIR", *(["TMPDIR"] if sys.platform.startswith("linux") else [])):
        if name in os.environ:
            return os.environ[name], name
    return _SHORT, ""


@contextmanager
def short_socket_paths() -> Iterator[None]:
    """Have Ray use /tmp where its sockets cannot lie in ``$TMPDIR``; that is used for all else.

    Raises:
        ResourceError: they cannot lie in ``$RAY_TMPDIR`` or, failing ``$TMPDIR``, in /tmp.
    """
    folder, name = ray_folder()
    fault = _fault(folder)
    if not fault:
        yield
        return
    if name != "TMPDIR" or _fault(_SHORT):
        given = f"{name}={folder}" if name else folder
        raise ResourceError(
            f"{given}: Ray cannot put its sockets there: {fault}. Set RAY_TMPDIR to a folder on this machine "
            "that can be written and whose path is short and ASCII, such as /tmp."
        )
    os.environ["RAY_TMPDIR"] = _SHORT
    try:
        yield
    finally:
        os.environ.pop("RAY_TMPDIR", None)


def _fault(folder: str) -> str:
    """Why a socket with a path as long as Ray's cannot be made in a folder; empty if it can."""
    if not folder.isascii():
        return "its path is not ASCII"
    below = Path(os.path.abspath(folder), "ray")  # noqa: PTH100 - as Ray takes it, with links unresolved
    path = below / f"session_{'0' * 26}_{os.getpid()}/sockets/plasma_store".replace("/", "-")
    try:
        below.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as tried:
            tried.bind(str(path))
        path.unlink()
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        return error.strerror or f"{error}, for {len(os.fsencode(path))} bytes"
    return ""
