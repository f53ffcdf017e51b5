"""Ends the processes of a Ray once the process that started it is gone. Run as a script, without tune_app.

Ray's processes inherit a mark in their environment from the process that starts them, which is how they are
found, whatever Ray runs besides on this machine. Needs ``/proc``.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

#: The variable that holds the mark.
MARK = "TUNE_APP_RAY"
PROC = Path("/proc")
#: What the process that started Ray writes where Ray has shut down in good order.
DONE = b"."
#: How long Ray's own processes may then take to end.
_GRACE_S = 2.0

_LOOK_EVERY_S = 0.5
#: After how long the reaper gives up on a process that does not end, such as one that waits for a device.
_PATIENCE_S = 10.0


def find(mark: str) -> dict[int, str]:
    """The living processes that have a mark: their command lines by their pids."""
    wanted, found = f"{MARK}={mark}".encode(), {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has ended, or belongs to another user
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode(errors="replace").strip()
    return found


def kill(mark: str, rays_own: bool = False, grace_s: float = 0.0) -> None:
    """Kill -9 all processes that have a mark, and those that they start meanwhile.

    ``rays_own``: no process that a user's code has started. They have ``grace_s`` to end by themselves.
    """
    began, none_found = time.monotonic(), 0
    while none_found < 2 and time.monotonic() - began < _PATIENCE_S:
        found = [pid for pid, command in find(mark).items() if not rays_own or _is_rays(command)]
        for pid in found if time.monotonic() - began >= grace_s else ():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        none_found = 0 if found else none_found + 1
        time.sleep(0.02)


def _is_rays(command: str) -> bool:
    return command.startswith("ray::") or "/site-packages/ray/" in command


def main(mark: str, parent: int) -> None:
    """Wait until the process ``parent`` says that it is done, closes standard input or dies."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are meant for the parent, whose end follows
    while os.getppid() == parent:
        # A process that the parent has forked may hold the pipe open beyond its death.
        if select.select([0], [], [], _LOOK_EVERY_S)[0]:
            if os.read(0, 1) == DONE:
                kill(mark, rays_own=True, grace_s=_GRACE_S)
                return
            break
    kill(mark)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
