"""Sweeps on Ray of which the driver, a worker or the raylet is killed -9, gone on with until done."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.judging import Witness
from benchmarks.chaos.processes import Sitting, kill
from benchmarks.chaos.sweeps import PAUSE, Case
from benchmarks.chaos.watching import RECORD, Moment, wait, whole_lines

VICTIMS = ("driver", "worker", "raylet")
#: Seconds that one sitting may take before it counts as stuck.
_LIMIT_S = 300.0
#: How often a run may be gone on with before it must be done.
_SITTINGS = 4
_ENVIRONMENT = {PAUSE: "0.05"}


@dataclass
class Strike:
    """A kill: of whom, when, whether it hit, and what does not hold of the run now that it is done."""

    case: str
    victim: str
    moment: Moment
    hit: bool = False
    faults: list[str] = field(default_factory=list)
    trained_again: int = 0


class Struck:
    """Runs of one case in one folder, beside one that nothing disturbs."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self._folder, self._count = case, folder, 0
        case.write(folder)
        code, output = self._sit(case.run("whole", "local"))
        if code != 0:
            raise RuntimeError(f"the undisturbed run ended with {code}:\n{output}")
        self._whole = folder / "runs" / "whole"
        #: Lines of the record of the undisturbed run.
        self.lines = whole_lines(self._whole / RECORD).count(b"\n")

    def _sit(self, args: list[str]) -> tuple[int | None, str]:
        sitting = Sitting(self._folder, args, _ENVIRONMENT)
        try:
            return sitting.wait(_LIMIT_S), sitting.output()
        finally:
            sitting.clean_up()

    def strike(self, victim: str, moment: Moment) -> Strike:
        """Kill a victim at a moment of a new run, and go on with the run until it is done."""
        self._count += 1
        name = f"run-{self._count}"
        run = self._folder / "runs" / name
        found = Strike(self.case.name, victim, moment)
        witness = Witness(self.case, run, self._whole)
        sitting = Sitting(self._folder, self.case.run(name, "local"), _ENVIRONMENT)
        try:
            if wait(moment, run, sitting.started, lambda: sitting.over, _LIMIT_S):
                pid = sitting.find(victim)
                if pid is not None:
                    kill(pid)
                    found.hit = True
            code = sitting.wait(_LIMIT_S)
        finally:
            sitting.clean_up()
        witness.look()
        output = sitting.output()
        for _ in range(_SITTINGS):
            if code == 0:
                break
            there = (run / RECORD).exists()
            code, output = self._sit(
                self.case.resume(name, "local") if there else self.case.run(name, "local")
            )
        if code == 0:
            found.faults += witness.judge()
            found.trained_again = witness.trained_again
        else:
            found.faults.append(f"ended with {code}: {output[-800:]}")
        return found


def moments(lines: int, count: int, rng: random.Random) -> Iterator[tuple[str, Moment]]:
    """``count`` victims and moments: over the record's whole life, in checkpoints, and at the start."""
    for index in range(count):
        victim = VICTIMS[index % len(VICTIMS)]
        kind = index % 4
        if kind == 3 and victim == "driver":
            yield victim, Moment("start", round(rng.uniform(0.2, 1.0), 2))
        elif kind == 2:
            yield victim, Moment("part", rng.randint(1, 6))
        else:
            at = 3 + int((lines - 4) * (index + rng.random()) / count)
            yield victim, Moment("line", at, round(rng.uniform(0, 0.05), 3))
