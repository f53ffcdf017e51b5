"""Two metrics that pull apart: which configurations no other one beats in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.report.overview import undominated
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Pairs of metrics that get a picture; points of the front that get a number.
MOST_PAIRS, _NUMBERED = 3, 12

#: Pixels across and up from one number to the next; of two that are nearer, the second is left out.
_APART = (34, 18)


@dataclass(frozen=True)
class Objective:
    """A metric of ``Frames.trials``, or a column such as ``duration_s``."""

    name: str
    mode: str

    def label(self, frames: Frames) -> str:
        """Its name and unit, for an axis."""
        return "training time, s" if self.name == "duration_s" else selection.metric_label(frames, self.name)


def pareto_points(frames: Frames, x: Objective, y: Objective) -> pd.DataFrame:
    """The configurations that were started: sample, status, x, y, ``on_front``; shares in per cent.

    On the front are finished ones; the values of the others are their last ones.

    Raises:
        NotDrawn: nothing has finished, or a metric does not exist.
    """
    trials = frames.trials[frames.trials["status"].isin(selection.MARKS) & frames.trials["twin"].isna()]
    points = trials[["sample", "status"]].copy()
    for axis, objective in (("x", x), ("y", y)):
        name = objective.name
        found = (frames.choice_of(name), f"{name}_mean", name)
        column = next((column for column in found if column in trials), None)
        if column is None:
            raise NotDrawn(f'no column "{name}" in the results')
        points[axis] = trials[column].astype(float) * frames.units.scale(name)
    points = points.dropna().sort_values(["x", "y"])
    finished = points["status"] == Status.FINISHED
    if not finished.any():
        raise NotDrawn("no configuration has finished")
    points["on_front"] = False
    points.loc[finished, "on_front"] = undominated(points[finished], ["x", "y"], [x.mode, y.mode])
    return points


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
    finished = rest["status"] == Status.FINISHED
    steps = "steps-post" if x.mode == "min" else "steps-pre"  # between two points nothing is known to be
    figure, axes = style.single(style.NARROW, 4.0)
    beaten: dict[str, Any] = {
        "color": style.BLUE,
        "markerfacecolor": style.PAPER,
        "label": "beaten by another",
    }
    axes.plot(rest["x"][finished], rest["y"][finished], "o", markersize=4, **beaten)
    for status, rows in rest[~finished].groupby("status"):
        marker, label = selection.MARKS[Status(str(status))]
        axes.plot(rows["x"], rows["y"], marker, color=style.GREY, markersize=4, label=label)
    axes.plot(best["x"], best["y"], "D-", color=style.BLUE, drawstyle=steps, label="front")
    for axis, objective, values in ((axes.xaxis, x, points["x"]), (axes.yaxis, y, points["y"])):
        better = "more" if objective.mode == "max" else "less"
        axis.set_label_text(f"{objective.label(frames)} ({better} is better)")
        style.fit(axis, values, frames.units.is_share(objective.name))
    numbered = len(best) <= _NUMBERED
    taken: list[NDArray[np.float64]] = []
    for sample, x_at, y_at in best[["sample", "x", "y"]].itertuples(index=False) if numbered else ():
        pixel = axes.transData.transform((x_at, y_at))
        if all((abs(pixel - other) >= _APART).any() for other in taken):
            taken.append(pixel)
            axes.annotate(str(sample), (x_at, y_at), xytext=(4, 5), textcoords="offset points", fontsize=8)
    style.legend(figure, axes, "outside lower center", 3)
    names = selection.labels(frames, map(int, best["sample"])).values()
    return Picture(
        f"pareto{number}",
        f"{y.label(frames)} against {x.label(frames)}",
        f"Scatter of {counted(len(points), 'configuration')}, {len(best)} of them on the front.",
        sentences(
            "On the front are those that no other configuration beats in both, by their means",
            "their numbers are the samples, where there is room" if numbered else "",
            f"on the front: {'; '.join(names)}" if len(names) <= 8 else "",
            not finished.all() and "grey marks have not finished and show their last values",
            selection.left_out(frames, *points["status"].unique()),
        ),
        figure,
    )
