"""The best configurations of several sweeps side by side, and a confirming run beside the confirmed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app import results
from tune_app.errors import ReportError, RunError
from tune_app.report import formats, settings
from tune_app.report.exporting import one_of
from tune_app.report.render import WRITERS, Column, Table, identity, intervals, text
from tune_app.results import verdict
from tune_app.results.verdict import LEVEL
from tune_app.space import Config, Metric, canonical
from tune_app.space.labels import Labels
from tune_app.space.rules import choice_column
from tune_app.stats.arithmetic import mean
from tune_app.stats.paired_tests import significant, welch
from tune_app.stats.units import MetricUnits, interval_legend, on_test_set
from tune_app.sweep import Sweep, code
from tune_app.text import counted, wrapped

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.verdict import Verdict

FORMATS = tuple(WRITERS)


@dataclass(frozen=True)
class BestOfSweep:
    """The configuration that a sweep chose; ``row`` of its ``trials`` is empty if nothing has finished."""

    frames: Frames
    row: pd.Series[Any]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.frames.sweep.name

    def values(self, metric: str) -> tuple[float, ...]:
        """Its values of a metric, one a seed; of the metric that chooses, what it was chosen by."""
        frames = self.frames
        return () if self.row.empty else frames.measured(self.row["sample"], frames.choice_of(metric))

    @property
    def config(self) -> Config:
        """Its parameters; it has finished."""
        return self.frames.config(self.row["sample"])

    def rank(self, metric: Metric) -> tuple[bool, float]:
        """The key that sorts the best first, and those in which nothing has finished last."""
        reached = self.values(metric.name)
        return (False, -metric.sign * mean(reached)) if reached else (True, 0.0)


def compare(sweeps: Sequence[Frames]) -> Table:
    """The best configuration of each sweep, chosen by its own metric, with its test metric and its data.

    Sweeps of the same data, test set and metric are ranked, best first; else the table says why they are not.
    Raises ReportError for fewer than two sweeps, or one of them twice.
    """
    folders = [frames.sweep.paths.folder.resolve() for frames in sweeps]
    if len(sweeps) < 2:
        raise ReportError("compare takes two runs or more: tune-app compare FIRST SECOND")
    if twice := [folder.name for i, folder in enumerate(folders) if folder in folders[:i]]:
        raise ReportError(f"{twice[0]} is named twice: compare takes different runs")
    best = [BestOfSweep(frames, _best(frames)) for frames in sweeps]
    metric = sweeps[0].sweep.space.metric
    unranked = why_not_ranked(sweeps)
    if not unranked:
        best.sort(key=lambda each: each.rank(metric))
    metrics = list(dict.fromkeys([*(frames.sweep.space.metric.name for frames in sweeps), *_tested(best)]))
    units = MetricUnits(frozenset().union(*(frames.units.plain for frames in sweeps)))
    counts = [each.row["n"] for each in best if not each.row.empty]
    by = {each.name: formats.ranked_by(each.frames) for each in best}
    same = len({*by.values()}) == 1
    sealed = [each.name for each in best if each.frames.opened is not None and not each.frames.opened]
    order = f"Best first by {by[best[0].name] if same else 'what each run chose by'}"
    about = [
        f"{interval_legend(counts)}; each run's own choice",
        *([f"Not ranked: {reason}" for reason in unranked] or [order]),
        *(f"{name} chose by {words}" for name, words in by.items() if unranked or not same),
        *(f"Data of {each.name}: {each.frames.sweep.data.label()}" for each in best),
        *(f"The test set of {name} is sealed until everything is trained" for name in sealed),
        *_notes(best),
        *_code(sweeps),
    ]
    columns: list[Column[BestOfSweep]] = [
        Column("run", lambda each: each.name, "run", align="l"),
        Column("sample", lambda each: each.row.get("sample")),
        Column("", _namer(best), "best configuration", align="l"),
        *chain.from_iterable(_measured(best, name, units) for name in metrics),
        Column("n", lambda each: each.row.get("n", 0), "n"),
        Column("epochs", lambda each: each.frames.sweep.space.epochs, "epochs"),
        Column(
            "finished",
            lambda each: len(each.frames.finished),
            "finished",
            lambda each: f"{len(each.frames.finished)} of {len(each.frames.trials)}",
        ),
        Column(
            "data",
            lambda each: each.frames.sweep.data.source,
            "data",
            lambda each: f"{each.frames.sweep.data.source} {each.frames.sweep.data.fingerprint[:12]}".strip(),
            "l",
        ),
        Column("data_sha256", lambda each: each.frames.sweep.data.fingerprint),
    ]
    title = f"Comparison of {formats.listed([each.name for each in best])}"
    below = [] if unranked else [_told_apart(best, metrics[-1], units)]
    return Table.of("compare", title, columns, best, about, below)


def comparison_file(sweeps: Sequence[Frames], form: str, width: int | None = None) -> bytes:
    """The comparison as a file's content, in one of ``FORMATS``; ``text`` fits into ``width`` columns.

    Raises ReportError as ``compare`` does.
    """
    one_of("--format", form, FORMATS)
    made = compare(sweeps)
    return (wrapped(text(made, width), width) if form == "text" else WRITERS[form](made)).encode()


def _best(frames: Frames) -> pd.Series[Any]:
    ranked = results.ranked(frames)
    return pd.Series(dtype=object) if ranked.empty else ranked.iloc[0]


def why_not_ranked(sweeps: Sequence[Frames]) -> list[str]:
    """The reasons why sweeps cannot be ranked; empty if they can."""
    found = []
    data = {frames.sweep.data.fingerprint for frames in sweeps}
    if len(data) > 1:
        found.append("the data differ, and so do the test sets: results on one say nothing about the other")
    elif len({frames.sweep.data.split for frames in sweeps}) > 1:
        found.append("validation images are drawn by image in one and by patient in another")
    elif data == {""} and len({frames.sweep.space.task for frames in sweeps}) > 1:
        found.append("each task computes its metrics in its own way")
    metrics = {(frames.sweep.space.metric.name, frames.sweep.space.metric.mode) for frames in sweeps}
    if len(metrics) > 1:
        listed = formats.listed(sorted(f"{name} ({mode})" for name, mode in metrics))
        found.append(f"the runs chose by different metrics: {listed}")
    if len({frames.sweep.space.evaluate for frames in sweeps}) > 1:
        found.append("one is measured at its last epoch, another at its best")
    return found


def _tested(best: Sequence[BestOfSweep]) -> Iterator[str]:
    for each in best:
        counterpart = on_test_set(each.frames.sweep.space.metric.name)
        known = [name for name in (counterpart, "test_accuracy") if each.values(name)]
        yield from known[:1]


def _namer(best: Sequence[BestOfSweep]) -> Callable[[BestOfSweep], str]:
    """What each choice is called: by what varies in a run or differs between the choices."""
    labels = Labels(config for each in best for config in each.frames.configs.values())
    chosen = [each.config for each in best if not each.row.empty]
    names = dict.fromkeys(name for config in chosen for name in config)
    varying = {name for each in best for name in each.frames.varying}
    values = {name: {canonical([c[name]] if name in c else []) for c in chosen} for name in names}
    shown = [name for name in names if name in varying or len(values[name]) > 1]

    def named(each: BestOfSweep) -> str:
        if each.row.empty:
            return "none has finished"
        point = labels.point(each.config, shown) or labels.point(each.config, each.config)
        return point or "the only configuration"

    return named


def _measured(best: Sequence[BestOfSweep], metric: str, units: MetricUnits) -> list[Column[BestOfSweep]]:
    headings = {formats.chosen_metric(each.frames, metric) for each in best}
    choosing = any(metric in each.frames.choices for each in best)
    chosen = Column[BestOfSweep](
        choice_column(metric), lambda each: each.row.get(each.frames.choices.get(metric))
    )
    return [
        Column(
            f"{metric}_mean",
            lambda each: each.row.get(f"{metric}_mean"),
            headings.pop() if len(headings) == 1 else formats.metric(units, metric),
            lambda each: units.measure(metric, each.values(metric)),
        ),
        Column(f"{metric}_ci95", lambda each: each.row.get(f"{metric}_ci95")),
        *([chosen] if choosing else []),
    ]


def _notes(best: Sequence[BestOfSweep]) -> Iterator[str]:
    for note in dict.fromkeys(note for each in best for note in each.frames.sweep.data.notes):
        names = [each.name for each in best if note in each.frames.sweep.data.notes]
        yield f"Note on {formats.listed(names)}: {note}"


def _code(sweeps: Sequence[Frames]) -> Iterator[str]:
    """Which runs of the same task were trained with other code than the first of them."""
    first = sweeps[0].sweep
    for other in (frames.sweep for frames in sweeps[1:] if frames.sweep.space.task == first.space.task):
        if differing := code.differences(code.newest(first.history), code.newest(other.history)):
            yield f"The code of {other.name} differs from that of {first.name}: {', '.join(differing)}"


def _told_apart(best: Sequence[BestOfSweep], metric: str, units: MetricUnits) -> str:
    chosen = {each.name: each for each in best if not each.row.empty}
    every = {name: list(each.values(metric)) for name, each in chosen.items()}
    values = {name: found for name, found in every.items() if len(found) > 1}
    if len(values) < 2:
        return "This does not say which differences are more than chance: that needs two runs with two seeds."
    step = units.step(metric, chain.from_iterable(values.values()))
    pairs = list(combinations(values, 2))
    tests = {(one, other): welch(values[one], values[other], step=step) for one, other in pairs}
    apart = significant(tests, LEVEL)
    if verdict.mode(best[0].frames.sweep.space, metric) == "min":
        apart = [(other, one) for one, other in apart]
    listed = formats.listed([f"{better} is better than {worse}" for better, worse in apart])
    told = f"significant: {listed}" if apart else "no difference is significant with these seeds"
    return (
        f"By {formats.quantity(metric)}, {told} "
        f"(Welch's t test, Holm's correction for {counted(len(pairs), 'pair')} at {LEVEL:.0%})."
    )


@dataclass(frozen=True)
class _Pair:
    """A configuration, and the values of its replicates when it was chosen and on the seeds that are new."""

    sample: int
    chosen: list[float]
    confirmed: list[float]


def confirmed(frames: Frames) -> Table | None:
    """The chosen configurations beside their results on new seeds; None if the run confirms no other."""
    name = frames.sweep.header.confirms
    if name is None:
        return None
    units, metric = frames.units, frames.sweep.space.metric.name
    pairs = _pairs(frames, name)
    names = frames.varying or frames.parameters
    heading = formats.chosen_metric(frames)

    def parameter(each: str) -> Column[_Pair]:
        return Column(
            each,
            lambda pair: frames.row(pair.sample)[each],
            each,
            lambda pair: formats.value(frames, pair.sample, each),
        )

    columns: list[Column[_Pair]] = [
        Column("sample", lambda pair: pair.sample, "sample"),
        *map(parameter, names),
        Column("", lambda pair: units.measure(metric, pair.chosen), f"{heading}, in {name}"),
        Column("", lambda pair: len(pair.chosen), "n"),
        Column("", lambda pair: units.measure(metric, pair.confirmed), f"{heading}, confirmed"),
        Column("", lambda pair: len(pair.confirmed), "n"),
        *intervals("chosen_", lambda pair: pair.chosen),
        *intervals("confirmed_", lambda pair: pair.confirmed),
        *identity(frames),
    ]
    about = [
        *settings.about(frames, beside=names),
        f"{interval_legend(len(each) for pair in pairs for each in (pair.chosen, pair.confirmed))}; "
        "the two columns share no seed",
        _luck(frames, name, pairs),
    ]
    title = f"The best of {name}, on seeds that it had not seen"
    table = Table.of("confirmed", title, columns, pairs, about)
    return replace(table, frame=results.as_texts(frames, table.frame))


def _pairs(frames: Frames, name: str) -> list[_Pair]:
    try:
        original = results.load(Sweep.open(frames.sweep.paths.folder.parent / name))
    except RunError:
        of_sample = {}
    else:
        of_sample = {canonical(dict(config)): sample for sample, config in original.configs.items()}
    metric, pairs = frames.sweep.space.metric.name, []
    for sample, config in frames.configs.items():
        before = of_sample.get(canonical(dict(config)))
        chosen = original.replicates(before, original.choice_of(metric)).tolist() if before else []
        pairs.append(_Pair(sample, chosen, frames.replicates(sample, frames.choice_of(metric)).tolist()))
    return pairs


def luck(frames: Frames, judged: Verdict) -> list[str]:
    """Whether the winner's lead was luck, and the test mean to print; [] if the run confirms no other.

    The configuration that the other run chose is the first of this one.
    """
    name = frames.sweep.header.confirms
    if name is None:
        return []
    pairs = _pairs(frames, name)
    said = [_luck(frames, name, pairs)]
    metric, sample = judged.test.metric if judged.test else "", pairs[0].sample
    if len(measured := frames.replicates(sample, metric)):
        figure = frames.units.measure(metric, measured.tolist(), unit=True)
        over = counted(len(measured), "new seed")
        said.append(
            f"To print in a paper: {formats.quantity(metric)} {figure} over {over}, of sample {sample}, "
            f"which {name} chose: these seeds had no part in the choice."
        )
    return said


def _luck(frames: Frames, name: str, pairs: list[_Pair]) -> str:
    units, metric = frames.units, frames.sweep.space.metric
    if not all(pair.chosen for pair in pairs):
        return f"The run {name} is not in the same folder, so its results cannot be shown."
    if len(pairs) < 2:
        return "With one configuration, there is no lead to check."
    first, second = pairs[:2]
    difference = frames.paired(metric.name, first.sample, second.sample)
    if difference is None:
        return "Too few new seeds have finished to say how much of the winner's lead was luck."
    lead = metric.sign * (mean(first.chosen) - mean(second.chosen))
    points = " points" if units.is_share(metric.name) else ""
    if difference.difference == 0:
        now = "the two are equal."
    else:
        leads = "it leads" if metric.sign * difference.difference > 0 else "the second leads"
        by = units.number(metric.name, abs(difference.difference))
        if difference.half_width is not None and len(first.confirmed) > 2:
            by += f" ± {units.half_width(metric.name, difference.half_width)}"
        sure = "." if difference.p < LEVEL else "; that could be zero."
        now = f"{leads} by {by}{points} (paired t test){sure}"
    return (
        f"In {name} the winner led the second by {units.number(metric.name, lead)}{points}; on "
        f"{counted(len(first.confirmed), 'new seed')} {now}"
    )
