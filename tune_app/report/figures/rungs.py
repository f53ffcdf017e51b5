"""Early stopping: how far each configuration was trained, and what was decided at each rung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes

from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.status import Status

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class RungsInfo:
    """How far configurations went.

    ``reached`` has the rows of ``Frames.trials`` of all that were started; ``samples`` are those that are
    shown one by one, furthest first, and ``note`` says which they are. ``counts`` are the configurations that
    trained epoch 1, 2, ...; after each epoch of ``rungs`` something was decided, by which ``stopped`` ended.
    """

    reached: pd.DataFrame
    samples: list[int]
    note: str
    counts: list[int]
    rungs: list[int]
    stopped: set[int]


def rungs_info(frames: Frames) -> RungsInfo:
    """What the early stopping decided.

    Raises:
        NotDrawn: the space has none, or nothing is decided yet.
    """
    if frames.sweep.space.stop.scheduler == "none":
        raise NotDrawn("the space has no early stopping")
    taken = frames.sweep.history.decisions
    if not taken:
        raise NotDrawn("early stopping has decided nothing yet")
    started = frames.trials[(frames.trials["epochs"] > 0) & frames.trials["twin"].isna()].set_index("sample")
    chosen = selection.choose(frames, frames.trials[frames.trials["sample"].isin(started.index)])
    return RungsInfo(
        started,
        # among equals best first: the order of the decisions made visible
        sorted(chosen.samples, key=lambda sample: -started["epochs"][sample]),
        chosen.note,
        [int((started["epochs"] >= epoch).sum()) for epoch in range(1, frames.sweep.space.epochs + 1)],
        sorted({decision.epoch for decision in taken}),
        {decision.sample for decision in taken if decision.stop},
    )


def rungs(frames: Frames) -> Iterator[Picture]:
    """How many configurations were still training at each epoch, and how far each of them went."""
    info = rungs_info(frames)
    labels = selection.labels(frames, info.samples)
    names, height = selection.rows(labels[sample] for sample in info.samples)
    bars = height * len(names) + 0.5
    figure = style.canvas(style.WIDTH, 1.7 + bars + 0.5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.4, bars])
    above.stairs(info.counts, range(len(info.counts) + 1), color=style.INK, linewidth=1.4)
    above.set_ylim(0, max(info.counts) * 1.15)
    above.set_ylabel("configurations\ntrained")
    style.whole_numbers(above.yaxis, 4)
    _bars(below, info)
    style.name_rows(below, names)
    below.set(xlim=(0, len(info.counts) * 1.02), xlabel="epochs trained")
    style.whole_numbers(below.xaxis, 10)
    for axes in (above, below):
        for rung in info.rungs:
            axes.axvline(rung, color=style.FAINT, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
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
