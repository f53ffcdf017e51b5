"""Compares a confirming run with the run that it confirms: how much of the winner's lead was luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app import results
from tune_app.errors import RunError
from tune_app.report import formats, rows, settings
from tune_app.report.render import Table
from tune_app.space import canonical
from tune_app.stats.intervals import Interval, mean_interval
from tune_app.stats.units import interval_legend
from tune_app.sweep import Sweep
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class _Pair:
    """A configuration as it was chosen, and on the seeds that are new."""

    trial: pd.Series[Any]
    before: list[float]
    confirmed: pd.Series[float]

    @property
    def chosen(self) -> Interval:
        return mean_interval(self.before)

    @property
    def again(self) -> Interval:
        return mean_interval(self.confirmed.tolist())


def confirmed(frames: Frames) -> Table | None:
    """The chosen configurations beside their results on new seeds; None if the run confirms no other."""
    name = frames.sweep.header.confirms
    if name is None:
        return None
    metric = frames.sweep.space.metric.name
    pairs = _pairs(frames, _original(frames, name))
    names = frames.varying or frames.parameters
    cells, records = [], []
    for pair in pairs:
        chosen, again = pair.chosen, pair.again
        cells.append(
            [
                str(pair.trial["sample"]),
                *(rows.value(frames, pair.trial, each) for each in names),
                frames.units.measure(metric, pair.before),
                str(chosen.n),
                frames.units.measure(metric, pair.confirmed.tolist()),
                str(again.n),
            ]
        )
        records.append(
            {
                "sample": pair.trial["sample"],
                **{each: pair.trial[each] for each in names},
                "chosen_mean": chosen.mean,
                "chosen_ci95": chosen.half_width,
                "chosen_n": chosen.n,
                "confirmed_mean": again.mean,
                "confirmed_ci95": again.half_width,
                "confirmed_n": again.n,
                **rows.identity(frames),
            }
        )
    title = formats.metric(frames.units, metric)
    return Table(
        name="confirmed",
        title=f"The best of {name}, on seeds that it had not seen",
        header=["sample", *names, f"{title}, in {name}", "n", f"{title}, confirmed", "n"],
        align="r" + "r" * (len(names) + 4),
        rows=cells,
        frame=results.as_texts(frames, pd.DataFrame(records, dtype=object)),
        about=[
            *settings.about(frames, frames.trials, beside=names),
            f"{interval_legend(len(each) for pair in pairs for each in (pair.before, pair.confirmed))}; "
            "the two columns share no seed",
            _luck(pairs, frames, name) + " (paired t test)",
        ],
    )


def _original(frames: Frames, name: str) -> Frames | None:
    try:
        return results.load(Sweep.open(frames.sweep.paths.folder.parent / name))
    except RunError:
        return None


def _pairs(frames: Frames, original: Frames | None) -> list[_Pair]:
    metric = frames.sweep.space.metric.name
    before: dict[str, pd.Series[Any]] = {}
    if original is not None:
        before = {_key(row, original): row for _, row in original.trials.iterrows()}
    found = []
    for _, row in frames.trials.iterrows():
        then = before.get(_key(row, frames))
        values = rows.values(original, then, metric) if original is not None and then is not None else []
        again = frames.replicates(int(row["sample"]), metric)
        found.append(_Pair(row, values, again))
    return found


def _key(row: pd.Series[Any], frames: Frames) -> str:
    return canonical(dict(frames.sweep.history.configurations[int(row["sample"])].config))


def luck(frames: Frames) -> str | None:
    """The winner's lead on new seeds, as a sentence; None if the run confirms no other."""
    name = frames.sweep.header.confirms
    return None if name is None else _luck(_pairs(frames, _original(frames, name)), frames, name)


def _luck(pairs: list[_Pair], frames: Frames, name: str) -> str:
    metric = frames.sweep.space.metric.name
    if any(pair.chosen.mean is None for pair in pairs):
        return f"The run {name} is not beside this one, so what it was chosen by cannot be shown."
    if len(pairs) < 2:
        return "One configuration alone has no lead that could be luck."
    first, second = pairs[:2]
    difference = rows.paired(frames.units, metric, first.confirmed, second.confirmed)
    if difference is None:
        return "Too few new seeds have finished to say how much of the winner's lead was luck."
    units, better = frames.units, 1 if frames.sweep.space.metric.mode == "max" else -1
    lead = better * ((first.chosen.mean or 0.0) - (second.chosen.mean or 0.0))
    points = " points" if units.is_share(metric) else ""
    if difference.difference == 0:
        now = "the two are equal."
    else:
        leads = "it leads" if better * difference.difference > 0 else "the second leads"
        by = units.number(metric, abs(difference.difference))
        if difference.half_width is not None and len(first.confirmed) > 2:
            by += f" ± {units.half_width(metric, difference.half_width)}"
        sure = "." if difference.p < 0.05 else ", which these seeds cannot tell from none."
        now = f"{leads} by {by}{points}{sure}"
    return (
        f"In {name} the winner led the second by {units.number(metric, lead)}{points}; on "
        f"{counted(len(first.confirmed), 'new seed')} {now}"
    )
