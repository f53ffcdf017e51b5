"""What a call of the command line touches beyond what it may: seen from within Python, and by the kernel.

A call runs in a child of this process. An audit hook sees what Python opens, imports, removes, renames,
starts and connects to. What C code does by itself (sqlite, torch's reader of files) it does not see: so the
folder that nobody may touch is also watched by inotify, on Linux, and held against what it was before.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Seconds that a call may take, and bytes that it may take beyond those that this process has.
LONGEST_S, MOST_BYTES = 60.0, 4 << 30

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.chown", "shutil.rmtree", "shutil.move", "sqlite3.connect"),
}
_FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.bind"}
_IN_ACCESS, _IN_OPEN, _IN_ISDIR = 0x1, 0x20, 0x40000000


@dataclass
class Called:
    """What came of a call: its exit code, negative for a signal, what it printed, and what it touched."""

    code: int
    output: str
    seconds: float
    touched: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What must not be, whatever was asked."""
        found = list(self.touched)
        if "Traceback (most recent call last)" in self.output:
            found.append(f"a traceback: {self.output.strip().splitlines()[-1][:200]}")
        if self.code not in (0, 1, 2):
            found.append(f"exit code {self.code}: {self.output.strip()[-200:]}")
        return found


class Cell:
    """A folder for calls that may touch nothing of ``outside``.

    Args:
        folder: calls are made in its ``work``, may not touch its ``outside``, and have the user's ``state``.
        canaries: modules that none of them may import.
    """

    def __init__(self, folder: Path, canaries: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self.work, self.outside, self.state = (self.folder / name for name in ("work", "outside", "state"))
        for each in (self.work, self.outside, self.state):
            each.mkdir(parents=True, exist_ok=True)
        self._canaries = frozenset(canaries)

    def call(self, args: Sequence[str], main: Callable[[Sequence[str]], None] | None = None) -> Called:
        """Call ``tune-app`` in ``work``, and see what it touches."""
        log, printed = self.folder / "touched.jsonl", self.folder / "printed.txt"
        log.write_text("")
        before, began = _snapshot(self.outside), time.monotonic()
        with _watched(self.outside) as opened:
            pid = os.fork()
            if not pid:
                self._be_child(args, main, log, printed)
            status = _waited(pid, began + LONGEST_S)
        touched = [str(json.loads(line)) for line in log.read_text().splitlines()]
        touched += [f"opened outside: {name}" for name in opened]
        if before != _snapshot(self.outside):
            touched.append("what lies outside is not as it was")
        seconds = time.monotonic() - began
        if status is None:
            touched.append(f"no end within {LONGEST_S:g} s")
        code = 0 if status is None else os.waitstatus_to_exitcode(status)
        return Called(code, printed.read_text(errors="replace"), seconds, list(dict.fromkeys(touched)))

    def _be_child(
        self,
        args: Sequence[str],
        main: Callable[[Sequence[str]], None] | None,
        log: Path,
        printed: Path,
    ) -> None:
        """Make the call; never returns."""
        code: Any = 70
        try:
            os.chdir(self.work)
            os.environ |= {"XDG_STATE_HOME": str(self.state), "HOME": str(self.state)}
            output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, descriptor in enumerate((nothing, output, output)):
                os.dup2(descriptor, number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MOST_BYTES, size + MOST_BYTES))
            sys.addaudithook(self._hook(os.open(log, os.O_WRONLY | os.O_APPEND)))
            from tune_app import cli

            (main or cli.main)(list(args))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:  # noqa: BLE001 - shown as what it is, in a process that ends here
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _hook(self, log: int) -> Callable[[str, tuple[Any, ...]], None]:
        work = str(self.work)
        ours = (f"{work}/", str(self.state), str(self.folder / "printed.txt"))
        mine = str(self.folder)

        def tell(text: str) -> None:
            os.write(log, (json.dumps(text) + "\n").encode())

        def place(path: Any) -> str:
            path = os.fsdecode(path) if isinstance(path, bytes | str | os.PathLike) else ""
            return os.path.realpath(path) if path else ""

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event == "import" and str(args[0]).partition(".")[0] in self._canaries:
                tell(f"imported {args[0]}")
            elif event in _FORBIDDEN:
                tell(f"{event} {args!r}")
            elif event == "open" and isinstance(args[0], str | bytes):
                flags = args[2] if isinstance(args[2], int) else 0
                path = _named(args[0]) if flags & os.O_NOFOLLOW else place(args[0])
                if path.startswith(mine) and not path.startswith(ours):
                    tell(f"opened {path}")
                elif flags & _WRITES and not path.startswith((*ours, "/dev/", "/proc/", *_TEMPORARY)):
                    tell(f"opened for writing {path}")
            elif event in _CHANGES:
                for each in args[:2]:
                    path = place(each)
                    if (
                        path
                        and not path.startswith((*ours, "/dev/", *_TEMPORARY))
                        and "__pycache__" not in path
                    ):
                        tell(f"{event} {path}")

        return hook


#: Where temporary files of any program go, and caches of libraries.
_TEMPORARY = ("/tmp/tune-app-", "/tmp/tmp", "/tmp/matplotlib-", "/tmp/torchinductor", "/dev/shm")


def _named(path: str | bytes) -> str:
    """A path whose last name, a link perhaps, is not followed."""
    found = Path(os.fsdecode(path))
    return str(found.parent.resolve() / found.name)


def _waited(pid: int, deadline: float) -> int | None:
    """The status with which a child ended; None where it had to be killed."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.002)


def _snapshot(folder: Path) -> list[tuple[str, int, str]]:
    """Each entry below a folder: its name, kind and mode, and a hash of what it holds."""
    found = []
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found.append((str(path), stat.st_mode, content))
    return found


@contextmanager
def _watched(folder: Path) -> Iterator[list[str]]:
    """The names that anything opens or reads in a folder, by the kernel; none where there is no inotify."""
    opened: list[str] = []
    if not sys.platform.startswith("linux"):
        yield opened
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    folders = {}
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        folders[libc.inotify_add_watch(descriptor, os.fsencode(each), _IN_OPEN | _IN_ACCESS)] = each
    try:
        while select.select([descriptor], [], [], 0)[0]:
            os.read(descriptor, 1 << 16)  # this process has looked which folders there are
        yield opened
        while select.select([descriptor], [], [], 0)[0]:
            data = os.read(descriptor, 1 << 16)
            while data:
                watch, mask, _, length = struct.unpack_from("iIII", data)
                name = os.fsdecode(data[16 : 16 + length].rstrip(b"\0"))
                opened.append(f"{folders[watch] / name}{' (a folder)' if mask & _IN_ISDIR else ''}")
                data = data[16 + length :]
        opened[:] = dict.fromkeys(opened)
    finally:
        os.close(descriptor)
