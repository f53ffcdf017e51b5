"""Early stopping: how far each configuration was trained, and what was decided at each rung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.report.rung_table import AtRung, signed, standings, unit
from tune_app.space.labels import text
from tune_app.status import Status

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Inches of the panel of one rung, and of the numbers and words below it.
_STRIP, _NUMBERS = 0.45, 0.35

#: Multiples of it, modulo 1, lie apart.
_GOLDEN = 0.618034

#: The mark and the colour of what a rung has made of a configuration.
_OUTCOMES = {
    "promoted": ("^", style.BLUE),
    "paused": (selection.MARKS[Status.PAUSED][0], style.GREY),
    "stopped": (selection.MARKS[Status.STOPPED][0], style.GREY),
}


@dataclass(frozen=True)
class RungsInfo:
    """How far configurations went.

    ``reached`` has the rows of ``Frames.trials`` of all that were started; ``samples`` are those that are
    shown one by one, furthest first, and ``note`` says which they are. ``counts`` are the configurations that
    trained epoch 1, 2, ...; after each epoch of ``rungs`` something was decided, by which ``stopped`` ended.
    ``standings`` are those at rungs where configurations wait for each other.
    """

    reached: pd.DataFrame
    samples: list[int]
    note: str
    counts: list[int]
    rungs: list[int]
    stopped: set[int]
    standings: list[AtRung]


def rungs_info(frames: Frames) -> RungsInfo:
    """What the early stopping decided.

    Raises:
        NotDrawn: the space has none, or nothing is decided yet.
    """
    if frames.sweep.space.stop.scheduler == "none":
        raise NotDrawn("the space has no early stopping")
    taken, standing = frames.sweep.history.decisions, list(standings(frames))
    configurations = frames.sweep.history.configurations
    if not taken and not standing:
        raise NotDrawn("early stopping has decided nothing yet")
    started = frames.trials[(frames.trials["epochs"] > 0) & frames.trials["twin"].isna()].set_index("sample")
    near = started.index.map({each.sample: -each.distance for each in standing if each.distance is not None})
    nearest = started.iloc[np.argsort(near, kind="stable")]  # the first of those that went equally far
    chosen = selection.choose(frames, nearest.reset_index())
    return RungsInfo(
        started,
        # among equals best first: the order of the decisions made visible
        sorted(chosen.samples, key=lambda sample: -started["epochs"][sample]),
        chosen.note,
        [int((started["epochs"] >= epoch).sum()) for epoch in range(1, frames.sweep.space.epochs + 1)],
        sorted({each.rung for each in standing} or {decision.epoch for decision in taken}),
        {each.sample for each in taken if each.stop and not configurations[each.sample].revived},
        standing,
    )


def rungs(frames: Frames) -> Iterator[Picture]:
    """How many configurations were still training at each epoch, and how far each of them went."""
    info = rungs_info(frames)
    labels = selection.labels(frames, info.samples)
    names, height = selection.rows(labels[sample] for sample in info.samples)
    bars = height * len(names) + 0.5
    measured = {each.rung for each in info.standings if each.distance is not None}
    waited = [rung for rung in info.rungs if rung in measured]
    figure = style.canvas(style.WIDTH, 1.7 + bars + 0.5 + (_STRIP + _NUMBERS) * len(waited))
    heights = [1.4, bars, *[_STRIP] * len(waited)]
    above, below, *strips = figure.subplots(len(heights), 1, height_ratios=heights)
    above.sharex(below)
    above.stairs(info.counts, range(len(info.counts) + 1), color=style.INK, linewidth=1.4)
    above.set_ylim(0, max(info.counts) * 1.15)
    above.set_ylabel("configurations\ntrained")
    style.whole_numbers(above.yaxis, 4)
    above.tick_params(labelbottom=False)
    _bars(below, info)
    _name_distances(below, frames, info)
    style.name_rows(below, names)
    below.set(xlim=(0, len(info.counts) * 1.02), xlabel="epochs trained")
    style.whole_numbers(below.xaxis, 10)
    for axes in (above, below):
        for rung in info.rungs:
            axes.axvline(rung, color=style.FAINT, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    for axes, rung in zip(strips, waited, strict=True):
        _strip(axes, frames, [each for each in info.standings if each.rung == rung])
    if waited:
        marker, colour = _OUTCOMES["promoted"]
        below.plot([], [], marker, color=colour, label="promoted")
        strips[-1].set_xlabel(f"distance to the worst one promoted after that epoch ({unit(frames)})")
    style.legend(figure, below, "outside lower center", 4)
    gone = [
        f"{info.counts[rung]} continued after epoch {rung}" for rung in info.rungs if rung < len(info.counts)
    ]
    yield Picture(
        "rungs",
        "Early stopping: how far each configuration was trained",
        f"Step chart and bars of epochs trained: {formats.listed([f'{info.counts[0]} began', *gone])}.",
        sentences(
            "Above: configurations that were trained in each epoch. Below: the last epoch of each, "
            "longest first; vertical lines are the epochs after which early stopping decided",
            _distances_are(frames) if waited else "",
            info.note,
        ),
        figure,
    )


def _bars(axes: Axes, info: RungsInfo) -> None:
    for status, (marker, word) in selection.MARKS.items():
        colour = selection.colour(status)
        ends = {
            place: info.reached["epochs"][sample]
            for place, sample in enumerate(info.samples)
            if status == (Status.STOPPED if sample in info.stopped else info.reached["status"][sample])
        }
        if ends:
            rows, epochs = list(ends), list(ends.values())
            axes.hlines(rows, 0, epochs, color=colour, linewidth=2, zorder=2)
            axes.plot(epochs, rows, marker, color=colour, markersize=6, zorder=3, clip_on=False, label=word)


def _distances_are(frames: Frames) -> str:
    return (
        "at the bottom, and beside the bars, how much better (+) or worse (−) than the worst one promoted at "
        f"a rung each was, by {unit(frames)}"
    )


def _name_distances(axes: Axes, frames: Frames, info: RungsInfo) -> None:
    """Beside each bar that ends at a rung, by how much its configuration was not promoted there."""
    at = {(each.sample, each.rung): each for each in info.standings if each.outcome != "promoted"}
    for row, sample in enumerate(info.samples):
        epoch = info.reached["epochs"][sample]
        standing = at.get((sample, epoch))
        if standing and standing.distance is not None:
            said = signed(frames, standing.distance)
            axes.annotate(said, (epoch, row), (6, 0), textcoords="offset points", va="center", fontsize=7)


def _strip(axes: Axes, frames: Frames, found: list[AtRung]) -> None:
    """One rung: how far each configuration is from the worst one that was promoted."""
    scale = frames.units.scale(frames.sweep.space.stop_metric.name)
    known = sorted((scale * each.distance, each.outcome) for each in found if each.distance is not None)
    heights = np.arange(1, len(known) + 1) * _GOLDEN % 1  # neighbours lie apart
    for outcome, (marker, colour) in _OUTCOMES.items():
        chosen = [place for place, (_, became) in enumerate(known) if became == outcome]
        if chosen:
            across = [known[place][0] for place in chosen]
            axes.plot(across, heights[chosen], marker, color=colour, markersize=4.5, zorder=3, clip_on=False)
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=1)
    axes.set_ylim(-0.25, 1.25)
    axes.set_yticks([])
    axes.set_ylabel(f"epoch {found[0].rung}", rotation=0, ha="right", va="center")
    sizes = np.abs([distance for distance, _ in known])
    if sizes.size and (middle := float(np.median(sizes))) > 0 and sizes.max() > style.DECADES * middle:
        axes.set_xscale("symlog", linthresh=middle)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=middle))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(float(value))))
