"""``python -m benchmarks.chaos moved``: sweeps whose run folder is taken from under them while they train.

The folder is moved or removed, another run's is put in its place, or its lock is removed, at random instants,
without Ray and on it. Every instant follows from ``--seed``.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.chaos import checks, sweeps
from benchmarks.chaos.forks import Called, Forks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.sweeps import CASES, PAUSE
from benchmarks.chaos.watching import RECORD, Moment, wait, whole_lines

#: The sweeps that are disturbed, in turn.
SWEEPS = ("grid", "keep last", "optuna, asha", "function")
#: Seconds that a replicate waits in each epoch, so that an instant finds it at work.
_PAUSE_S = 0.01
#: Seconds that results and report take, about.
_REPORT_S = 3.0
#: One case in so many is disturbed while it writes results and report, after its last trial.
_REPORTS = 5
#: Seconds after a line of the record at which it is disturbed, at most.
_LATE_S = 0.02
_LIMIT_S = 120.0


def _temporary(folder: Path) -> dict[str, str]:
    """Where a run on Ray has its temporary files, below a short path."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {"TMPDIR": str(temporary), "RAY_TMPDIR": str(temporary)}


def _move(run: Path) -> None:
    run.rename(elsewhere(run))


def _remove(run: Path) -> None:
    # What is written into a folder while it is being removed keeps it from going: then as often as it takes.
    while run.exists():
        shutil.rmtree(run, ignore_errors=True)


def _swap(run: Path) -> None:
    run.rename(elsewhere(run))
    other(run).rename(run)


def _unlock(run: Path) -> None:
    (run / ".lock").unlink()


#: What happens to a run's folder.
ACTS: dict[str, Callable[[Path], None]] = {
    "moved": _move,
    "removed": _remove,
    "swapped": _swap,
    "lock removed": _unlock,
}


def elsewhere(run: Path) -> Path:
    """Where a run's folder is moved to."""
    return run.with_name(f"{run.name}-elsewhere")


def other(run: Path) -> Path:
    """The folder of another run, which is put in its place."""
    return run.with_name(f"{run.name}-other")


def content(folder: Path) -> dict[str, bytes]:
    """All bytes below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@dataclass(frozen=True)
class Outcome:
    """A case: what was done where, whether the process saw it and ended with 1, and what does not hold."""

    act: str
    where: str
    seen: bool
    faults: tuple[str, ...]


class Case:
    """One run of a sweep that is disturbed at one instant, and what must hold afterwards.

    Args:
        runs: of the sweep; the undisturbed run lies there.
        forks: call the disturbed run.
        beside: calls a second process that would go on with it meanwhile; None for no such process.
        name: of the run.
        act: see ``ACTS``.
        address: ``inline`` or ``local``.
        instant: a share of the run; from 1 to 2 of the writing of results and report.
    """

    def __init__(
        self,
        runs: Mortal,
        forks: Forks,
        beside: Forks | None,
        name: str,
        act: str,
        address: str,
        instant: float,
    ) -> None:
        self._runs, self._act, self._address = runs, act, address
        self._forks, self._beside = forks, beside
        self._run = runs.folder / "runs" / name
        self._reporting = instant >= 1
        lines = whole_lines(runs.whole / RECORD).splitlines()
        first = next(number for number, line in enumerate(lines, 1) if b'"event":"opened"' in line)
        line = first + int(min(instant, 1) * (len(lines) - first))
        late_s = (instant - 1) * _REPORT_S if self._reporting else _LATE_S * (1000 * instant % 1)
        self._moment = Moment("line", line, late_s)

    def __str__(self) -> str:
        return f"{self._act} {self._moment}, {self._runs.case.name}, {self._address}"

    def carry_out(self) -> Outcome:
        """Start the run, disturb it, wait for its end, and go on with what is left of it."""
        shutil.copytree(self._runs.whole, other(self._run))
        before, over = content(other(self._run)), threading.Event()
        left: list[dict[str, bytes]] = []
        second: list[Called] = []

        def strike() -> None:
            if wait(self._moment, self._run, time.monotonic(), over.is_set, _LIMIT_S):
                ACTS[self._act](self._run)
                left.append(content(self._run) if self._run.exists() else {})
                if self._act == "lock removed" and self._beside:
                    second.append(self._resume(self._beside))

        striking = threading.Thread(target=strike)
        striking.start()
        called = self._forks.call(
            self._runs.folder,
            self._begun().run(self._run.name, self._address),
            steps=False,
            report=self._reporting,
            environment={PAUSE: str(_PAUSE_S), **_temporary(self._runs.folder)},
        )
        over.set()
        striking.join()
        faults = [*self._judge(called, left, before), *self._judge_second(called, second)]
        for folder in (self._run, elsewhere(self._run), other(self._run)):
            shutil.rmtree(folder, ignore_errors=True)
        return Outcome(self._act, self._address, bool(left) and called.code == 1, tuple(faults))

    def _begun(self) -> sweeps.Case:
        """How the run is started: on Ray with two trials at a time, where it comes out the same."""
        case = self._runs.case
        return case if self._address == "inline" or case.ordered else replace(case, concurrent=2)

    def _resume(self, beside: Forks) -> Called:
        """A second process, in a working directory of its own, goes on with the run."""
        folder = self._runs.folder / "second"
        folder.mkdir(exist_ok=True)
        self._runs.case.write(folder)
        resume = [*self._runs.case.resume(self._run.name, "inline"), "--runs-dir", "../runs"]
        return beside.call(folder, resume, steps=False)

    def _judge(self, called: Called, left: list[dict[str, bytes]], before: dict[str, bytes]) -> Iterator[str]:
        said = " ".join(called.output.split())
        if "Traceback" in said:
            yield f"a traceback: {called.output[-2000:]}"
        if called.code not in (0, 1) or (called.code == 1 and "while tune-app worked on it" not in said):
            yield f"ended with {called.code}: {called.output[-2000:]}"
        if not left:
            return
        if self._act == "swapped" and (now := content(self._run)) != before:
            yield f"the other run has changed: {_differing(before, now)}"
        if self._act in ("moved", "removed") and self._run.exists():
            yield f"{self._run.name} is there again: {sorted(content(self._run))}"
        if self._act == "removed":
            if called.code == 0 and not self._reporting:
                yield "it did not see that its folder was gone"
            return
        run = self._run if self._act == "lock removed" else elsewhere(self._run)
        if called.code == 0 and (faults := checks.same_tables(run, self._runs.whole)):
            yield f"it ended with 0 and was not done: {faults}"
        yield from self._gone_on_with(run)

    def _judge_second(self, called: Called, second: list[Called]) -> Iterator[str]:
        """While the first process trains, none trains its run; once it has trained all, there is no more."""
        run = [checks.events(folder / RECORD) for folder in (self._run, self._runs.whole)] if second else []
        began = [sum(event["event"] == "started" for event in found) for found in run]
        for each in second:
            refused = each.code == 2 and "another tune-app process" in " ".join(each.output.split())
            if not refused and each.code != 0:
                yield f"a second process ended with {each.code}: {each.output[-2000:]}"
            elif not refused and called.code != 1 and began[0] > began[1]:
                yield "a second process went on with the run, and the first did not end"

    def _gone_on_with(self, run: Path) -> Iterator[str]:
        """What was finished stays, and what was lacking comes out as it does undisturbed."""
        record, ended = whole_lines(run / RECORD), checks.finished(run)
        resumed = self._runs.call(self._runs.case.resume(run.name, "inline"))
        if resumed.code:
            yield f"resume ended with {resumed.code}: {resumed.output[-2000:]}"
            return
        found = checks.events(run / RECORD)
        yield from checks.append_only(record, run / RECORD)
        yield from checks.unchanged(ended, run)
        yield from checks.finished_once(found)
        yield from checks.decisions_follow(run / RECORD)
        yield from checks.same_tables(run, self._runs.whole)
        yield from checks.same_scores(run, self._runs.whole)
        yield from checks.same_files(run, self._runs.whole)


def _differing(before: dict[str, bytes], now: dict[str, bytes]) -> str:
    return ", ".join(sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)))


def instants(act: str, count: int, rng: random.Random) -> list[float]:
    """So many instants, spread over a run; some over the writing of its results and report.

    By then its lock is let go of.
    """
    late = 0 if act == "lock removed" else count // _REPORTS
    found = [(number + rng.random()) / (count - late) for number in range(count - late)]
    return found + [1 + (number + rng.random()) / late for number in range(late)]


def main(argv: Sequence[str]) -> int:
    """Print the figures; returns how many cases were not as they must be."""
    parser = argparse.ArgumentParser("python -m benchmarks.chaos moved", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inline", type=int, default=20, help="Cases of each kind without Ray.")
    parser.add_argument("--ray", type=int, default=20, help="Cases of each kind on Ray.")
    asked = parser.parse_args(argv)
    began, outcomes = time.monotonic(), []
    for address, count in (("inline", asked.inline), ("local", asked.ray)):
        outcomes += list(_cases(address, count, asked.seed))
    print(_text(outcomes, time.monotonic() - began, asked.seed))
    return sum(bool(each.faults) for each in outcomes)


def _cases(address: str, count: int, seed: int) -> Iterator[Outcome]:
    if not count:
        return
    rng = random.Random(f"{seed} {address}")
    planned = [(act, instant) for act in ACTS for instant in instants(act, count, rng)]
    rng.shuffle(planned)
    with ExitStack() as stack:
        first = stack.enter_context(Forks(ray=address == "local"))
        second = stack.enter_context(Forks())
        runs = {}
        for name in SWEEPS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="c")))
            runs[name] = Mortal(CASES[name], folder, second)
        for number, (act, instant) in enumerate(planned):
            case = Case(
                runs[SWEEPS[number % len(SWEEPS)]], first, second, f"run-{number}", act, address, instant
            )
            began, outcome = time.monotonic(), case.carry_out()
            said = "; ".join(outcome.faults) or ("well" if outcome.seen else "done before")
            print(f"{number}. {case}: {said}  {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
            yield outcome


def _text(outcomes: Sequence[Outcome], seconds: float, seed: int) -> str:
    seen = Counter((each.act, each.where) for each in outcomes if each.seen)
    total = Counter((each.act, each.where) for each in outcomes)
    broken = Counter((each.act, each.where) for each in outcomes if each.faults)
    rows = [
        f"{act:14} {where:8} {total[act, where]:6} {seen[act, where]:15} {broken[act, where]:8}"
        for act, where in total
    ]
    return "\n".join(
        [
            f"{len(outcomes)} cases in {seconds:.0f} s, seed {seed}; {sum(broken.values())} broke a rule",
            f"{'':14} {'':8} {'cases':>6} {'ended with 1':>15} {'broken':>8}",
            *rows,
        ]
    )
