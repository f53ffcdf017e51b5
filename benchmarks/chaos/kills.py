"""``python -m benchmarks.chaos kills``: how many sweeps were killed, when, and what did not hold afterwards.

Without Ray each run dies at one of its own writes, often a second time in the next session; on Ray the
driver, a worker or the raylet is killed -9 from outside. Every point follows from ``--seed``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from benchmarks.chaos.forks import Forks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.over_ray import Plan, Runs, plans
from benchmarks.chaos.sweeps import CASES
from tune_app.session import provenance

RESULTS = Path(__file__).parents[1] / "results" / "chaos.md"

_MUST = (
    "what is in the record at a kill is there at the end, and what had finished is unchanged",
    "no replicate of a configuration ends twice, and none starts before its last recorded checkpoint",
    "every decision can be recomputed from the record before it",
    "CSV files (but for times and devices), test scores and the files that stay equal those of a run that "
    "nothing disturbed, which trained without Ray; under early stopping or Optuna, whose course hangs on the "
    "order of arrival, where one trial runs at a time: then the plan and the decisions too, in their order",
)
_MOMENTS = {
    "write": "at one of its own writes: before, within or after it",
    "line": "after a line of the record",
    "part": "while a checkpoint is being written",
    "half": "with half a line of the record written",
    "start": "within 15 s of the start, the first second above all",
}


@dataclass(frozen=True)
class Run:
    """A run that was killed: its sweep, whom, at which kind of moment, and what came of it."""

    sweep: str
    victim: str
    moment: str
    kills: int
    trained_again: int
    faults: tuple[str, ...]


def main(argv: Sequence[str]) -> int:
    """Print and keep the figures; returns how many runs were not as they must be."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.chaos kills", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inline", type=int, default=40, help="Runs of each sweep without Ray.")
    parser.add_argument("--ray", type=int, default=72, help="Runs on Ray, of all sweeps together.")
    asked = parser.parse_args(argv)
    runs: list[Run] = []
    for run in (*_inline(asked.seed, asked.inline), *_on_ray(plans(asked.ray, asked.seed))):
        runs.append(run)
        RESULTS.write_text(_text(asked, runs), encoding="utf-8")
    print(_text(asked, runs))
    return sum(bool(run.faults) for run in runs)


def _inline(seed: int, count: int) -> Iterator[Run]:
    with Forks() as forks:
        for name, case in CASES.items() if count else ():
            rng = random.Random(f"{seed} {name}")
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                mortal = Mortal(case, Path(folder), forks)
                for at in mortal.points(count, rng):
                    then = rng.randint(1, len(mortal.steps)) if rng.random() < 0.4 else None
                    death = mortal.die(at, then)
                    faults = tuple(f"{name}, {', '.join(death.steps)}: {each}" for each in death.faults)
                    kills = len(death.steps)
                    yield Run(name, "the process, inline", "write", kills, death.trained_again, faults)
            _say(f"{name}: {count} runs died at one of their {len(mortal.steps)} writes")


def _on_ray(planned: Iterable[Plan]) -> Iterator[Run]:
    for name, group in groupby(planned, lambda plan: plan.case.name):
        with tempfile.TemporaryDirectory(prefix="c") as folder:  # Ray's sockets bear no long path
            runs: Runs | None = None
            for plan in group:
                runs = runs or Runs(plan.case, Path(folder) / "w")
                outcome = runs.carry_out(plan)
                what = f"{plan.number}. {name}, the {plan.victim} {', then '.join(outcome.moments)}"
                _say(
                    f"{what}: {'; '.join(outcome.faults) or 'well'}  {outcome.codes} {outcome.seconds:.0f} s"
                )
                victim = f"the {plan.victim}, on Ray"
                faults = tuple(f"{what}: {each}" for each in outcome.faults)
                yield Run(name, victim, plan.strikes[0].kind, outcome.struck, outcome.trained_again, faults)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_BEGAN = time.perf_counter()


def _text(asked: argparse.Namespace, runs: list[Run]) -> str:
    faults = [fault for run in runs for fault in run.faults]
    command = (
        f"python -m benchmarks.chaos kills --seed {asked.seed} --inline {asked.inline} --ray {asked.ray}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    on_ray = sum(run.moment != "write" for run in runs)
    wrong = sum(bool(run.faults) for run in runs)
    return "\n".join(
        [
            "# Sweeps killed -9, and gone on with",
            "",
            f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {time.perf_counter() - _BEGAN:.0f} s on "
            f"{os.cpu_count()} cores; {versions}.",
            "",
            f"{sum(run.kills for run in runs):,} kills in {len(runs):,} runs, {on_ray} of them on Ray; "
            f"{f'{wrong} did not end' if wrong else 'all ended'} as they must:",
            "",
            *(f"- {each};" for each in _MUST),
            "",
            *_table("victim", runs, lambda run: run.victim),
            *_table("killed", runs, lambda run: _MOMENTS[run.moment]),
            *_table("sweep", runs, lambda run: run.sweep),
            *(["What did not hold:", "", *(f"- {fault}" for fault in faults), ""] if faults else []),
        ]
    )


def _table(title: str, runs: list[Run], key: Callable[[Run], str]) -> Iterator[str]:
    yield f"| {title} | runs | kills | epochs of replicates trained again | not as they must be |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name in dict.fromkeys(map(key, runs)):
        those = [run for run in runs if key(run) == name]
        kills, again = (sum(getattr(run, each) for run in those) for each in ("kills", "trained_again"))
        yield f"| {name} | {len(those)} | {kills} | {again} | {sum(bool(run.faults) for run in those)} |"
    yield ""
