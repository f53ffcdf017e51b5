"""Sweeps without Ray, which die at a chosen step, often a second time at another, and are resumed."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.forks import Called, Forks
from benchmarks.chaos.sweeps import Case
from benchmarks.chaos.watching import RECORD, whole_lines
from benchmarks.chaos.witness import Witness

#: The events that say what a command adds to a run.
_ADDING = (b"extended", b"batch")
#: How often a run may die before it must come to its end.
_DEATHS = 5


@dataclass
class Death:
    """A run that died: at which steps, and what does not hold of it now that it is done."""

    steps: list[str]
    faults: list[str] = field(default_factory=list)
    trained_again: int = 0


class Mortal:
    """Runs of one case in one folder, beside one that nothing disturbs.

    Where the case is to be extended it is the extension that dies.
    """

    def __init__(self, case: Case, folder: Path, forks: Forks) -> None:
        self.case, self.folder, self.forks = case.alone(), folder, forks
        self.case.write(folder)
        self.whole = self._run("whole")
        done = self._must(self.case.run("whole", "inline"))
        if case.extension:
            shutil.copytree(self.whole, self._run("begun"))
            done = self._must(self.case.extend("whole", "inline"))
        #: What the undisturbed call changed on the disk, in order.
        self.steps = done.steps

    def _run(self, name: str) -> Path:
        return self.folder / "runs" / name

    def _must(self, args: list[str]) -> Called:
        done = self.call(args)
        if done.code:
            raise RuntimeError(f"tune-app {' '.join(args)} ended with {done.code}:\n{done.output}")
        return done

    def points(self, count: int, rng: random.Random) -> list[int]:
        """``count`` steps, spread over all of them; all of them where there are no more than that."""
        total = len(self.steps)
        if count >= total:
            return list(range(1, total + 1))
        return [1 + int(total * (index + rng.random()) / count) for index in range(count)]

    def begin(self) -> Path:
        """The folder of a new run, where the one before it lay."""
        run = self._run("run")
        shutil.rmtree(run, ignore_errors=True)
        if self.case.extension:
            shutil.copytree(self._run("begun"), run)
        return run

    def sit(self, run: Path, die_at: int | None = None) -> Called:
        """One session of a run: its first, or the next."""
        return self.call(self._next(run), die_at)

    def call(self, args: list[str], die_at: int | None = None) -> Called:
        """Any call of the command line where the runs are."""
        return self.forks.call(self.folder, args, die_at)

    def die(self, at: int, then: int | None = None) -> Death:
        """Let a run die at a step, and its next session at the step ``then``, and go on until it is done."""
        run = self.begin()
        witness, death = Witness(self.case, run, self.whole), Death([])
        for die_at in (at, then, *(None,) * _DEATHS):
            called = self.sit(run, die_at)
            if called.code == 0:
                break
            if called.code != -9:
                death.faults.append(f"ended with {called.code}: {called.output}")
                return death
            death.steps.append(called.steps[-1])
            witness.look()
        death.faults += witness.judge()
        death.trained_again = witness.trained_again
        return death

    def _next(self, run: Path) -> list[str]:
        record = run / RECORD
        if not record.exists():
            return self.case.run("run", "inline")
        recorded = whole_lines(record)
        if self.case.extension and not any(b'{"event":"%b"' % kind in recorded for kind in _ADDING):
            return self.case.extend("run", "inline")
        return self.case.resume("run", "inline")
