"""Each configuration's mean with its interval and its seeds, best first; the best set in colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    ``best_set`` are the samples that may be the best; empty where that was not judged.
    """

    metrics: list[str]
    measured: dict[int, dict[str, IntervalRow]]
    best_set: tuple[int, ...]
    note: str


def intervals_info(frames: Frames) -> IntervalsInfo:
    """Means, intervals and seeds of the metric that ranks, and of unsealed frames the same on the test set.

    Raises:
        NotDrawn: nothing has finished.
    """
    ranked = results.ranked(frames)
    if ranked.empty:
        raise NotDrawn("no configuration has finished")
    chosen = selection.choose(frames, ranked)
    judged = verdict.judge(frames.unsealed or frames)
    tested = [judged.test.metric] if judged.test and frames.opened is None else []  # else it would be one dot
    metrics = [judged.chosen.metric, *tested]
    rows = {sample: {name: _row(frames, sample, name) for name in metrics} for sample in chosen.samples}
    return IntervalsInfo(
        metrics,
        {sample: {name: row for name, row in each.items() if row} for sample, each in rows.items()},
        judged.best_set,
        chosen.note,
    )


def _row(frames: Frames, sample: int, name: str) -> IntervalRow | None:
    values, factor = frames.measured(sample, frames.choice_of(name)), frames.units.scale(name)
    if not values:
        return None
    seeds = [factor * value for value in values]
    width = mean_interval(seeds).half_width if len(seeds) > 2 else None
    return IntervalRow(factor * mean(values), width, seeds, frames.units.measure(name, values, unit=True))


#: By whether a configuration is in the set that holds the best: colour and filling differ.
_LOOKS: dict[bool, dict[str, Any]] = {
    True: {"color": style.BLUE, "label": "in the set that holds the best (95% confidence)"},
    False: {"color": style.GREY, "markerfacecolor": style.PAPER, "label": "outside of that set"},
}


def intervals(frames: Frames) -> Iterator[Picture]:
    """Means, intervals and seeds of every finished configuration."""
    info = intervals_info(frames)
    count = len(info.measured)
    labels = selection.labels(frames, info.measured)
    names, height = selection.rows(labels.values())
    figure = style.canvas(style.WIDTH, 1.15 + height * count)
    across = figure.subplots(1, len(info.metrics), sharey=True, squeeze=False)[0]
    for axes, name in zip(across, info.metrics, strict=True):
        style.name_rows(axes, names)
        _panel(axes, frames, info, name)
        axes.set_xlabel(selection.metric_label(frames, name))
    if info.best_set:
        style.legend(figure, across[0], "outside lower center")
    first, test = next(iter(info.measured)), map(formats.quantity, info.metrics[1:])
    yield Picture(
        "intervals",
        "Configurations with their intervals",
        f"Dot plot of {formats.listed([formats.chosen_by(frames), *test])} of "
        f"{counted(count, 'configuration')}, best first. "
        f"Best: {labels[first]} with {info.measured[first][info.metrics[0]].text}.",
        sentences(_marks(frames.sweep.space.seeds), _set(info), info.note, selection.left_out(frames)),
        figure,
    )


def _panel(axes: Axes, frames: Frames, info: IntervalsInfo, name: str) -> None:
    share = frames.units.is_share(name)
    shown = []
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
                shown += [row.mean - row.half_width, row.mean + row.half_width]
            look = _LOOKS[not info.best_set or sample in info.best_set]
            axes.errorbar(row.mean, place, xerr=error, fmt="o", capsize=3, zorder=3, **look)
            shown += [row.mean, *row.seeds]
    axes.margins(x=0.08)
    style.fit(axes.xaxis, shown, share)


def _marks(seeds: int) -> str:
    if seeds == 1:
        return "One seed per configuration: no intervals, because an interval needs at least two seeds"
    if seeds == 2:
        return "A dot is the mean over the seeds, each small ring is one of the two; best first"
    return (
        "A dot is the mean over the seeds, the bar is its 95% interval, each small ring is a seed; best first"
    )


def _set(info: IntervalsInfo) -> str:
    """Why bars do not tell which configurations are in the set."""
    if len(info.best_set) in (0, len(info.measured)):
        return ""
    return "the set comes from differences seed by seed: bars of one in it and one outside may overlap"
