"""How often is what settling claims wrong, and how many seeds does it save? What do several looks cost?

``python -m benchmarks.settling`` draws sweeps with a known truth, lets the functions that the product uses
settle them, and looks at others one to four times while all configurations get more seeds. It writes
``benchmarks/results/settling.md``. Every draw is seeded. It takes minutes with ``OPENBLAS_NUM_THREADS=1``,
and much longer without.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmarks.best_set import Case
from tune_app.results.verdict import LEVEL
from tune_app.session import provenance
from tune_app.session.settle import BATCHES
from tune_app.stats import best_set, looks, settling
from tune_app.stats.looks import Look, planned_share, unplanned_share
from tune_app.stats.settling import SEEDS, SettlingPlan

Floats = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results" / "settling.md"

#: A claim may be wrong, a given best one may be lost, and pairs may differ by chance so often, in per cent.
WRONG, LOST, ALARMS = 5.0, 5.5, 6.0
#: The most seeds that settling adds, as a share of those that it would take to add them to all configurations
#: at the same looks: where most are clearly behind, and where they are not.
BEHIND, NOT_BEHIND = 0.5, 0.8
#: All configurations begin with this many seeds; with so many more at each look of an extension.
FIRST, LOOKS = 5, 4
_MOST = FIRST + BATCHES * SEEDS


@dataclass(frozen=True)
class Kind:
    """A truth, the margin if one is asked for, and the largest share of the seeds that is promised."""

    case: Case
    margin: float | None = None
    share: float | None = None


@dataclass
class Tally:
    """Of some settlings: how they ended, what was wrong, and the seeds that they added."""

    ends: dict[str, int] = field(default_factory=lambda: {"one": 0, "within": 0, "budget": 0})
    wrong: int = 0
    lost: int = 0
    seeds: int = 0
    alike: int = 0


def kinds() -> Iterator[Kind]:
    """Truths with nine configurations, or two."""

    def case(
        name: str, *means: float, sds: tuple[float, ...] = (2.0,), rho: float = 0.3, images: int = 0
    ) -> Case:
        return Case(name, means, _MOST, sds, rho, images)

    rising = tuple(np.linspace(1, 8, 9))
    yield Kind(case("one better by 1 sd", 92, *(90.0,) * 8), share=NOT_BEHIND)
    yield Kind(case("one better by 2 sds", 94, *(90.0,) * 8), share=NOT_BEHIND)
    yield Kind(case("a rival 0.5 sds behind, seven 2 sds", 94, 93, *(90.0,) * 7), share=BEHIND)
    yield Kind(case("all equal", *(90.0,) * 9))
    yield Kind(case("all equal, sds 1 to 8", *(90.0,) * 9, sds=rising))
    yield Kind(case("one of sd 1 better by 4, sds 1 to 8", 94, *(90.0,) * 8, sds=rising), share=NOT_BEHIND)
    yield Kind(case("2, equal", 90, 90))
    yield Kind(case("2, better by 0.5 sds", 91, 90))
    phantom = (98.0, 97.9, 97.4, 96.5, 95.5, 94.0, 92.0, 88.0, 80.0)
    spreads = (0.5, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
    name = "a grid of learning rates, on 200 images, within 0.5"
    yield Kind(case(name, *phantom, sds=spreads, rho=0.4, images=200), 0.5, BEHIND)
    yield Kind(case("all equal, sd 0.5, within 0.5", *(90.0,) * 9, sds=(0.5,)), 0.5)
    yield Kind(case("2, 0.51 apart, sd 0.5, within 0.5", 90.51, 90, sds=(0.5,)), 0.5)


def settled(kind: Kind, sweeps: int) -> Tally:
    """Settle sweeps as the product does: where the verdict names one alone, there is nothing to settle."""
    tally, step = Tally(), kind.case.step
    means = np.asarray(kind.case.means)
    for values in kind.case.draw(sweeps):
        inside = best_set.over_seeds(values[:, :FIRST], step)
        there, spent, batches, why = np.full(len(values), FIRST), 0, 0, "one"
        if (members := int(inside.sum())) > 1:
            budget = BATCHES * SEEDS * members
            plan = SettlingPlan(settling.planned(members, budget), budget, kind.margin)
            inside, why = np.ones(len(values), dtype=bool), ""
            while not why:
                known = np.where(np.arange(_MOST) < there[:, None], values, np.nan)
                look = Look(int(there.max()), planned_share(plan.looks))
                inside[inside] = looks.members(known[inside], [look], step)
                found = settling.after_look(known, inside, plan, batches + 1, spent, step)
                there, spent, why = there + found.seeds, spent + int(found.seeds.sum()), found.why
                batches += not why
        tally.ends[why] += 1
        claimed = means[inside]
        short = means.max() - (claimed.min() if why == "within" else claimed.max())
        tally.wrong += bool(short > (kind.margin or 0) * (why == "within"))
        tally.lost += not inside[0]
        tally.seeds += int(there.sum()) - FIRST * len(values)
        tally.alike += (int(there.max()) - FIRST) * len(values)
    return tally


def looked_at(case: Case, sweeps: int) -> tuple[list[float], list[float], list[float]]:
    """After each look, in per cent: the first one lost, any one lost, some pair significantly different.

    All configurations are equal; any one lost is the mean over all of them.
    """
    series = [Look(FIRST * number, unplanned_share(number)) for number in range(1, LOOKS + 1)]
    inside = np.ones((LOOKS, sweeps, len(case.means)), dtype=bool)
    alarms = np.zeros((LOOKS, sweeps), dtype=bool)
    for sweep, values in enumerate(case.draw(sweeps)):
        left = np.ones(len(values), dtype=bool)
        for number, look in enumerate(series):
            left[left] = looks.members(values[left], [look], case.step)
            inside[number, sweep] = left
            known = values[:, : look.replicates]
            found = looks.pairs(known, series[: number + 1], step=case.step)
            alarms[number, sweep] = (found.adjusted < LEVEL).any()
    lost = 100 * (~inside).mean(axis=1)
    return lost[:, 0].tolist(), lost.mean(axis=1).tolist(), (100 * alarms.mean(axis=1)).tolist()


def equal_cases() -> Iterator[Case]:
    """Nine equal configurations, which get more seeds three times."""
    for name, sds in (("equal sds", (1.0,)), ("sds 1 to 8", tuple(np.linspace(1, 8, 9)))):
        for rho in (0.0, 0.3, 0.9):
            yield Case(f"9 equal, {name}, correlation {rho}", (90.0,) * 9, FIRST * LOOKS, sds, rho)
    yield Case("2 equal", (90.0,) * 2, FIRST * LOOKS)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = f"| --- |{' ---: |' * (len(header) - 1)}"
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in rows), ""]


def report(sweeps: int, looked: int) -> tuple[str, bool]:
    """The text of the results, and whether every promise was kept."""
    kept, rows = True, []
    for kind in kinds():
        found = settled(kind, sweeps)
        share, first = found.seeds / found.alike, sweeps * FIRST * len(kind.case.means)
        of_all = (found.seeds + first) / (found.alike + first)
        wrong, lost = 100 * found.wrong / sweeps, 100 * found.lost / sweeps
        fine = wrong <= WRONG and (kind.share is None or share <= kind.share)
        kept &= fine
        ends = [f"{100 * found.ends[why] / sweeps:.1f}" for why in ("one", "within")]
        promised = "" if kind.share is None else f"{kind.share:.0%}"
        seeds = [
            f"{found.seeds / sweeps:.0f}",
            f"{found.alike / sweeps:.0f}",
            f"{share:.0%}",
            promised,
            f"{of_all:.0%}",
        ]
        rows.append([kind.case.name, *ends, f"{wrong:.1f}", f"{lost:.1f}", *seeds, "" if fine else "NO"])
        print(rows[-1], flush=True)
    header = ["truth", "one left, %", "all within, %", "wrong, %", "given best lost, %"]
    header += ["seeds added", "all alike", "share", "promised", "share of all", "missed"]
    lines = ["## Settling", "", f"{sweeps:,} sweeps a line.", "", *_table(header, rows)]
    tables: list[list[list[str]]] = [[], [], []]
    for case in equal_cases():
        for place, figures in enumerate(looked_at(case, looked)):
            fine = place == 0 or max(figures) <= (LOST, LOST, ALARMS)[place]
            kept &= fine
            each = [f"{figure:.1f}" for figure in figures]
            tables[place].append([case.name, *each, "" if fine else "NO"])
            print(tables[place][-1], flush=True)
    titles = ("The first one is lost, %", "A given one is lost, % (mean over all)", "Some pair differs, %")
    lines += ["## Looks while all configurations get 5 more seeds", "", f"{looked:,} sweeps a line.", ""]
    for title, table in zip(titles, tables, strict=True):
        after = [f"after look {number}" for number in range(1, LOOKS + 1)]
        lines += [f"### {title}", "", *_table(["truth", *after, "missed"], table)]
    return "\n".join(lines), kept


def main(argv: Sequence[str] | None = None) -> None:
    """Run all lines, write the results, and exit with 1 if a promise was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settling", description=__doc__)
    parser.add_argument("--sweeps", type=int, default=1_000, help="sweeps to settle, a line")
    parser.add_argument("--looked", type=int, default=4_000, help="sweeps to look at several times, a line")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write")
    options = parser.parse_args(argv)
    start = time.perf_counter()
    text, kept = report(options.sweeps, options.looked)
    head = (
        "# Settling, and several looks\n\n"
        f"`python -m benchmarks.settling`, {datetime.now(UTC):%Y-%m-%d}, {time.perf_counter() - start:.0f} s "
        f"({provenance.cpu_model()}); python {platform.python_version()}, numpy {np.__version__}, scipy "
        f"{scipy.__version__}.\n"
        f"All begin with {FIRST} seeds; settling has at most {BATCHES} batches of {SEEDS}. "
        f"A claim may be wrong in {WRONG:g}% of sweeps: one is named alone that is not the best, all that "
        "are left are not within the margin of the best, or no best one is left. Shares are of the seeds "
        "that it takes to add them to all configurations alike, at the same looks: of those that were added, "
        f"and of all with the first ones. Some pair may differ in {ALARMS:g}%, and a given best one be lost "
        f"in {LOST}%.\n\n"
    )
    options.out.write_text(head + text, encoding="utf-8")
    if not kept:
        raise SystemExit("a promise was missed")


if __name__ == "__main__":
    main()
