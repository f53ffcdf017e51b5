"""Sweeps on Ray of which the driver, a worker or the raylet is killed -9, resumed until done."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos import checks
from benchmarks.chaos.processes import Session, kill
from benchmarks.chaos.sweeps import CASES, PAUSE, Case
from benchmarks.chaos.watching import RECORD, Moment, wait
from benchmarks.chaos.witness import Witness

#: Seconds that a session may take at most.
LIMIT_S = 240.0
#: Seconds until a run has begun to train, about.
_STARTED_S = 15.0
#: Seconds that a replicate waits in each epoch.
_PAUSE_S = 0.05
#: How often a run may be resumed before it must be done.
_SESSIONS = 6


@dataclass(frozen=True)
class Strike:
    """A kind of moment, and after which share of a run it is to come: of its lines, or of its checkpoints."""

    kind: str
    share: float
    after_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Whom to kill of which sweep, and when: once in each session, but workers all in the first."""

    number: int
    case: Case
    victim: str
    strikes: tuple[Strike, ...]


@dataclass
class Outcome:
    """What came of a plan: exit codes, how often it struck, what does not hold."""

    plan: Plan
    moments: list[str] = field(default_factory=list)
    struck: int = 0
    codes: list[int | None] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    trained_again: int = 0
    seconds: float = 0.0


#: The victims, and the kinds of moments at which each is killed, in turn.
_VICTIMS = ("driver", "worker", "driver", "raylet", "driver", "worker")
_KINDS = {
    "driver": ("line", "part", "line", "start", "line", "half"),
    "worker": ("line", "line", "part"),
    "raylet": ("line",),
}
#: Every how manieth run is killed twice.
_TWICE = 5


def plans(count: int, seed: int) -> list[Plan]:
    """So many plans: every victim, kind of moment and sweep has its turn, over the whole of a run's life."""
    rng = random.Random(seed)
    plain = [case for case in CASES.values() if not case.extension]
    cases = plain + [case.alone() for case in plain if case.ordered]
    rng.shuffle(cases)
    turns: dict[tuple[str, str], int] = {}
    drawn = []
    for number in range(count):
        victim, case = _VICTIMS[number % len(_VICTIMS)], cases[number % len(cases)]
        kinds = [kind for kind in _KINDS[victim] if kind != "part" or not case.stateless]
        kind = kinds[number // len(_VICTIMS) % len(kinds)]
        turn = turns[victim, kind] = turns.get((victim, kind), -1) + 1
        drawn.append((victim, case, kind, turn))
    found = []
    for number, (victim, case, kind, turn) in enumerate(drawn, 1):
        share = (turn + rng.random()) / (turns[victim, kind] + 1)
        strikes = [Strike(kind, share, rng.choice((0.0, 0.002, 0.02, 0.1)))]
        if number % _TWICE == 0 and victim != "raylet" and kind != "start":
            strikes.append(Strike("line", share + (1 - share) * rng.random()))
        found.append(Plan(number, case, victim, tuple(strikes)))
    rng.shuffle(found)
    return sorted(found, key=lambda plan: plan.case.name)


class Runs:
    """Runs of one case in one folder, beside one that nothing disturbs: without Ray, unless it is there."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        record = folder / "runs" / "whole" / RECORD
        if not record.exists():
            case.write(folder)
            (folder / "runs").mkdir()
            with self.session(case.run("whole", "inline"), pause_s=0.0) as whole:
                if whole.wait(LIMIT_S) != 0:
                    raise RuntimeError(whole.output())
        self._events = checks.events(record)

    def moment(self, strike: Strike) -> Moment:
        """When a strike is to be, by the lines and checkpoints of the undisturbed run."""
        if strike.kind == "start":
            return Moment("start", _STARTED_S * strike.share**2)
        kinds = [event["event"] for event in self._events]
        if strike.kind == "part":
            return Moment("part", 1 + int(0.8 * strike.share * kinds.count("checkpoint")))
        first = kinds.index("opened") + 1
        line = first + int(strike.share * (len(kinds) - first))
        return Moment(strike.kind, line, strike.after_s)

    @contextmanager
    def session(
        self, args: list[str], half_line: int | None = None, pause_s: float = _PAUSE_S
    ) -> Iterator[Session]:
        """A call of the command line, of which nothing is left at the end."""
        command = ["-m", "tune_app"]
        if half_line is not None:
            command = ["-m", "benchmarks.chaos.steps", str(half_line)]
        made = Session(self.folder, args, {PAUSE: str(pause_s)}, command)
        try:
            yield made
        finally:
            made.clean_up()

    def carry_out(self, plan: Plan) -> Outcome:
        """Carry out a plan."""
        name, began, outcome = f"run-{plan.number}", time.monotonic(), Outcome(plan)
        run = self.folder / "runs" / name
        witness = Witness(self.case, run, self.folder / "runs" / "whole")
        moments = [self.moment(strike) for strike in plan.strikes]
        outcome.moments = [str(moment) for moment in moments]
        for _ in range(_SESSIONS):
            begun = (run / RECORD).exists()
            args = (self.case.resume if begun else self.case.run)(name, "local")
            half = int(moments[0].at) if moments and moments[0].kind == "half" else None
            with self.session(args, half) as session:
                while moments:
                    outcome.struck += self._strike(plan.victim, moments.pop(0), run, session)
                    if plan.victim != "worker":
                        break
                code = session.wait(LIMIT_S)
                outcome.codes.append(code)
                if code == 0:
                    break
                if code is None or code not in _CODES[plan.victim]:
                    outcome.faults.append(f"ended with {code}: {session.output()[-3000:]}")
                    return outcome
                witness.look()
        else:
            outcome.faults.append(f"not done after {_SESSIONS} sessions")
        outcome.faults += witness.judge()
        outcome.trained_again = witness.trained_again
        outcome.seconds = time.monotonic() - began
        if not outcome.faults:
            shutil.rmtree(run)
        return outcome

    def _strike(self, victim: str, moment: Moment, run: Path, session: Session) -> bool:
        """Kill at a moment; False when the session was over before."""
        if moment.kind == "half":
            return session.wait(LIMIT_S) == -9
        if not wait(moment, run, session.started, lambda: session.over, LIMIT_S):
            return False
        while not session.over:
            pid = session.find(victim)
            if pid is not None:
                kill(pid)
                return True
            time.sleep(0.01)
        return False


#: How a session may end whose driver, worker or raylet was killed, unless it is done: a worker's job is tried
#: again at once; where the raylet is gone Ray itself ends the driver.
_CODES = {"driver": {-9}, "worker": set[int](), "raylet": {1}}
