"""Two metrics that pull apart: which configurations no other one beats in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.report.overview import undominated
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Pairs of metrics that get a picture; points of the front that get a number.
MOST_PAIRS, _NUMBERED = 3, 12


@dataclass(frozen=True)
class Objective:
    """A metric of ``Frames.trials``, or a column such as ``duration_s``."""

    name: str
    mode: str

    def label(self, frames: Frames) -> str:
        """Its name and unit, for an axis."""
        return "training time, s" if self.name == "duration_s" else selection.metric_label(frames, self.name)


def pareto_points(frames: Frames, x: Objective, y: Objective) -> pd.DataFrame:
    """The finished configurations: sample, x, y, and whether it is ``on_front``; shares in per cent.

    Raises:
        NotDrawn: nothing has finished, or a metric does not exist.
    """
    trials = frames.trials[(frames.trials["status"] == Status.FINISHED) & frames.trials["twin"].isna()]
    points = trials[["sample"]].copy()
    for axis, objective in (("x", x), ("y", y)):
        name = objective.name
        found = (frames.choice_of(name), f"{name}_mean", name)
        column = next((column for column in found if column in trials), None)
        if column is None:
            raise NotDrawn(f'no column "{name}" in the results')
        points[axis] = trials[column].astype(float) * frames.units.scale(name)
    points = points.dropna().sort_values(["x", "y"])
    if points.empty:
        raise NotDrawn("no configuration has finished")
    return points.assign(on_front=undominated(points, ["x", "y"], [x.mode, y.mode]))


def trade_offs(frames: Frames) -> Iterator[Picture]:
    """A picture of each pair of the space's metrics, of the first three pairs."""
    objectives = [Objective(metric.name, metric.mode) for metric in frames.sweep.space.metrics]
    if len(objectives) < 2:
        raise NotDrawn("the space has one metric")
    for number, (x, y) in enumerate(list(combinations(objectives, 2))[:MOST_PAIRS], 1):
        yield pareto(frames, x, y, f"_{number}" if number > 1 else "")


@style.styled()
def pareto(frames: Frames, x: Objective, y: Objective, number: str = "") -> Picture:
    """Two metrics against each other, and the front of the configurations that none beats in both."""
    points = pareto_points(frames, x, y)
    best, rest = points[points["on_front"]], points[~points["on_front"]]
    steps = "steps-post" if x.mode == "min" else "steps-pre"  # between two points nothing is known to be
    figure, axes = style.single(style.WIDTH, 4.0)
    axes.plot(rest["x"], rest["y"], "o", color="#9a9a9a", markersize=4, label="beaten by another")
    axes.plot(best["x"], best["y"], "D-", color=style.BLUE, drawstyle=steps, label="front")
    numbered = len(best) <= _NUMBERED
    for sample, x_at, y_at in best[["sample", "x", "y"]].itertuples(index=False) if numbered else ():
        axes.annotate(str(sample), (x_at, y_at), xytext=(4, 5), textcoords="offset points", fontsize=8)
    for axis, objective in ((axes.xaxis, x), (axes.yaxis, y)):
        better = "more" if objective.mode == "max" else "less"
        axis.set_label_text(f"{objective.label(frames)} ({better} is better)")
    axes.legend(loc="best", frameon=True, framealpha=0.8)
    names = selection.labels(frames, map(int, best["sample"])).values()
    return Picture(
        f"pareto{number}",
        f"{y.label(frames)} against {x.label(frames)}",
        f"Scatter of {counted(len(points), 'configuration')}, {len(best)} of them on the front.",
        sentences(
            "On the front are those that no other configuration beats in both, by their means",
            "their numbers are the samples" if numbered else "",
            f"on the front: {'; '.join(names)}" if len(names) <= 8 else "",
            selection.left_out(frames),
        ),
        figure,
    )
