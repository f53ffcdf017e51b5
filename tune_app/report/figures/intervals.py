"""Each configuration's mean with its interval and its seeds, best first; letters join what is tied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from tune_app import results
from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.results import verdict
from tune_app.stats.arithmetic import mean
from tune_app.stats.intervals import mean_interval
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class IntervalRow:
    """A metric of one configuration, shares in per cent; ``half_width`` is None for one seed, and for two."""

    mean: float
    half_width: float | None
    seeds: list[float]
    text: str


@dataclass(frozen=True)
class IntervalsInfo:
    """Finished configurations, best first: what each was measured at, by sample, then by metric.

    ``letters`` has by metric one text a sample: two configurations that share a letter cannot be told apart
    with these seeds. Empty where that was not judged.
    """

    metrics: list[str]
    measured: dict[int, dict[str, IntervalRow]]
    letters: dict[str, dict[int, str]]
    note: str


def intervals_info(frames: Frames) -> IntervalsInfo:
    """Means, intervals and seeds of the metric that ranks, and of the same on the test set, with its ties.

    Raises:
        NotDrawn: nothing has finished.
    """
    ranked = results.ranked(frames)
    if ranked.empty:
        raise NotDrawn("no configuration has finished")
    chosen = selection.choose(frames, ranked)
    judged = verdict.judge(frames)
    compared = [each for each in (judged.chosen, judged.test) if each]
    metrics = [each.metric for each in compared]
    rows = {sample: {name: _row(frames, sample, name) for name in metrics} for sample in chosen.samples}
    letters = {
        each.metric: {s.sample: s.letters.get("seeds", "") for s in each.standings} for each in compared
    }
    return IntervalsInfo(
        metrics,
        {sample: {name: row for name, row in each.items() if row} for sample, each in rows.items()},
        {name: {sample: text for sample, text in each.items() if text} for name, each in letters.items()},
        chosen.note,
    )


def _row(frames: Frames, sample: int, name: str) -> IntervalRow | None:
    values, factor = frames.measured(sample, frames.choice_of(name)), frames.units.scale(name)
    if not values:
        return None
    seeds = [factor * value for value in values]
    width = mean_interval(seeds).half_width if len(seeds) > 2 else None
    return IntervalRow(factor * mean(values), width, seeds, frames.units.measure(name, values, unit=True))


#: Marker and colour of the metric that ranks, and of the test metric.
_LOOKS = (("o", style.BLUE), ("s", style.ORANGE))


def intervals(frames: Frames) -> Iterator[Picture]:
    """Means, intervals and seeds of every finished configuration."""
    info = intervals_info(frames)
    count = len(info.measured)
    labels = selection.labels(frames, info.measured)
    figure = style.canvas(style.WIDTH, 0.95 + (0.3 if count <= 20 else 0.22) * count)
    across = figure.subplots(1, len(info.metrics), sharey=True, squeeze=False)[0]
    for axes, name, look in zip(across, info.metrics, _LOOKS, strict=False):
        style.name_rows(axes, [selection.wrapped(label, 46, 2) for label in labels.values()])
        _panel(axes, frames, info, name, *look)
        axes.set_xlabel(selection.metric_label(frames, name))
    first, test = next(iter(info.measured)), map(formats.quantity, info.metrics[1:])
    yield Picture(
        "intervals",
        "Configurations with their intervals",
        f"Dot plot of {formats.listed([formats.chosen_by(frames), *test])} of "
        f"{counted(count, 'configuration')}, best first. "
        f"Best: {labels[first]} with {info.measured[first][info.metrics[0]].text}.",
        sentences(_marks(frames.sweep.space.seeds), _ties(info), info.note, selection.left_out(frames)),
        figure,
    )


def _panel(axes: Axes, frames: Frames, info: IntervalsInfo, name: str, marker: str, color: str) -> None:
    share = frames.units.is_share(name)
    for place, (sample, measured) in enumerate(info.measured.items()):
        if row := measured.get(name):
            if len(row.seeds) > 1:
                at = [place + 0.3] * len(row.seeds)
                axes.scatter(row.seeds, at, s=8, c="none", edgecolors=style.GREY, linewidths=0.7, zorder=2)
            error = None
            if row.half_width is not None:
                # no share lies outside 0 to 100%
                room = (row.mean, 100 - row.mean) if share else (row.half_width, row.half_width)
                error = [[min(row.half_width, side)] for side in room]
            axes.errorbar(row.mean, place, xerr=error, fmt=marker, color=color, capsize=3, zorder=3)
        letters = info.letters[name].get(sample, "")
        axes.text(1, place, letters, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    axes.margins(x=0.08)
    if share:
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -2), min(high, 102))


def _marks(seeds: int) -> str:
    if seeds == 1:
        return "One seed per configuration: no intervals, because an interval needs at least two seeds"
    if seeds == 2:
        return "A dot is the mean over the seeds, each small ring is one of the two; best first"
    return (
        "A dot is the mean over the seeds, the bar is its 95% interval, each small ring is a seed; best first"
    )


def _ties(info: IntervalsInfo) -> str:
    compared = max(map(len, info.letters.values()))
    if not compared:
        return ""
    which = "those" if compared == len(info.measured) else f"of the first {compared}, those"
    return (
        f"{which} that share a letter do not differ significantly with these seeds "
        "(paired tests, Holm's correction)"
    )
