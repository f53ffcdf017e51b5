"""The warm Ray of this user and machine: what is known of it, whether this process can use it, who does.

``tune-app up`` starts it (see ``keeper``). A run holds one of its slots by a lock, which a killed process
loses. Nothing here imports Ray.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tune_app.engines.ray import addresses, reaper
from tune_app.engines.ray.reaper import MARK, PROC
from tune_app.errors import ResourceError, RunError
from tune_app.sweep.paths import state_folder
from tune_app.tasks import task_folder
from tune_app.text import counted, duration

#: How many runs use it at a time where there is no GPU. Each has all cores, as two runs have that start a Ray
#: each: the operating system shares the cores among them. A GPU is for one run.
SLOTS = 4
#: What the message of a run, and ``--address``, call it.
ADDRESS = "warm"

_READY_WITHIN_S = 180.0
_ENDS_WITHIN_S = 60.0
#: How long a run waits for a lock that another process only tries.
_TRIED_S = 0.2

#: Variables that a process, or a library in it, reads as it starts: a run's must be those of ``tune-app up``.
_READ_AT_START = re.compile(
    r"RAY_|TUNE_(?!APP_STORAGE)|PYTHON|LD_|MALLOC_|[GK]?OMP_|KMP_|MKL_|OPENBLAS_|BLIS_|NUMEXPR_|CU[DB]|NVIDIA_|"
    r"NCCL_|HIP_|HSA_|ROCR_|TORCH|PYTORCH_"
)
#: Those of them that the keeper sets, or that say which Ray a run uses.
_OF_ITS_OWN = {"RAY_ADDRESS", "RAY_TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", MARK}


@dataclass(frozen=True)
class WarmRay:
    """What its keeper has written down.

    ``started`` is when the keeper's process was, and ``scratch`` Ray's folder. ``room_bytes`` is how much
    shared memory each of the ``slots`` has. ``traits`` has what must be equal in a run.
    """

    pid: int
    started: str
    address: str
    token: str
    slots: int
    room_bytes: int
    workers: int
    idle_s: float
    scratch: str
    traits: Mapping[str, str]

    @property
    def line(self) -> str:
        """What it is, in a line."""
        ready = f"{counted(self.workers, 'worker')} with torch loaded"
        return (
            f"{ready}, room for {counted(self.slots, 'run')}; ends after {duration(self.idle_s)} without one"
        )

    def write(self) -> None:
        """Let runs find it."""
        new = _state_file().with_suffix(".new")
        new.touch(mode=0o600)  # it holds the token
        new.write_text(json.dumps(asdict(self)), encoding="utf-8")
        new.replace(_state_file())

    def refuses(self, needed_bytes: int) -> str:
        """Why this process cannot use it; empty if it can."""
        mine = traits()
        differing = [name for name in {**self.traits, **mine} if self.traits.get(name) != mine.get(name)]
        if differing:
            return f"tune-app up was given with another value of {', '.join(differing)}"
        if needed_bytes > self.room_bytes:
            has = f"a run has {self.room_bytes >> 20} MiB there"
            return f"the data needs {needed_bytes >> 20} MiB of shared memory, and {has}"
        if "ray" in sys.modules and os.environ.get("RAY_AUTH_TOKEN") != self.token:
            return "this process has loaded Ray before"
        return ""

    def slot(self, number: int) -> FileLock:
        """The lock that a run holds while it uses a slot."""
        return FileLock(folder() / f"slot-{number}", timeout=0)

    def users(self) -> int:
        """How many runs use it now."""
        return sum(not _free(self.slot(number)) for number in range(self.slots))

    @contextmanager
    def all_slots(self) -> Iterator[int]:
        """Take the slots that are free, so that no run comes; yields how many are not."""
        with ExitStack() as stack:
            yield sum(not _taken(self.slot(number), stack) for number in range(self.slots))

    @contextmanager
    def environment(self) -> Iterator[None]:
        """What a process of Ray needs to be let in; it is read as Ray is loaded."""
        with _set_variables({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}):
            yield


def folder() -> Path:
    """Where its files lie: a home folder may be that of several machines."""
    return state_folder() / f"warm-{platform.node() or 'ray'}"


def _state_file() -> Path:
    return folder() / "state.json"


def find() -> WarmRay | None:
    """The warm Ray, if its keeper lives. What a killed one has left behind is removed."""
    try:
        found = WarmRay(**json.loads(_state_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RuntimeError):
        return None
    if started(found.pid) == found.started:
        return found
    remove(found.scratch)
    return None


def withdraw() -> None:
    """Let no more runs find it."""
    with suppress(OSError):
        _state_file().unlink()


def remove(scratch: str) -> None:
    """Remove its files."""
    withdraw()
    for each in (Path(scratch), folder()):
        shutil.rmtree(each, ignore_errors=True)


def started(pid: int) -> str:
    """When a process has started, which tells it from a later one of its number; empty if it has ended."""
    with suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        fields = reaper.stat(pid)
        return f"{boot} {fields[19]}" if fields[0] != "Z" else ""
    return ""


def traits() -> dict[str, str]:
    """What a run's processes must have in common with those that ``tune-app up`` has started, by name."""
    own = Path(__file__).parents[2]
    files = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(own.rglob("*.py"))]
    places = [place for place in map(Path, sys.path) if place.name in task_folder.INSTALLED]
    installed = [str(path) for place in places for path in sorted(place.glob("*-info"))]
    variables = {name for name in os.environ if _READ_AT_START.match(name)} - _OF_ITS_OWN
    found: dict[str, object] = {
        "user": os.getuid(),
        "Python": (sys.prefix, sys.version),
        "installed packages": installed,
        "tune-app": files,
        **{name: os.environ[name] for name in sorted(variables)},
    }
    return {name: hashlib.sha256(repr(value).encode()).hexdigest()[:16] for name, value in found.items()}


@contextmanager
def joined(needed_bytes: int) -> Iterator[WarmRay | str]:
    """Use the warm Ray while the context lasts; or why that cannot be, empty where there is none."""
    found = find()
    if found is None or (why := found.refuses(needed_bytes)):
        yield why if found else ""
        return
    with ExitStack() as stack:
        if not any(_taken(found.slot(number), stack) for number in range(found.slots)):
            yield f"{counted(found.slots, 'run')} use it already"
        elif find() != found:  # it has ended meanwhile
            yield ""
        else:
            stack.enter_context(found.environment())
            yield found


def _taken(lock: FileLock, stack: ExitStack) -> bool:
    with suppress(Timeout, OSError):
        lock.acquire(timeout=_TRIED_S, poll_interval=0.02)
        stack.callback(lock.release)
        return True
    return False


def _free(lock: FileLock) -> bool:
    try:
        with lock:
            return True
    except (Timeout, OSError):
        return False


@contextmanager
def _set_variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# ---------------------------------------------------------------- up and down


def up(idle_s: float) -> tuple[WarmRay, bool]:
    """The warm Ray, and whether it was started now.

    Raises:
        RunError: one is there that this process could not use.
        ResourceError: it does not start.
    """
    if not PROC.joinpath("self/environ").exists():
        raise ResourceError("tune-app up needs Linux: elsewhere its processes cannot be told from others.")
    if there := find():
        if why := there.refuses(0):
            raise RunError(f"There is a warm Ray, but {why}. End it first: tune-app down")
        return there, False
    log = folder() / "log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place, variable = addresses.ray_folder()
    scratch = tempfile.mkdtemp(prefix="tune-app-warm-", dir=place if variable == "RAY_TMPDIR" else "/tmp")
    program = f"import sys; sys.path[:] = {sys.path!r}; from tune_app.engines.ray import keeper; "
    with log.open("w") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-c", f"{program}keeper.main({idle_s!r}, {scratch!r})"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    try:
        until = time.monotonic() + _READY_WITHIN_S
        while keeper.poll() is None and time.monotonic() < until:
            if (found := find()) and found.pid == keeper.pid:
                return found, True
            time.sleep(0.05)
        said = log.read_text(errors="replace").strip() if log.exists() else ""
        raise ResourceError(f"The warm Ray did not start: {said or 'its process has ended without a word'}")
    except BaseException:  # after Ctrl-C too, no process may stay that nobody knows of
        _end(keeper.pid, started(keeper.pid))
        remove(scratch)
        raise


def down(force: bool) -> bool:
    """End the warm Ray, and wait until nothing of it is left; whether there was one.

    Raises:
        RunError: runs use it.
    """
    found = find()
    if found is None:
        return False
    with found.all_slots() as used:
        if used and not force:
            raise RunError(
                f"The warm Ray is used by {counted(used, 'run')}. Wait, or stop them: tune-app stop NAME\n"
                "  tune-app down --force ends it anyway; then tune-app resume continues them."
            )
        _end(found.pid, found.started)
    remove(found.scratch)
    return True


def _end(pid: int, since: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):  # after the second, the reaper ends Ray
        until = time.monotonic() + _ENDS_WITHIN_S
        with suppress(ProcessLookupError):
            if since and started(pid) == since:
                os.kill(pid, number)
        while since and time.monotonic() < until:
            if started(pid) != since:
                return
            time.sleep(0.05)


# ---------------------------------------------------------------- in a worker


@dataclass(frozen=True)
class Surroundings:
    """What a worker takes over from the driver before it trains.

    ``path`` is the folder of the user's modules. A worker of the warm Ray was not started by the driver: it
    takes over what it would have inherited, such as ``variables``, which are None elsewhere.
    """

    path: str
    variables: Mapping[str, str] | None = None
    umask: int = 0
    niceness: int = 0
    cores: frozenset[int] = frozenset()

    @classmethod
    def of_driver(cls, path: str) -> Surroundings:
        """Those of this process, for workers of the warm Ray."""
        os.umask(umask := os.umask(0))
        return cls(
            path,
            {name: value for name, value in os.environ.items() if not _READ_AT_START.match(name)},
            umask,
            os.getpriority(os.PRIO_PROCESS, 0),
            frozenset(os.sched_getaffinity(0)),
        )

    def enter(self) -> None:
        """Called in the worker."""
        if self.variables is not None:
            for name in [name for name in os.environ if not _READ_AT_START.match(name)]:
                del os.environ[name]
            os.environ.update(self.variables)
            time.tzset()
            tempfile.tempdir = None  # it was found by the variables of before
            os.umask(self.umask)
            os.sched_setaffinity(0, self.cores)
            with suppress(PermissionError):  # of a keeper that was given less time
                os.setpriority(os.PRIO_PROCESS, 0, self.niceness)
        task_folder.choose(self.path)
