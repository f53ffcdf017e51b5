"""The process of ``tune-app up``: it starts the warm Ray, keeps workers ready for the next run, and ends.

Ray's processes end with it, whatever ends it: see ``ray_session.OwnedProcesses``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from filelock import FileLock, Timeout

from tune_app.engines import choice
from tune_app.engines.ray import ray_session, reaper, warm
from tune_app.engines.ray.warm import WarmRay
from tune_app.errors import TuneAppError
from tune_app.tasks.isolation import gpus_possible

#: A worker with torch loaded takes half a gigabyte: no more than a quarter of the memory waits.
_MEMORY_PER_WORKER = 2 << 30
_MOST_WORKERS = 16
_LOOK_EVERY_S = 0.5
_LOADED_WITHIN_S = 120.0
#: Within this time after a run, its workers are gone.
_SETTLES_WITHIN_S = 30.0
#: Of the memory, and of what is free in /dev/shm: what all runs together may share with their workers.
_SHARED = 0.3
#: What a run shares besides its data.
_REPORTS_BYTES = 32 << 20
#: The beginning of the command line of a worker, and of a process that Ray starts.
_WAITING, _STARTING = "ray::IDLE", sys.executable


def main(idle_s: float, scratch: str) -> None:
    """Keep a warm Ray until SIGTERM comes, or no run has used it for ``idle_s`` seconds."""
    ended = threading.Event()
    try:
        with FileLock(warm.folder() / "keeper", timeout=0):
            _keep(idle_s, scratch, ended)
    except Timeout:
        sys.exit("another tune-app up is at work")
    except TuneAppError as error:
        sys.exit(str(error))
    finally:
        warm.remove(scratch)


def _keep(idle_s: float, scratch: str, ended: threading.Event) -> None:
    traits, token = warm.traits(), secrets.token_hex(32)
    os.environ.update({"RAY_TMPDIR": scratch, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token})
    ray_session.prepare()
    from tune_app.engines.ray import connection, private_api

    cpus, slots = private_api.usable_cpus(), 1 if gpus_possible() else warm.SLOTS
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = max(1, min(cpus, _MOST_WORKERS, memory // _MEMORY_PER_WORKER))
    shared = int(_SHARED * min(memory, shutil.disk_usage("/dev/shm").free))
    with ExitStack() as stack:
        stack.callback(ray_session.wait_until_gone)
        stack.enter_context(
            connection.connect("local", shared, slots * cpus, ahead=choice.MODULES_OF_A_TASK, lasting=True)
        )
        signal.signal(signal.SIGTERM, lambda *_: ended.set())  # Ray has put its own there
        head, raylet = ray_session.instance.servers
        workers = _Workers(
            count, lambda missing: private_api.prestart(missing, raylet.host, raylet.port, token)
        )
        workers.wait(ended)
        found = WarmRay(
            os.getpid(),
            warm.started(os.getpid()),
            f"{head.host}:{head.port}",
            token,
            slots,
            shared // slots - _REPORTS_BYTES,
            count,
            idle_s,
            scratch,
            traits,
        )
        found.write()
        _watch(found, workers, ended)


def _watch(found: WarmRay, workers: _Workers, ended: threading.Event) -> None:
    """Have workers ready for the next run, until the end."""
    used = time.monotonic()
    while not ended.wait(_LOOK_EVERY_S) and not ray_session.instance.look() and warm.find() == found:
        idle_s = time.monotonic() - used
        if found.users():
            used = time.monotonic()
        elif idle_s < min(_SETTLES_WITHIN_S, found.idle_s):
            workers.refill()
        elif idle_s > found.idle_s:
            with found.all_slots() as in_use:
                if not in_use:
                    warm.withdraw()
                    return


class _Workers:
    """The processes that wait for a run."""

    def __init__(self, count: int, start: Callable[[int], None]) -> None:
        self._count, self._start = count, start
        self._marked = reaper.Marked(ray_session.instance.mark)

    def _alive(self, *kinds: str) -> list[int]:
        return [pid for pid, command in self._marked.alive().items() if command.startswith(kinds)]

    def refill(self) -> None:
        """Start those that lack. One of Ray's own processes that just starts may be taken for a worker."""
        if (missing := self._count - len(self._alive(_WAITING, _STARTING))) > 0:
            self._start(missing)

    def wait(self, ended: threading.Event) -> None:
        """Start them, and wait until they have loaded what they need, and rest."""
        before: list[str] = []
        until = time.monotonic() + _LOADED_WITHIN_S
        while time.monotonic() < until and not ended.wait(_LOOK_EVERY_S):
            self.refill()
            with suppress(OSError):  # one has ended
                worked = [reaper.stat(pid)[11] for pid in self._alive(_WAITING)]
                if len(worked) >= self._count and worked == before:
                    return
                before = worked
