"""Two metrics that pull apart: which configurations no other one beats in both."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.report.overview import undominated
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


#: Pairs of metrics that get a picture; points of the front that get a number.
MOST_PAIRS, _NUMBERED = 3, 12

_BETTER = {"max": "more", "min": "less"}


@dataclass(frozen=True)
class Objective:
    """A metric column of ``Frames.trials`` without its ``_mean``, or a column such as ``duration_s``."""

    name: str
    mode: str

    def column(self, trials: pd.DataFrame) -> str:
        """The column that holds its values.

        Raises:
            NotDrawn: there is none.
        """
        for column in (f"{self.name}_mean", self.name):
            if column in trials:
                return column
        raise NotDrawn(f'no column "{self.name}" in the results')


@dataclass(frozen=True)
class ParetoInfo:
    """Finished configurations: ``points`` has the columns sample, x, y and on_front; shares in per cent."""

    x: Objective
    y: Objective
    points: pd.DataFrame
    labels: dict[int, str]


def pareto_info(frames: Frames, x: Objective, y: Objective) -> ParetoInfo:
    """The finished configurations, and which of them are on the front.

    Raises:
        NotDrawn: nothing has finished, or a metric does not exist.
    """
    trials = frames.trials[(frames.trials["status"] == Status.FINISHED) & frames.trials["twin"].isna()]
    columns = {axis: objective.column(frames.trials) for axis, objective in (("x", x), ("y", y))}
    points = pd.DataFrame(
        {
            "sample": trials["sample"].astype(int),
            "x": trials[columns["x"]].astype(float) * frames.units.scale(x.name),
            "y": trials[columns["y"]].astype(float) * frames.units.scale(y.name),
        }
    ).dropna()
    if points.empty:
        raise NotDrawn("no configuration has finished")
    points["on_front"] = undominated(points, ["x", "y"], [x.mode, y.mode])
    points = points.sort_values(["x", "y"]).reset_index(drop=True)
    best = points[points["on_front"]]["sample"]
    return ParetoInfo(x, y, points, selection.labels(frames, best))


def trade_offs(frames: Frames) -> list[Picture]:
    """A picture of each pair of the space's metrics, of the first three pairs."""
    objectives = [Objective(metric.name, metric.mode) for metric in frames.sweep.space.metrics]
    if len(objectives) < 2:
        raise NotDrawn("the space has one metric")
    pairs = list(combinations(objectives, 2))[:MOST_PAIRS]
    return [pareto(frames, x, y, "" if i == 0 else f"_{i + 1}") for i, (x, y) in enumerate(pairs)]


def pareto(frames: Frames, x: Objective, y: Objective, number: str = "") -> Picture:
    """Two metrics against each other, and the front of the configurations that none beats in both."""
    info = pareto_info(frames, x, y)
    best, rest = info.points[info.points["on_front"]], info.points[~info.points["on_front"]]
    steps = "steps-post" if x.mode == "min" else "steps-pre"  # between two points nothing is known to be
    with style.styled():
        figure = style.canvas(style.WIDTH, 4.0)
        axes = figure.subplots()
        axes.plot(rest["x"], rest["y"], "o", color="#9a9a9a", markersize=4, label="beaten by another")
        axes.plot(best["x"], best["y"], "D-", color="#0072B2", drawstyle=steps, label="front")
        for _, point in best.iterrows():
            if len(best) <= _NUMBERED:
                axes.annotate(
                    str(int(point["sample"])),
                    (point["x"], point["y"]),
                    xytext=(4, 5),
                    textcoords="offset points",
                    fontsize=8,
                )
        for axis, objective in ((axes.xaxis, x), (axes.yaxis, y)):
            axis.set_label_text(
                style.text_of(f"{_label(frames, objective)} ({_BETTER[objective.mode]} is better)")
            )
        axes.legend(loc="best", frameon=True, framealpha=0.8)
    names = [info.labels[int(sample)] for sample in best["sample"]]
    listed = f"on the front: {'; '.join(names)}" if len(names) <= 8 else ""
    return Picture(
        f"pareto{number}",
        f"{_label(frames, y)} against {_label(frames, x)}",
        f"Scatter of {counted(len(info.points), 'configuration')}, {len(best)} of them on the front.",
        sentences(
            "On the front are those that no other configuration beats in both, by their means",
            "their numbers are the samples" if len(best) <= _NUMBERED else "",
            listed,
            selection.left_out(frames),
        ),
        figure,
    )


def _label(frames: Frames, objective: Objective) -> str:
    return (
        "training time, s" if objective.name == "duration_s" else formats.metric(frames.units, objective.name)
    )
