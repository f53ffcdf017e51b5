"""Ends the processes of a Ray once the process that started it is gone. Run as a script, without tune_app.

Ray's processes inherit a mark in their environment from the process that starts them, which is how they are
found, whatever Ray runs besides on this machine. Some wipe out their environment as they set their title, so
the descendants of a marked process are remembered. Needs ``/proc``.
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
_LOOKS = 4
#: After how long the reaper gives up on a process that does not end, such as one that waits for a device.
_PATIENCE_S = 10.0


class Marked:
    """The processes that have a mark, or are descendants of one that has it."""

    def __init__(self, mark: str) -> None:
        self._wanted = f"{MARK}={mark}".encode()
        #: How often each process was looked at: a new one has the environment of its parent for a moment.
        self._looks: dict[int, int] = {}
        self._ours: set[int] = set()

    def alive(self) -> dict[int, str]:
        """The command lines of those that live now, by their pids."""
        there = {int(path.name) for path in PROC.iterdir() if path.name.isdigit()}
        self._ours &= there
        self._looks = {pid: self._looks.get(pid, 0) + 1 for pid in there}
        parents = {pid: _parent(pid) for pid in there - self._ours if self._looks[pid] <= _LOOKS}
        found = {pid for pid in parents if self._is_marked(pid)}
        while found:
            self._ours |= found
            found = {pid for pid, parent in parents.items() if parent in self._ours} - self._ours
        return {pid: command for pid in self._ours if (command := _command(pid))}

    def _is_marked(self, pid: int) -> bool:
        with suppress(OSError):  # it has ended, or belongs to another user
            return self._wanted in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        return False

    def kill(self, rays_own: bool = False, grace_s: float = 0.0) -> None:
        """Kill -9 all of them, and those that they start meanwhile.

        ``rays_own``: none that a user's code has started. They have ``grace_s`` to end by themselves.
        """
        began, none_found = time.monotonic(), 0
        while none_found < 2 and time.monotonic() - began < _PATIENCE_S:
            found = [pid for pid, command in self.alive().items() if not rays_own or _is_rays(command)]
            for pid in found if time.monotonic() - began >= grace_s else ():
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            none_found = 0 if found else none_found + 1
            time.sleep(0.02)


def stat(pid: int) -> list[str]:
    """What ``/proc/PID/stat`` says after the name of a process; raises OSError where there is none."""
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _parent(pid: int) -> int:
    with suppress(OSError):  # it has ended meanwhile
        return int(stat(pid)[1])
    return 0


def killed_child(name: str, but_by: int) -> bool:
    """Whether a child of this process, of this name, was killed by another signal; it is not waited for."""
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            before, _, rest = path.read_text(errors="replace").rpartition(")")
            fields = rest.split()
            if (before.partition("(")[2], fields[0], int(fields[1])) == (name, "Z", os.getpid()):
                return int(fields[49]) & 0x7F not in (0, but_by)
    return False


def _command(pid: int) -> str:
    """Its command line; empty where it has ended, if only its parent has not asked for that yet."""
    with suppress(OSError):
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
        return command.decode(errors="replace").strip()
    return ""


def _is_rays(command: str) -> bool:
    return command.startswith("ray::") or "/site-packages/ray/" in command


def main(mark: str, parent: int) -> None:
    """Wait until the process ``parent`` says that it is done, closes standard input or dies."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are meant for the parent, whose end follows
    marked = Marked(mark)
    while os.getppid() == parent:
        marked.alive()
        # A process that the parent has forked may hold the pipe open beyond its death.
        if select.select([0], [], [], _LOOK_EVERY_S)[0]:
            if os.read(0, 1) == DONE:
                marked.kill(rays_own=True, grace_s=_GRACE_S)
                return
            break
    marked.kill()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
