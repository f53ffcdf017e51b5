"""Early stopping: who went how far, and what was decided at each rung."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.report.figures.selection import Selection
from tune_app.status import Status

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class RungsInfo:
    """How far configurations went.

    ``reached`` has the columns sample, status and epochs, of all that were started; ``decisions`` sample,
    epoch, value, threshold and stop, in the order that they were taken.
    """

    reached: pd.DataFrame
    decisions: pd.DataFrame
    epochs: int
    selection: Selection
    labels: dict[int, str]

    def training(self) -> list[int]:
        """Configurations that trained epoch 1, epoch 2, ... up to the last."""
        return [int((self.reached["epochs"] >= epoch).sum()) for epoch in range(1, self.epochs + 1)]

    @property
    def rungs(self) -> list[int]:
        """The epochs after which something was decided."""
        return sorted({int(epoch) for epoch in self.decisions["epoch"]})


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
    started = frames.trials[(frames.trials["epochs"] > 0) & frames.trials["twin"].isna()]
    chosen = selection.choose(frames, started)
    # furthest first, and among equals best first: the order of the decisions made visible
    epochs = dict(zip(started["sample"], started["epochs"], strict=True))
    order = sorted(chosen.samples, key=lambda sample: -epochs[sample])
    return RungsInfo(
        started[["sample", "status", "epochs"]].reset_index(drop=True),
        pd.DataFrame(
            [(d.sample, d.epoch, d.value, d.threshold, d.stop) for d in taken],
            columns=["sample", "epoch", "value", "threshold", "stop"],
        ),
        frames.sweep.space.epochs,
        Selection(order, chosen.note),
        selection.labels(frames, order),
    )


_ENDS = {
    Status.FINISHED: ("o", "#0072B2", "finished"),
    Status.STOPPED: ("X", "#D55E00", "stopped early"),
    Status.FAILED: ("P", "#000000", "failed"),
    Status.DIVERGED: ("D", "#CC79A7", "diverged"),
    Status.RUNNING: (">", "#009E73", "running"),
    Status.INTERRUPTED: ("s", "#767676", "interrupted"),
}


def rungs(frames: Frames) -> list[Picture]:
    """How many configurations were still training at each epoch, and how far each of them went."""
    info = rungs_info(frames)
    bars = 0.22 * len(info.selection.samples) + 0.5
    with style.styled():
        figure = style.canvas(style.WIDTH, 1.7 + bars + 0.5)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.4, bars])
        _survivors(above, info)
        _bars(below, info)
        below.set_xlabel("epochs trained")
        style.legend(figure, below, "outside lower center", 4)
    counts = info.training()
    gone = [
        f"{counts[0]} began",
        *(f"{counts[rung]} went on after epoch {rung}" for rung in info.rungs if rung < len(counts)),
    ]
    return [
        Picture(
            "rungs",
            "Early stopping: who went how far",
            f"Step chart and bars of epochs trained: {formats.listed(gone)}.",
            sentences(
                "Above: configurations that were trained in each epoch. Below: each one's last epoch, "
                "furthest first; vertical lines are the epochs after which it was decided who goes on",
                info.selection.note,
            ),
            figure,
        )
    ]


def _survivors(axes: Axes, info: RungsInfo) -> None:
    counts = info.training()
    axes.stairs(counts, range(len(counts) + 1), color=style.INK, linewidth=1.4)
    axes.set_ylim(0, max(counts) * 1.15)
    axes.set_ylabel("configurations\ntrained")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    for rung in info.rungs:
        axes.axvline(rung, color=style.GREY, linewidth=0.8, linestyle=(0, (3, 2)))


def _bars(axes: Axes, info: RungsInfo) -> None:
    reached = info.reached.set_index("sample")
    stopped = info.decisions[info.decisions["stop"]].set_index("sample")["epoch"].to_dict()
    for rung in info.rungs:
        axes.axvline(rung, color=style.GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    told: set[str] = set()
    for place, sample in enumerate(info.selection.samples):
        end, status = int(reached["epochs"][sample]), Status(reached["status"][sample])
        if sample in stopped:
            status = Status.STOPPED
        marker, colour, word = _ENDS[status]
        axes.plot([0, end], [place, place], color=colour, linewidth=2, zorder=2, solid_capstyle="butt")
        axes.plot(
            [end],
            [place],
            marker,
            color=colour,
            markersize=6,
            zorder=3,
            label=word if word not in told else None,
            clip_on=False,
        )
        told.add(word)
    names = [selection.wrapped(info.labels[sample], 46, 2) for sample in info.selection.samples]
    axes.set_yticks(range(len(names)), list(map(style.text_of, names)))
    axes.tick_params(axis="y", length=0, labelsize=8 if len(info.selection.samples) <= 20 else 7)
    axes.set_ylim(len(info.selection.samples) - 0.4, -0.7)
    axes.set_xlim(0, info.epochs * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    axes.grid(visible=False, axis="y")
