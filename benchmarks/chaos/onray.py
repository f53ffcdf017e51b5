"""Sweeps on Ray, as a user starts them, of which a process is killed; and gone on with until they are done."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos.judging import Witness
from benchmarks.chaos.processes import Sitting, kill
from benchmarks.chaos.sweeps import CASES, PAUSE, Case
from benchmarks.chaos.watching import RECORD, Moment, wait

#: Seconds that a sitting may take at most.
LIMIT_S = 240.0
#: Seconds that a replicate waits in each epoch.
_PAUSE_S = 0.05
#: How often a run may be gone on with before it must be done.
_SITTINGS = 6


@dataclass(frozen=True)
class Plan:
    """Whom to kill of which sweep, and when: once in a sitting, or several workers in the first."""

    number: int
    case: Case
    victim: str
    moments: tuple[Moment, ...]

    def __str__(self) -> str:
        when = ", then ".join(map(str, self.moments))
        return f"{self.number}: {self.case.name}: the {self.victim} {when}"


@dataclass
class Outcome:
    """What came of a plan: exit codes, how often it struck, what does not hold."""

    plan: Plan
    struck: int = 0
    codes: list[int | None] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    trained_again: int = 0
    seconds: float = 0.0


def plans(count: int, seed: int) -> list[Plan]:
    """So many plans, in which each kind of victim, moment and sweep has its share."""
    rng = random.Random(seed)
    names = [name for name, case in CASES.items() if not case.extension]
    cases = [CASES[name] for name in names] + [CASES[name].alone() for name in names if CASES[name].ordered]
    victims = ("driver", "driver", "worker", "driver", "raylet", "worker")
    rng.shuffle(cases)
    found = []
    for number in range(count):
        victim, case = victims[number % len(victims)], cases[number % len(cases)]
        share = (number // len(victims) + rng.random()) / (count / len(victims))
        first = _moment(rng, victim, share, number)
        again = number % 4 == 0 and victim != "raylet"
        later = (Moment("line", first.at + rng.randint(5, 25)),) if again and first.kind == "line" else ()
        found.append(Plan(number + 1, case, victim, (first, *later)))
    return found


def _moment(rng: random.Random, victim: str, share: float, number: int) -> Moment:
    """A moment for a victim; ``share`` says where in the run's life."""
    kind = rng.choice(("line", "line", "line", "part", "start", "half"))
    if kind == "half" and victim == "driver":
        return Moment("half", 1 + int(40 * share))
    if kind == "start" and victim == "driver":
        return Moment("start", rng.choice((rng.uniform(0, 1), rng.uniform(1, 12))))
    if kind == "part" and victim != "raylet":
        return Moment("part", 1 + int(12 * share))
    first = 2 if victim == "driver" else 8
    return Moment("line", first + int(45 * share), rng.choice((0.0, 0.002, 0.02, 0.1)))


class Runs:
    """Runs of one case in one folder, beside one that nothing disturbs, which needs no Ray."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        case.write(folder)
        (folder / "runs").mkdir()
        with self.sitting(case.run("whole", "inline"), pause_s=0.0) as whole:
            if whole.wait(LIMIT_S):
                raise RuntimeError(whole.output())

    @contextmanager
    def sitting(
        self, args: list[str], half_line: int | None = None, pause_s: float = _PAUSE_S
    ) -> Iterator[Sitting]:
        """A call of the command line, of which nothing is left at the end."""
        command = ("-m", "tune_app")
        if half_line is not None:
            command = ("-m", "benchmarks.chaos.steps", str(half_line))
        made = Sitting(self.folder, args, {PAUSE: str(pause_s)}, command)
        try:
            yield made
        finally:
            made.clean_up()

    def run(self, plan: Plan) -> Outcome:
        """Carry out a plan."""
        name, began, outcome = f"run-{plan.number}", time.monotonic(), Outcome(plan)
        run = self.folder / "runs" / name
        witness = Witness(self.case, run, self.folder / "runs" / "whole")
        moments = list(plan.moments)
        for _ in range(_SITTINGS):
            begun = (run / RECORD).exists()
            args = (self.case.resume if begun else self.case.run)(name, "local")
            half = int(moments[0].at) if moments and moments[0].kind == "half" else None
            with self.sitting(args, half) as sitting:
                while moments:
                    outcome.struck += self._strike(plan.victim, moments.pop(0), run, sitting)
                    if plan.victim != "worker":
                        break
                code = sitting.wait(LIMIT_S)
                outcome.codes.append(code)
                if code == 0:
                    break
                if code is None or code not in _CODES[plan.victim]:
                    outcome.faults.append(f"ended with {code}: {sitting.output()[-3000:]}")
                    return outcome
                witness.look()
        outcome.faults += witness.judge()
        outcome.trained_again = witness.trained_again
        outcome.seconds = time.monotonic() - began
        if not outcome.faults:
            shutil.rmtree(run)
        return outcome

    def _strike(self, victim: str, moment: Moment, run: Path, sitting: Sitting) -> bool:
        """Kill at a moment; False when the sitting was over before."""
        if moment.kind == "half":
            return sitting.wait(LIMIT_S) == -9
        if not wait(moment, run, sitting.started, lambda: sitting.over, LIMIT_S):
            return False
        while not sitting.over:
            pid = sitting.find(victim)
            if pid is not None:
                kill(pid)
                return True
            time.sleep(0.01)
        return False


#: How a sitting may end whose driver, worker or raylet was killed: with the raylet Ray ends the driver.
_CODES = {"driver": {-9}, "worker": set[int](), "raylet": {1}}
