"""Compares a confirming run with the run that it confirms: how much of the winner's lead was luck."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tune_app import results
from tune_app.errors import RunError
from tune_app.report import formats, settings
from tune_app.report.render import Column, Table, identity, intervals
from tune_app.results.verdict import LEVEL
from tune_app.space import canonical
from tune_app.stats.arithmetic import mean
from tune_app.stats.units import interval_legend
from tune_app.sweep import Sweep
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


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
    heading = formats.metric(units, metric)

    def parameter(name: str) -> Column[_Pair]:
        return Column(
            name,
            lambda pair: frames.row(pair.sample)[name],
            name,
            lambda pair: formats.value(frames, pair.sample, name),
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
        original = None
    metric = frames.sweep.space.metric.name
    before: dict[str, list[float]] = {}
    if original is not None:
        for sample, configuration in original.sweep.history.configurations.items():
            before[canonical(dict(configuration.config))] = original.replicates(sample, metric).tolist()
    return [
        _Pair(
            sample,
            before.get(canonical(dict(frames.config(sample))), []),
            frames.replicates(sample, metric).tolist(),
        )
        for sample in frames.trials["sample"]
    ]


def luck(frames: Frames) -> str | None:
    """The winner's lead on new seeds, as a sentence; None if the run confirms no other."""
    name = frames.sweep.header.confirms
    return None if name is None else _luck(frames, name, _pairs(frames, name))


def _luck(frames: Frames, name: str, pairs: list[_Pair]) -> str:
    units, metric = frames.units, frames.sweep.space.metric
    if not all(pair.chosen for pair in pairs):
        return f"The run {name} is not beside this one, so what it was chosen by cannot be shown."
    if len(pairs) < 2:
        return "One configuration alone has no lead that could be luck."
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
