"""``python -m benchmarks.chaos``: how many sweeps were killed, when, and what did not hold afterwards.

Without Ray each run dies at one of its own writes, often a second time in the next sitting; on Ray the
driver, a worker or the raylet is killed -9 from outside. Every point follows from ``--seed``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chaos.forks import Forks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.over_ray import Struck, moments
from benchmarks.chaos.sweeps import CASES
from tune_app import provenance

RESULTS = Path(__file__).parents[1] / "results" / "chaos.md"
#: What is killed on Ray: without early stopping two trials at a time, else one, so that all must be equal.
ON_RAY = ("grid", "asha", "optuna, asha")


def main() -> int:
    """Print and keep the figures; returns how many runs were not as they must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inline", type=int, default=20, help="Deaths a case without Ray.")
    parser.add_argument("--ray", type=int, default=20, help="Kills a case on Ray.")
    asked = parser.parse_args()
    begin = time.perf_counter()
    rows, faults = _inline(asked.seed, asked.inline)
    more, worse = _on_ray(asked.seed, asked.ray)
    faults += worse
    runs = sum(count for _, _, count, _, _ in rows + more)
    command = f"python -m benchmarks.chaos --seed {asked.seed} --inline {asked.inline} --ray {asked.ray}"
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    lines = [
        "# Sweeps killed -9, and gone on with",
        "",
        f"{runs:,} runs were killed; {len(faults) or 'none'} did not end as they must: nothing finished is "
        "lost, nothing finishes twice, no epoch before the last checkpoint is trained again, every decision "
        "follows from the record before it, and where the course does not hang on the order of arrival all "
        "CSV files and test scores equal those of an undisturbed run.",
        "",
        "| sweep | engine and victim | runs | epochs trained again | not as they must be |",
        "| --- | --- | ---: | ---: | ---: |",
        *(f"| {name} | {how} | {count} | {again} | {bad} |" for name, how, count, again, bad in rows + more),
        "",
        *(f"- {fault}" for fault in faults),
        "- Inline, a run dies at one of its own writes (before, within or after it), in two of five runs "
        "again in the next sitting. On Ray, kills are spread over the record's lines, and fall into the "
        "writing of checkpoints and into the first second.",
        f"- `{command}`, {time.perf_counter() - begin:.0f} s on {os.cpu_count()} cores; {versions}; "
        f"{datetime.now(UTC):%Y-%m-%d}",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")
    return len(faults)


Rows = list[tuple[str, str, int, int, int]]


def _inline(seed: int, count: int) -> tuple[Rows, list[str]]:
    rows: Rows = []
    faults: list[str] = []
    if not count:
        return rows, faults
    with Forks() as forks:
        for name, case in CASES.items():
            rng = random.Random(f"{seed} {name}")
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                mortal = Mortal(case, Path(folder), forks)
                points = mortal.points(count, rng)
                again = bad = 0
                for at in points:
                    then = rng.randint(1, len(mortal.steps)) if rng.random() < 0.4 else None
                    death = mortal.die(at, then)
                    again += death.trained_again
                    bad += bool(death.faults)
                    faults += [
                        f"{name}, died at {' and '.join(death.steps)}: {each}" for each in death.faults
                    ]
            rows.append((name, "inline, the process", len(points), again, bad))
            print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    return rows, faults


def _on_ray(seed: int, count: int) -> tuple[Rows, list[str]]:
    rows: Rows = []
    faults: list[str] = []
    for name in ON_RAY if count else ():
        case = CASES[name].alone() if CASES[name].ordered else CASES[name]
        rng = random.Random(f"{seed} {name} ray")
        runs, again, bad = Counter[str](), Counter[str](), Counter[str]()
        with tempfile.TemporaryDirectory(prefix="c") as folder:
            struck = Struck(case, Path(folder))
            for victim, moment in moments(struck.lines, count, rng):
                strike = struck.strike(victim, moment)
                if not strike.hit:
                    victim = f"{victim}, missed"
                runs[victim] += 1
                again[victim] += strike.trained_again
                bad[victim] += bool(strike.faults)
                faults += [f"{case.name}, {victim} {moment}: {each}" for each in strike.faults]
                print(
                    f"  {case.name}, {victim} {moment}: {strike.faults or 'well'}",
                    file=sys.stderr,
                    flush=True,
                )
        rows += [(case.name, f"Ray, the {v}", runs[v], again[v], bad[v]) for v in sorted(runs)]
    return rows, faults


if __name__ == "__main__":
    sys.exit(min(main(), 1))
