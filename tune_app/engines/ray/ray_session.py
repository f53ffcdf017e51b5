"""The Ray that this process uses: the thread that calls it, whether its servers answer, and its certain end.

Ray's API waits for its servers without a limit, and Ray ends the process where they stay away. So one thread
makes the calls that may wait, and the caller leaves them behind once a server is gone: what is finished is
recorded, and results and report are still written.
"""

from __future__ import annotations

import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from tune_app.engines.ray import reaper
from tune_app.errors import RayLost
from tune_app.text import Notify

T = TypeVar("T")

_LOOK_EVERY_S = 0.5
_ANSWER_WITHIN_S = 1.0
#: A process of this machine that refuses connections for so long has died.
GONE_AFTER_S = 0.5
#: How long the head of a cluster may be away: it may be started again, and machines be cut off for a while.
_HEAD_AWAY_S = 60.0
#: When to say that it is away.
_SAY_AFTER_S = 5.0
#: How long Ray may take to start, in two attempts, and to shut down.
_STARTS_WITHIN_S = 300.0
_SHUT_DOWN_WITHIN_S = 20.0

#: Ray's servers as people know them, by the names of their processes.
SERVERS = {"gcs_server": "Ray's head process (GCS)", "raylet": "Ray's process of this machine (raylet)"}

#: Whether a thread is left in a call of Ray's that does not end: then the process ends by ``os._exit``.
abandoned = False

#: Told why Ray is lost, says whether to wait no longer.
GiveUp = Callable[[str], bool]


def silent(_: str) -> None:
    """Notify nobody."""


@dataclass
class Server:
    """One of Ray's servers, by its port; a ``local`` one is a process of this machine."""

    name: str
    host: str
    port: int
    local: bool
    _away_since: float | None = None
    _told: bool = False

    @property
    def dying(self) -> bool:
        """Whether it is local, and refused the last connection: no wait will change that."""
        return self.local and self._away_since is not None

    def lost(self, notify: Notify) -> str:
        """Try to connect; why it is given up, empty while it is not. That it is away is told before."""
        if self._accepts():
            self._away_since, self._told = None, False
            return ""
        self._away_since = self._away_since or time.monotonic()
        away_s, at = time.monotonic() - self._away_since, f"{self.name} at {self.host}:{self.port}"
        if away_s >= (GONE_AFTER_S if self.local else _HEAD_AWAY_S):
            return f"{at} {'has died' if self.local else 'can no longer be reached'}"
        if away_s >= _SAY_AFTER_S and not self._told:
            self._told = True
            left_s = _HEAD_AWAY_S - away_s
            notify(f"{at} does not answer. The sweep ends unless it is back within {left_s:.0f} s.")
        return ""

    def _accepts(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=_ANSWER_WITHIN_S).close()
        except TimeoutError:
            return self.local  # a process of this machine that stands still has not died
        except OSError:
            return False
        return True


class RayInstance:
    """A Ray from before it starts until nothing of it is left.

    ``owned`` if this process starts it here, ``warm`` if it joins the warm Ray.
    """

    def __init__(self, owned: bool, warm: bool = False) -> None:
        self.warm = warm
        self._owned = OwnedProcesses() if owned else None
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        # Linux ends Ray's servers with the thread that has started them.
        self._thread = threading.Thread(target=self._work, name="Ray", daemon=True)
        self._thread.start()
        #: Filled once Ray has started.
        self.servers: tuple[Server, ...] = ()
        #: Why Ray is given up; empty while it is not.
        self.lost = ""

    @property
    def mark(self) -> str:
        """The mark of its processes; empty unless this process starts it."""
        return self._owned.mark if self._owned else ""

    def _work(self) -> None:
        while call := self._calls.get():
            work, future = call
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
                future.set_exception(error)
            del call, work, future  # none of Ray's objects may outlive it in here

    @contextmanager
    def starting(self) -> Iterator[None]:
        """For as long as Ray is being started: its processes are marked, and bear the loss of a terminal."""
        prepare()
        with ExitStack() as stack:
            for name in _OF_THIS_PROCESS.keys() - os.environ.keys():
                stack.callback(os.unsetenv, name)  # Ray has taken them in
            if self._owned:
                stack.enter_context(self._owned.marking())
            if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
                # A terminal that goes away sends it to all its processes.
                before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
                stack.callback(signal.signal, signal.SIGHUP, before)
            yield

    def look(self, notify: Notify = silent) -> str:
        """Why Ray is given up, looking at its servers now; empty while they answer."""
        for server in self.servers:
            self.lost = self.lost or server.lost(notify)
        if not self.servers and self._owned:
            self.lost = self.lost or self._owned.died_early()
        return self.lost

    def call(self, work: Callable[[], T], notify: Notify = silent, give_up: GiveUp = lambda _: True) -> T:
        """What ``work`` returns, called by the thread; what it raises is raised.

        ``give_up`` is told twice a second why Ray is lost, and says whether to wait for ``work`` no longer.

        Raises:
            RayLost: a server is gone, and ``work`` has not ended in time, or has failed by it.
        """
        if threading.current_thread() is self._thread:
            return work()
        future: Future[T] = Future()
        self._calls.put((work, future))
        while not wait([future], _LOOK_EVERY_S).done:
            if self.look(notify) and give_up(self.lost):
                raise RayLost(self.lost)
        if future.exception() and self.died():
            give_up(self.lost)
            raise RayLost(self.lost) from future.exception()
        return future.result()

    def died(self) -> bool:
        """Whether a server of this machine has died: asked where something has failed that needs it."""
        until = time.monotonic() + 2 * GONE_AFTER_S
        while not self.look() and any(each.dying for each in self.servers) and time.monotonic() < until:
            time.sleep(0.05)
        return bool(self.lost)

    def leave(self, shut_down: Callable[[], None], connected: Callable[[], bool]) -> None:
        """Have Ray shut down, beside what the caller does next; ``wait_until_gone`` waits for it."""
        self._calls.put((shut_down, Future()))
        self._calls.put(None)
        _leaving.append(self)
        # Ray ends this process if one of its objects is let go of while its core worker is taken down; after
        # that it only waits for its processes to end.
        while self._ending() and connected():
            time.sleep(0.01)

    def _ending(self) -> bool:
        return self._thread.is_alive() and not self.look()

    def wait(self) -> None:
        """Wait until nothing of Ray is left: what does not end by itself is killed."""
        global abandoned
        ready, until = bool(self.servers), time.monotonic() + _SHUT_DOWN_WITHIN_S
        while self._ending() and time.monotonic() < until:
            self._thread.join(_LOOK_EVERY_S)
        ended = not self._thread.is_alive()
        abandoned = abandoned or not ended
        if self._owned:
            self._owned.end(by_itself=ready and ended and not self.lost)


class OwnedProcesses:
    """The processes of a Ray that this process starts. Whatever happens to this process, they end with it."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self._began = time.monotonic()
        self._reaper: subprocess.Popen[bytes] | None = None
        if reaper.PROC.joinpath("self/environ").exists():  # elsewhere, processes cannot be found
            command = [sys.executable, "-I", "-S", reaper.__file__, self.mark, str(os.getpid())]
            none = subprocess.DEVNULL
            # In a session of its own, which the signals of a terminal do not reach.
            self._reaper = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=none, stderr=none, cwd="/", start_new_session=True
            )

    @contextmanager
    def marking(self) -> Iterator[None]:
        """Processes that are started meanwhile, and those that they start, are Ray's."""
        os.environ[reaper.MARK] = self.mark
        try:
            yield
        finally:
            os.environ.pop(reaper.MARK, None)

    def died_early(self) -> str:
        """Which of Ray's servers was killed before Ray was ready, or that Ray takes too long; else empty.

        One that aborts has its reasons, such as a setting that it does not know: Ray tells of it.
        """
        for name, what in SERVERS.items():
            if reaper.killed_child(name, but_by=signal.SIGABRT):
                return f"{what} has died while Ray started"
        if time.monotonic() - self._began > _STARTS_WITHIN_S:
            return f"Ray has not started within {_STARTS_WITHIN_S:.0f} s"
        return ""

    def end(self, by_itself: bool) -> None:
        """Kill what is left, unless Ray has ended ``by_itself``."""
        if self._reaper and self._reaper.stdin:
            with suppress(OSError):
                self._reaper.stdin.write(reaper.DONE if by_itself else b"")
                self._reaper.stdin.close()
            self._reaper.wait()
            self._reaper = None


#: Ray's C++ parts take these from the environment: the process whose end means that of the raylet, and after
#: how many seconds without the GCS to end.
_OF_THIS_PROCESS = {"RAY_RAYLET_PID": str(os.getpid()), "RAY_gcs_rpc_server_reconnect_timeout_s": "1000000"}


def prepare() -> None:
    """Called before Ray is loaded: have it not end this process where one of its servers has died.

    For this process alone, so not in ``os.environ``, which Ray hands on to those that it starts.
    """
    for name, value in _OF_THIS_PROCESS.items():
        if name not in os.environ:
            os.putenv(name, value)


@contextmanager
def repeating(work: Callable[[], None], every_s: float) -> Iterator[None]:
    """Call ``work`` again and again, in a thread, while the context lasts; its errors are ignored."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every_s):
            with suppress(Exception):
                work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(every_s)


def wait_until_gone() -> None:
    """Wait until nothing is left of each Ray that was left."""
    while _leaving:
        _leaving.pop().wait()


_leaving: list[RayInstance] = []
#: The Ray that this process uses; set by ``connection.connect``.
instance: RayInstance
