"""``python -m benchmarks.chaos ends``: sweeps that lose their disk, Ray's servers or their terminal.

A disk is filled at random instants, and sometimes freed again; Ray's GCS and raylet are killed; the terminal
is taken away in each way that there is. Whatever the disk allows is written, the last line says how to go on,
nothing of Ray is left, and the run comes out as one that nothing disturbed. Filling a disk needs root, for a
file system of its own, in a mount namespace of its own. All follows from ``--seed``.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from benchmarks.chaos import checks
from benchmarks.chaos.forks import Forks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.processes import Session, kill
from benchmarks.chaos.sweeps import CASES, PAUSE
from benchmarks.chaos.watching import RECORD, Moment, wait, whole_lines
from benchmarks.chaos.witness import Witness

#: The sweeps that lose their disk, in turn.
SWEEPS = ("grid", "keep last", "optuna, asha", "function")
#: Bytes of the disk, and what may be left free when it is filled.
_DISK_BYTES, _LEFT = 96 << 20, (0, 4 << 10, 64 << 10, 16 << 20)
#: With so much left, results and report fit.
_ENOUGH = 16 << 20
#: Which of Ray's servers are killed, and the ways to lose a terminal, in turn.
SERVERS = ("gcs_server", "raylet")
WAYS = ("terminal closed", "output closed", "no longer read", "device full", "kill -HUP")
_PAUSE_S = 0.05
_LIMIT_S = 240.0
#: Within so many seconds of a server's death a sweep must have ended.
_ENDS_WITHIN_S = 60.0
_NEWNS, _REC_PRIVATE = 0x00020000, 0x4000 | 0x40000


@dataclass(frozen=True)
class Outcome:
    """A case: what was lost how, how the process ended, and what does not hold."""

    lost: str
    ended: str
    faults: tuple[str, ...]


def main(argv: Sequence[str]) -> int:
    """Print the figures; returns how many cases were not as they must be."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.chaos ends", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--disk", type=int, default=30, help="Disks that are filled.")
    parser.add_argument("--servers", type=int, default=10, help="Servers of Ray that are killed.")
    parser.add_argument(
        "--terminal", type=int, default=10, help="Terminals that go away; every second on Ray."
    )
    parser.add_argument("--inline", action="store_true", help="Lose no terminal on Ray.")
    asked = parser.parse_args(argv)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="c") as name:  # Ray's sockets bear no long path
        folder = Path(name)
        for outcome in chain(
            disks(folder, asked.disk, asked.seed) if asked.disk else (),
            servers(folder, asked.servers, asked.seed) if asked.servers else (),
            terminals(folder, asked.terminal, asked.seed, asked.inline) if asked.terminal else (),
        ):
            outcomes.append(outcome)
            _say(f"{len(outcomes)}. {outcome.lost}: {outcome.ended}; {'; '.join(outcome.faults) or 'well'}")
    for (lost, ended), count in sorted(
        Counter((each.lost.split(",")[0], each.ended) for each in outcomes).items()
    ):
        print(f"{count:4}  {lost}: {ended}")
    broken = [each for each in outcomes if each.faults]
    print(f"{len(outcomes)} cases, {len(broken)} not as they must be (--seed {asked.seed})")
    for each in broken:
        print(f"  {each.lost}: {'; '.join(each.faults)}")
    return len(broken)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- a full disk


def disks(folder: Path, count: int, seed: int) -> Iterator[Outcome]:
    """Fill so many disks, each at an instant of a run's life, from before its start to its report."""
    if os.geteuid() != 0 or not _own_mounts():
        print("  no disk was filled: that needs root, and a mount namespace of its own")
        return
    rng = random.Random(f"disk {seed}")
    sweeps = SWEEPS[: 1 + count // 8]
    for number, sweep in enumerate(sweeps):
        turns = range(number, count, len(sweeps))
        place = folder / f"disk{number}"
        with _disk(place / "runs"), Forks() as forks:
            runs = Mortal(CASES[sweep], place, forks)
            for turn in turns:
                share = 1.3 * (turn + rng.random()) / count - 0.05
                yield _fill_once(runs, share, rng.choice(_LEFT), rng.random() < 0.3, rng.random())


def _fill_once(runs: Mortal, share: float, left: int, freed: bool, late: float) -> Outcome:
    lines = whole_lines(runs.whole / RECORD).count(b"\n")
    run = runs.begin()
    ballast, over = run.parent / "ballast", threading.Event()

    def act() -> None:
        if share >= 0:
            moment = Moment("line", max(1, int(min(share, 1.0) * lines)), 0.02 * late)
            if not wait(moment, run, time.monotonic(), over.is_set, _LIMIT_S):
                return
            if share > 1:
                time.sleep(3 * (share - 1))  # while results and report are written
        _fill(ballast, left)
        if freed:
            time.sleep(0.3 * late)
            ballast.unlink()

    thread = threading.Thread(target=act)
    if share < 0:
        act()
    else:
        thread.start()
    called = runs.forks.call(
        runs.folder, runs.case.run(run.name, "inline"), None, False, True, {PAUSE: "0.01"}
    )
    over.set()
    if share >= 0:
        thread.join()
    made = (run / RECORD).exists()
    faults = _well_told(called.code, called.output, made, {0, 1})
    if made and left >= _ENOUGH:
        faults += _written(run)
    faults += [f"{path} is left over" for path in run.rglob("*.part")]
    witness = Witness(runs.case, run, runs.whole)
    witness.look() if made else None
    ballast.unlink(missing_ok=True)
    again = runs.call(runs.case.resume(run.name, "inline") if made else runs.case.run(run.name, "inline"))
    faults += [f"going on ended with {again.code}: {again.output[-600:]}"] * bool(
        again.code
    ) or witness.judge()
    when = "before its start" if share < 0 else f"at {100 * share:.0f}% of the run"
    return Outcome(
        f"a disk filled, {left >> 10} KiB left, {when}{', freed again' if freed else ''}, {runs.case.name}",
        f"exit code {called.code}{'' if made else ', no run made'}",
        tuple(faults),
    )


def _fill(ballast: Path, left: int) -> None:
    with ballast.open("ab") as file, suppress(OSError):
        stat = os.fstatvfs(file.fileno())
        os.posix_fallocate(file.fileno(), 0, max(1, stat.f_bavail * stat.f_frsize - left))


def _own_mounts() -> bool:
    """Have this process and its children see mounts of their own from now on; False where that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.unshare(_NEWNS) == 0 and libc.mount(b"none", b"/", None, _REC_PRIVATE, None) == 0)


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """A disk of its own at ``place``."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# ---------------------------------------------------------------- Ray's servers


def servers(folder: Path, count: int, seed: int) -> Iterator[Outcome]:
    """Kill so many of Ray's servers, each at its instant in the life of a run."""
    with Forks() as forks:
        yield from kill_servers(Mortal(CASES["grid"], folder / "s", forks), count, seed)


def kill_servers(runs: Mortal, count: int, seed: int) -> Iterator[Outcome]:
    """See ``servers``."""
    rng = random.Random(f"servers {seed}")
    lines = whole_lines(runs.whole / RECORD).count(b"\n")
    for number in range(count):
        victim, run = SERVERS[number % len(SERVERS)], runs.begin()
        line = 5 + int((lines - 5) * (number + rng.random()) / count)
        with _session(runs, runs.case.run(run.name, "local")) as session:
            reached = wait(Moment("line", line), run, session.started, _over(session), _LIMIT_S)
            pid = session.find(victim) if reached else None
            if pid is not None:
                kill(pid)
            began, code = time.monotonic(), session.wait(_LIMIT_S)
            faults = _ended(session, code, run, {0} if pid is None else {0, 1})
            if time.monotonic() - began > _ENDS_WITHIN_S:
                faults.append(f"ended {time.monotonic() - began:.0f} s after the kill")
        faults += _gone_on(runs, run)
        yield Outcome(f"the {victim}, killed after line {line}", f"exit code {code}", tuple(faults))


def _over(session: Session) -> Callable[[], bool]:
    return lambda: session.over


@contextmanager
def _session(runs: Mortal, args: list[str], **streams: object) -> Iterator[Session]:
    made = Session(runs.folder, args, {PAUSE: str(_PAUSE_S)}, streams=streams)
    try:
        yield made
    finally:
        made.clean_up()


# ---------------------------------------------------------------- the terminal


def terminals(folder: Path, count: int, seed: int, inline: bool) -> Iterator[Outcome]:
    """Take away so many terminals, in each way in turn, every second time on Ray."""
    with Forks() as forks:
        runs = Mortal(CASES["grid"], folder / "t", forks)
        yield from take_terminals(runs, count, seed, lambda number: inline or number % 2 == 0)


def take_terminals(runs: Mortal, count: int, seed: int, inline: Callable[[int], bool]) -> Iterator[Outcome]:
    """See ``terminals``."""
    rng = random.Random(f"terminal {seed}")
    lines = whole_lines(runs.whole / RECORD).count(b"\n")
    for number in range(count):
        way, run = WAYS[number % len(WAYS)], runs.begin()
        address = "inline" if inline(number) else "local"
        line = 5 + int((lines - 8) * rng.random())
        with (
            _taken(way) as (streams, take),
            _session(runs, runs.case.run(run.name, address), **streams) as session,
        ):
            if wait(Moment("line", line), run, session.started, _over(session), _LIMIT_S):
                take(session)
            code = session.wait(_LIMIT_S)
            faults = _ended(session, code, run, {129, 0} if way == "kill -HUP" else {0})
        faults += _gone_on(runs, run)
        if again := checks.trained_again(checks.events(run / RECORD)):
            faults.append(f"{again} epochs were trained again")
        yield Outcome(f"{way}, after line {line}, {address}", f"exit code {code}", tuple(faults))


@contextmanager
def _taken(way: str) -> Iterator[tuple[dict[str, object], Callable[[Session], None]]]:
    """How a process is started, and what takes its terminal away."""

    def nothing(_: Session) -> None: ...

    if way == "kill -HUP":
        yield {}, lambda session: session.send(signal.SIGHUP)
    elif way == "device full":
        with Path("/dev/full").open("wb") as full:
            yield {"stdout": full, "stderr": full}, nothing
    elif way == "output closed":
        yield {"preexec_fn": lambda: os.closerange(0, 3)}, nothing
    elif way == "no longer read":
        reader, writer = os.pipe()
        yield {"stdout": writer, "stderr": writer}, lambda _: os.close(reader)
        os.close(writer)
    else:
        terminal, inside = os.openpty()
        threading.Thread(target=_drain, args=(terminal,), daemon=True).start()
        started = {"stdin": inside, "stdout": inside, "stderr": inside, "preexec_fn": _own_terminal}

        def close(_: Session) -> None:
            os.close(inside)
            os.close(terminal)

        yield started, close


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _drain(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 1 << 16):
            pass


# ---------------------------------------------------------------- what must hold


def _ended(session: Session, code: int | None, run: Path, codes: set[int]) -> list[str]:
    """What does not hold of a process that has ended: of what it says, has written, and left."""
    faults = _well_told(code, session.output(), (run / RECORD).exists(), codes) + _written(run)
    left = [" ".join(command)[:80] for command in session.family().values()]
    return faults + [f"left running: {left}"] * bool(left)


def _well_told(code: int | None, output: str, made: bool, codes: set[int]) -> list[str]:
    faults = [] if code in codes else [f"exit code {code}: {output[-1500:]}"]
    lines = output.strip().splitlines() or [""]
    for sign in ("Traceback", "Raylet is terminated", "state-dump", "Exception ignored"):
        if sign in output:
            faults.append(f"{sign} in the output: {output[-1500:]}")
    ways = ("tune-app resume run", "tune-app report run") if made else ("Give the command again",)
    if code not in (0, None) and not any(way in lines[-1] for way in ways):
        faults.append(f"the last line does not say how to go on: {lines[-1]}")
    return faults


def _written(run: Path) -> list[str]:
    names = ("results.csv", "seeds.csv", "report/index.html", "report/report.md")
    return [f"{name} is missing" for name in names if not (run / name).is_file()]


def _gone_on(runs: Mortal, run: Path) -> list[str]:
    witness = Witness(runs.case, run, runs.whole)
    witness.look()
    again = runs.call(runs.case.resume(run.name, "inline"))
    return [f"resume ended with {again.code}: {again.output[-600:]}"] * bool(again.code) or witness.judge()
