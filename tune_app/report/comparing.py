"""The best configurations of several sweeps side by side; ranked only if measured on the same data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app import results
from tune_app.errors import ReportError
from tune_app.report import formats, render, rows
from tune_app.report.exporting import one_of
from tune_app.report.render import Table
from tune_app.results import verdict
from tune_app.space import canonical
from tune_app.space.labels import Labels
from tune_app.stats.multiple_testing import holm
from tune_app.stats.paired_tests import welch
from tune_app.stats.units import MetricUnits, interval_legend
from tune_app.status import Status
from tune_app.sweep import code
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

FORMATS = ("text", "csv", "latex", "markdown")

#: Differences are told from chance at this level, after Holm's correction.
LEVEL = 0.05


@dataclass(frozen=True)
class BestOfSweep:
    """The configuration that a sweep chose; ``row`` of its ``trials`` is None if nothing has finished."""

    frames: Frames
    row: pd.Series[Any] | None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.frames.sweep.name

    def values(self, metric: str) -> tuple[float, ...]:
        """Its values of a metric, one a seed."""
        return () if self.row is None else self.frames.measured(self.row["sample"], metric)

    def mean(self, metric: str) -> float | None:
        """Its mean of a metric."""
        value = None if self.row is None else self.row.get(f"{metric}_mean")
        return None if value is None or pd.isna(value) else float(value)


def compare(sweeps: Sequence[Frames]) -> Table:
    """The best configuration of each sweep, chosen by its own metric, with its test metric and its data.

    Sweeps of the same data, test set and metric are ranked, best first; any others stand in the order that
    they were given in, and the table says why they are not ranked.

    Raises:
        ReportError: fewer than two sweeps, or one of them twice.
    """
    folders = [frames.sweep.paths.folder.resolve() for frames in sweeps]
    if len(sweeps) < 2:
        raise ReportError("compare takes two runs or more: tune-app compare FIRST SECOND")
    if twice := [folder.name for i, folder in enumerate(folders) if folder in folders[:i]]:
        raise ReportError(f"{twice[0]} is named twice: compare takes different runs")
    best = [_best(frames) for frames in sweeps]
    metric = sweeps[0].sweep.space.metric
    apart = why_not_ranked(sweeps)
    if not apart:
        best = _ranked(best, metric.name, metric.mode)
    shown = list(
        dict.fromkeys([*(each.frames.sweep.space.metric.name for each in best), *_test_metrics(best)])
    )
    units = MetricUnits(frozenset().union(*(frames.units.plain for frames in sweeps)))
    points = _points(best)
    titles = [formats.metric(units, name) for name in shown]
    header = ["run", "best configuration", *titles, "n", "epochs", "finished", "data"]
    order = f"Best first by {formats.quantity(metric.name)} ({metric.mode})"
    counts = [each.row["n"] for each in best if each.row is not None]
    return Table(
        name="compare",
        title=f"Comparison of {formats.listed([each.name for each in best])}",
        header=header,
        align="ll" + "r" * (len(header) - 3) + "l",
        rows=[_cells(*pair, shown, units) for pair in zip(best, points, strict=True)],
        frame=pd.DataFrame([_record(each, shown) for each in best]),
        about=[
            f"{interval_legend(counts)}; each run's own choice",
            *([order] if not apart else [f"Not ranked: {reason}" for reason in apart]),
            *(f"Data of {each.name}: {each.frames.sweep.data.label()}" for each in best),
            *_notes(best),
            *_code(sweeps),
        ],
        below=[] if apart else _told_apart(best, shown[-1], units),
    )


def comparison_file(sweeps: Sequence[Frames], form: str) -> bytes:
    """The comparison as a file's content, in one of ``FORMATS``.

    Raises:
        ReportError: as ``compare`` does, or for an unknown format.
    """
    one_of("--format", form, FORMATS)
    table = compare(sweeps)
    if form == "csv":
        return table.frame.to_csv(index=False, lineterminator="\n").encode()
    write = {"text": render.text, "latex": render.latex, "markdown": render.markdown}[form]
    return write(table).encode()


def _notes(best: Sequence[BestOfSweep]) -> Iterator[str]:
    """What must be known of the data, once for all runs that it is said of."""
    for note in dict.fromkeys(note for each in best for note in each.frames.sweep.data.notes):
        names = [each.name for each in best if note in each.frames.sweep.data.notes]
        yield f"Note on {formats.listed(names)}: {note}"


def _best(frames: Frames) -> BestOfSweep:
    ranked = results.ranked(frames)
    return BestOfSweep(frames, None if ranked.empty else ranked.iloc[0])


def _ranked(best: Sequence[BestOfSweep], metric: str, mode: str) -> list[BestOfSweep]:
    """Best first; those in which nothing has finished come last."""
    measured = [each for each in best if each.mean(metric) is not None]
    measured.sort(key=lambda each: each.mean(metric) or 0.0, reverse=mode == "max")
    return [*measured, *(each for each in best if each.mean(metric) is None)]


def why_not_ranked(sweeps: Sequence[Frames]) -> list[str]:
    """The reasons why sweeps cannot be ranked; empty if they can."""
    found = []
    data = {frames.sweep.data.fingerprint for frames in sweeps}
    if len(data) > 1:
        found.append("the data differ, and so do the test sets: a figure of one says nothing about another")
    elif len({frames.sweep.data.split for frames in sweeps}) > 1:
        found.append("validation images are drawn by image in one and by patient in another")
    elif data == {""} and len({frames.sweep.space.task for frames in sweeps}) > 1:
        found.append("the tasks compute their metrics themselves, each its own way")
    metrics = {(frames.sweep.space.metric.name, frames.sweep.space.metric.mode) for frames in sweeps}
    if len(metrics) > 1:
        listed = formats.listed(sorted(f"{name} ({mode})" for name, mode in metrics))
        found.append(f"the runs chose by different metrics: {listed}")
    if len({frames.sweep.space.evaluate for frames in sweeps}) > 1:
        found.append("one is measured at its last epoch, another at its best")
    return found


def _test_metrics(best: Sequence[BestOfSweep]) -> list[str]:
    """Of each run the counterpart of its metric on the test set, where there is one."""
    found = []
    for each in best:
        counterpart = f"test_{each.frames.sweep.space.metric.name.partition('_')[2]}"
        known = [name for name in (counterpart, "test_accuracy") if f"{name}_mean" in each.frames.trials]
        found += known[:1]
    return found


def _points(best: Sequence[BestOfSweep]) -> list[str]:
    """What each choice is called, by what varies in a run or differs between the choices."""
    labels = Labels(c.config for each in best for c in each.frames.sweep.history.configurations.values())
    chosen = [each.frames.config(each.row["sample"]) for each in best if each.row is not None]
    values = {name: {canonical([c[name]] if name in c else []) for c in chosen} for c in chosen for name in c}
    varying = {name for each in best for name in each.frames.varying}
    names = [name for name, found in values.items() if name in varying or len(found) > 1]
    return [
        "none has finished"
        if each.row is None
        else labels.point(config := each.frames.config(each.row["sample"]), names)
        or labels.point(config, config)
        or "the only configuration"
        for each in best
    ]


def _cells(each: BestOfSweep, point: str, shown: Sequence[str], units: MetricUnits) -> list[str]:
    statuses = each.frames.trials["status"]
    return [
        each.name,
        point,
        *(units.measure(name, each.values(name)) for name in shown),
        "0" if each.row is None else str(each.row["n"]),
        str(each.frames.sweep.space.epochs),
        f"{int((statuses == Status.FINISHED).sum())} of {len(statuses)}",
        f"{each.frames.sweep.data.source} {each.frames.sweep.data.fingerprint[:12]}".strip(),
    ]


def _record(each: BestOfSweep, shown: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "run": each.name,
        "sample": None if each.row is None else int(each.row["sample"]),
    }
    for name in shown:
        for part in ("mean", "ci95"):
            found[f"{name}_{part}"] = None if each.row is None else each.row.get(f"{name}_{part}")
    found["n"] = 0 if each.row is None else int(each.row["n"])
    found["epochs"] = each.frames.sweep.space.epochs
    found["finished"] = int((each.frames.trials["status"] == Status.FINISHED).sum())
    return found | rows.identity(each.frames)


def _code(sweeps: Sequence[Frames]) -> Iterator[str]:
    """Which runs of the same task were trained with other code than the first of them."""
    first = sweeps[0].sweep
    for other in (frames.sweep for frames in sweeps[1:] if frames.sweep.space.task == first.space.task):
        if differing := code.run_differences(first.history, other.history):
            yield f"The code of {other.name} differs from that of {first.name}: {', '.join(differing)}"


def _told_apart(best: Sequence[BestOfSweep], metric: str, units: MetricUnits) -> list[str]:
    """Which of the runs' choices differ by more than chance, over their seeds."""
    values = {
        each.name: each.frames.replicates(int(each.row["sample"]), metric).tolist()
        for each in best
        if each.row is not None
    }
    values = {name: found for name, found in values.items() if len(found) > 1}
    if len(values) < 2:
        return ["Which differences are more than chance is left open: that takes two runs with two seeds."]
    pairs = list(combinations(values, 2))
    step = units.step(metric, chain.from_iterable(values.values()))
    tests = [welch(values[one], values[other], step=step) for one, other in pairs]
    sign = 1 if verdict.mode(best[0].frames.sweep.space, metric) == "max" else -1
    adjusted = holm([1.0 if test is None else test.p for test in tests])
    apart = []
    for (one, other), test, p in zip(pairs, tests, adjusted, strict=True):
        if test is not None and p < LEVEL:
            better, worse = (one, other) if sign * test.difference > 0 else (other, one)
            apart.append(f"{better} is better than {worse}")
    told = f"told apart: {formats.listed(apart)}" if apart else "none can be told apart with these seeds"
    return [
        f"By {formats.quantity(metric)}, {told} "
        f"(Welch's t test, Holm's correction for {counted(len(pairs), 'pair')} at {LEVEL:.0%})."
    ]
