"""Each configuration's mean with its interval and its seeds, best first; letters join what is tied."""

from __future__ import annotations

import math
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
from tune_app.stats.units import MetricUnits
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
    """Finished configurations, best first: what each was measured at, a dict of ``metrics`` each.

    ``letters`` has by metric one text a sample: two configurations that share a letter cannot be told apart
    with these seeds. Empty where that was not judged.
    """

    metrics: list[str]
    samples: list[int]
    labels: dict[int, str]
    measured: dict[int, dict[str, IntervalRow]]
    letters: dict[str, dict[int, str]]
    note: str
    n: int
    units: MetricUnits


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
    compared = [each for each in (judged.chosen, judged.test) if each is not None]
    metrics = [each.metric for each in compared]
    measured: dict[int, dict[str, IntervalRow]] = {}
    for sample in chosen.samples:
        measured[sample] = {}
        for name in metrics:
            values, factor = frames.measured(sample, name), frames.units.scale(name)
            if not values:
                continue
            interval = mean_interval([factor * value for value in values])
            width = interval.half_width if len(values) > 2 else None
            text = frames.units.measure(name, values, unit=True)
            seeds = [factor * value for value in values]
            measured[sample][name] = IntervalRow(factor * mean(values), width, seeds, text)
    return IntervalsInfo(
        metrics,
        chosen.samples,
        selection.labels(frames, chosen.samples),
        measured,
        {each.metric: _letters_of(each) for each in compared},
        chosen.note,
        frames.sweep.space.seeds,
        frames.units,
    )


#: Letters of a name in a line.
_LABEL = 46

_LOOKS = (style.Look("#0072B2", "-", "o"), style.Look("#D55E00", (0, (2, 1.2)), "s"))


def _letters_of(compared: verdict.Comparison) -> dict[int, str]:
    found = ((each.sample, each.letters.get("seeds", "")) for each in compared.standings)
    return {sample: text for sample, text in found if text}


def intervals(frames: Frames) -> list[Picture]:
    """Means, intervals and seeds of every finished configuration."""
    info = intervals_info(frames)
    with style.styled():
        figure = style.canvas(
            style.WIDTH, 0.95 + (0.3 if len(info.samples) <= 20 else 0.22) * len(info.samples)
        )
        across = figure.subplots(1, len(info.metrics), sharey=True, squeeze=False)[0]
        for axes, name, look in zip(across, info.metrics, _LOOKS, strict=False):
            _panel(axes, info, name, look)
        places = range(len(info.samples))
        names = [selection.wrapped(info.labels[sample], _LABEL, 2) for sample in info.samples]
        across[0].set_yticks(places, list(map(style.text_of, names)))
        across[0].set_ylim(len(info.samples) - 0.4, -0.6)
    return [
        Picture(
            "intervals",
            "Configurations with their intervals",
            _alt(info),
            sentences(_marks(info), _ties(info), info.note, selection.left_out(frames)),
            figure,
        )
    ]


def _panel(axes: Axes, info: IntervalsInfo, name: str, look: style.Look) -> None:
    for place, sample in enumerate(info.samples):
        found = info.measured[sample].get(name)
        if found is None:
            continue
        if len(found.seeds) > 1:
            axes.plot(
                found.seeds,
                [place + 0.3] * len(found.seeds),
                "o",
                color="none",
                markeredgecolor=style.GREY,
                markersize=2.8,
                markeredgewidth=0.7,
                zorder=2,
            )
        error = None
        if found.half_width is not None:
            share = info.units.is_share(name)
            room = (found.mean, 100 - found.mean) if share else (math.inf, math.inf)
            error = [[min(found.half_width, side)] for side in room]  # no share lies outside 0 to 100%
        axes.errorbar(
            [found.mean],
            [place],
            xerr=error,
            fmt=look.marker,
            color=look.color,
            capsize=3,
            markersize=5,
            zorder=3,
        )
    axes.set_xlabel(style.text_of(formats.metric(info.units, name)))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    if info.units.is_share(name):
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -2), min(high, 102))
    _letters(axes, info, name)


def _letters(axes: Axes, info: IntervalsInfo, name: str) -> None:
    for place, sample in enumerate(info.samples):
        text = info.letters[name].get(sample, "")
        axes.annotate(
            text, (1, place), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=8.5
        )


def _marks(info: IntervalsInfo) -> str:
    if info.n == 1:
        return "One seed a configuration: no interval can be given, which takes at least two"
    if info.n == 2:
        return "A dot is the mean over the seeds, each small ring one of the two; best first"
    return "A dot is the mean over the seeds, the bar its 95% interval, each small ring a seed; best first"


def _ties(info: IntervalsInfo) -> str:
    if not any(info.letters.values()):
        return ""
    compared = max(map(len, info.letters.values()))
    which = "those" if compared == len(info.samples) else f"of the first {compared}, those"
    return (
        f"{which} that share a letter cannot be told apart with these seeds (paired tests, Holm's correction)"
    )


def _alt(info: IntervalsInfo) -> str:
    name, first = info.metrics[0], info.samples[0]
    return (
        f"Dot plot of {formats.listed(list(map(formats.quantity, info.metrics)))} of "
        f"{counted(len(info.samples), 'configuration')}, best first. "
        f"Best: {info.labels[first]} with {info.measured[first][name].text}."
    )
