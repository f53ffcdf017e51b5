"""The figures of a search, of grids too: history, slices, parallel coordinates, importance."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from tune_app import results
from tune_app.errors import describe
from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.parameter_axis import fitted, parameter_axes
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.search.conversion import OptunaParameter, directions, frozen_trial, spanning
from tune_app.stats.units import NOTHING
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Lines of the parallel coordinates: there are no labels to be read, so more than elsewhere.
MOST_LINES = 200

#: Letters in a line of a label beside a scatter.
_LONGEST_LABEL = 32

#: Points of a scatter.
MOST_POINTS = 2000

#: Panels side by side.
_PANELS = 3

#: Lines of the parallel coordinates.
_BEST: dict[str, Any] = {"color": style.BLUE, "linewidth": 1.6, "label": "among the best"}
_FINISHED: dict[str, Any] = {"color": style.GREY, "linewidth": 0.9, "label": "finished"}
_UNFINISHED: dict[str, Any] = {
    **{"color": style.FAINT, "linewidth": 0.8, "linestyle": (0, (2, 1.5)), "label": "not finished"}
}


def history(frames: Frames) -> Iterator[Picture]:
    """The metric of each configuration in the order of their numbers, and the best until then."""
    points = _points(frames)
    label = selection.metric_label(frames)
    figure, axes = style.single(style.NARROW, 3.2)
    points.draw(axes, {sample: sample for sample in frames.trials["sample"]})
    best = points.finished
    axes.plot(best["sample"], best["best"], color=style.ORANGE, drawstyle="steps-post", label="best so far")
    axes.set(xlabel="sample", ylabel=textwrap.fill(label, _LONGEST_LABEL))
    axes.margins(x=0.03)
    style.whole_numbers(axes.xaxis)
    style.legend(figure, axes, "outside lower center", 4)
    yield Picture(
        "history",
        "History of the search",
        f"Scatter of {label} by sample number, {counted(len(best), 'finished configuration')}; "
        f"the best is sample {results.ranked(frames)['sample'].iloc[0]}.",
        sentences("Configurations by their number; the line is the best so far", points.note("grey marks")),
        figure,
    )


def slices(frames: Frames) -> Iterator[Picture]:
    """The metric against each parameter by itself."""
    points = _points(frames)
    parameters, note = parameter_axes(frames)
    label = selection.metric_label(frames)
    across = 2 if len(parameters) == 4 else min(len(parameters), _PANELS)
    down = math.ceil(len(parameters) / across)
    figure = style.canvas(style.NARROW, 2.5 * down + 0.5)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for panel in grid.flat[len(parameters) :]:
        panel.set_axis_off()
    for panel, parameter in zip(grid.flat, parameters, strict=False):
        having = {sample: each for sample, each in frames.configs.items() if parameter.name in each}
        parameter.draw(panel.xaxis)
        points.draw(panel, {sample: parameter.place(each) for sample, each in having.items()})
        panel.margins(x=0.17)
        panel.set_xlabel(_broken(parameter.label, 16))
    for row in grid:
        row[0].set_ylabel(textwrap.fill(label, _LONGEST_LABEL))
    style.legend(figure, grid[0, 0], "outside lower center", 4)
    names = formats.listed([parameter.name for parameter in parameters])
    yield Picture(
        "slice",
        "Each parameter by itself",
        f"Scatter of {label} against {names}, {counted(len(points.finished), 'finished point')} each.",
        sentences("Each mark is a configuration", note, points.note("grey marks")),
        figure,
    )


def parallel(frames: Frames) -> Iterator[Picture]:
    """A line a configuration through its parameters and its metric."""
    points = _points(frames)
    parameters, note = parameter_axes(frames)
    if len(parameters) < 2:
        raise NotDrawn("takes two parameters that vary; slice shows one")
    ranked = _measured(frames, results.ranked(frames))
    chosen = selection.choose(frames, ranked, MOST_LINES)
    best = chosen.samples[: round(top_share(len(chosen.samples)) * len(chosen.samples))]
    finished = ranked[ranked["sample"].isin(chosen.samples)].iloc[::-1]  # the best are drawn last, on top
    rows = pd.concat([points.others.head(MOST_LINES), finished])
    configs = list(map(frames.config, rows["sample"]))
    label = selection.metric_label(frames)
    across = np.linspace(0, 1, len(parameters) + 1)
    figure, first = style.single(style.WIDTH, 3.6)
    known = rows["y"].dropna().tolist()
    if not points.share:
        style.scale(first.yaxis, known)
    fitted(first.yaxis, known)
    if first.get_yscale() == "log":
        style.log_ticks(first.yaxis)
    heights = [fitted(first.yaxis, rows["y"].fillna(first.get_ylim()[0]).tolist())]
    for at, parameter in zip(across[1:], parameters, strict=True):
        axes = first.twinx()
        axes.spines["right"].set(visible=True, position=("axes", at))
        parameter.draw(axes.yaxis, absent=any(parameter.name not in config for config in configs))
        heights.append(fitted(axes.yaxis, list(map(parameter.place, configs)), parameter.places.values()))
        for written in axes.get_yticklabels():
            written.set_bbox({"facecolor": style.PAPER, "alpha": 0.75, "edgecolor": "none", "pad": 0.8})
    for each in figure.axes:
        each.grid(visible=False)
        each.spines["bottom"].set_visible(False)
    for sample, status, line in zip(rows["sample"], rows["status"], zip(*heights, strict=True), strict=True):
        look = _UNFINISHED if status != Status.FINISHED else _BEST if sample in best else _FINISHED
        first.plot(across, line, transform=first.transAxes, clip_on=False, **look)
    first.set_xlim(0, 1)
    labels = [label, *(parameter.label for parameter in parameters)]
    first.set_xticks(across, [_broken(each, 14) for each in labels])
    style.legend(figure, first, "outside lower center", 4)
    gaps = any(parameter.name not in config for config in configs for parameter in parameters)
    names = formats.listed([parameter.name for parameter in parameters])
    yield Picture(
        "parallel",
        "Parallel coordinates",
        f"A line for each of {counted(len(rows), 'configuration')} through {label} and {names}.",
        sentences(
            "Each line is a configuration with its metric and its parameters",
            f"in colour: the best {len(best)} of {counted(len(ranked), 'finished configuration')}",
            gaps and f"{NOTHING} stands where a parameter does not exist",
            note,
            chosen.note,
            points.note("dotted lines"),
        ),
        figure,
    )


def _broken(label: str, width: int) -> str:
    """A label over several lines, which may end after an underscore too."""
    return textwrap.fill(label.replace("_", "_ "), width).replace("_ ", "_")


def importance(frames: Frames) -> Iterator[Picture]:
    """How much each parameter decides whether a configuration is among the best."""
    if len(frames.varying) < 2:
        raise NotDrawn("takes two parameters that vary")
    points = _points(frames)
    samples = points.finished.loc[points.finished["twin"].isna(), "sample"].tolist()
    count = len(samples)
    if count < 4:
        raise NotDrawn(f"takes 4 finished configurations, and there are {count}")
    found = importances(frames, samples)
    shares, names = list(found.values()), list(selection.shortened(found, 30).values())
    figure, axes = style.single(style.NARROW, 0.32 * len(found) + 1.0)
    bars = axes.barh(range(len(found)), shares, height=0.5, color=style.BLUE)
    axes.bar_label(bars, ["<0.01" if share < 0.01 else f"{share:.2f}" for share in shares], padding=3)
    style.name_rows(axes, names)
    axes.margins(x=0.1)
    axes.set_xlabel("importance, as a share of 1")
    yield Picture(
        "importance",
        "Importance of the parameters",
        f"Bar chart: {formats.listed([f'{n} {share:.2f}' for n, share in zip(names, shares, strict=True)])}.",
        sentences(
            "PED-ANOVA (Watanabe et al., 2023): how much each parameter decides whether a configuration "
            f"is among the best {top_share(count):.0%}",
            count < 50 and f"{counted(count, 'configuration')} are few for this: it is only a hint",
            count < len(results.ranked(frames)) and f"computed from {count:,} of them",
            selection.left_out(frames),
        ),
        figure,
    )


def importances(frames: Frames, samples: list[int]) -> dict[str, float]:
    """The share of each varying parameter in what makes these configurations good, the largest first.

    The ranges are those of the recorded values, so that a grid has them too.

    Raises:
        NotDrawn: Optuna cannot compute it from these values.
    """
    space, recorded = frames.sweep.space, frames.sweep.history
    parameters = {}
    for name in frames.varying:
        values = list(selection.parameter_values(frames, name).values())
        parameters[name] = OptunaParameter(spanning(values, space.space.get(name)))
    study = optuna.create_study(directions=directions(space))
    study.add_trials(
        [frozen_trial(space, recorded, recorded.configurations[sample], parameters) for sample in samples]
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental; few trials: the caption says so
            return get_param_importances(
                study,
                evaluator=PedAnovaImportanceEvaluator(target_quantile=top_share(len(samples))),
                params=frames.varying,
                target=lambda trial: -space.metric.sign * trial.values[0],
            )
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NotDrawn(f"Optuna cannot compute it from these values ({describe(error)})") from error


def top_share(count: int) -> float:
    """The share of ``count`` configurations that counts as the best: a tenth, more where that is below 5."""
    return min(0.5, max(0.1, 5 / count))


def _measured(frames: Frames, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``Frames.trials``, with what chooses as ``y``, shares in per cent; NaN without one."""
    metric = frames.sweep.space.metric
    column = frames.choices.get(metric.name, f"{metric.name}_mean")
    y = pd.Series(rows.get(column), rows.index, float) * frames.units.scale(metric.name)
    return rows.assign(y=y, best=y.cummax() if metric.mode == "max" else y.cummin())


@dataclass(frozen=True)
class Points:
    """Configurations with their metric ``y``: the finished, with the ``best`` until each, and the ``others``.

    The others were started and have not finished: ``y`` is of their last epochs, NaN without one.
    """

    finished: pd.DataFrame
    others: pd.DataFrame
    share: bool
    left_out: str

    def note(self, marks: str) -> str:
        """What the caption says about ``marks`` of the others, and about what is left out."""
        said = self.left_out
        if len(self.others):
            edge = self.others["y"].isna().any() and "; those without a value stand on the lower edge"
            said = sentences(f"{marks} have not finished and show their last value{edge or ''}", said)
        return said

    def draw(self, axes: Axes, at: Mapping[int, float]) -> None:
        """Mark each at its place along x, which some may lack; without a value, on the lower edge."""
        every = pd.concat([self.finished, self.others])
        every = every[every["sample"].isin(at)]
        size: dict[str, Any] = {"markersize": 4 if len(every) <= 200 else 2.5, "linestyle": "none"}
        edge = axes.get_xaxis_transform()
        for status, (marker, label) in selection.MARKS.items():
            look: dict[str, Any] = {
                "marker": marker,
                "color": selection.colour(status),
                "label": label,
                **size,
            }
            rows = every[every["status"] == status]
            x, known = rows["sample"].map(at), rows["y"].notna()
            if known.any():
                axes.plot(x[known], rows["y"][known], **look)
            if not known.all():
                axes.plot(x[~known], np.zeros(int((~known).sum())), transform=edge, clip_on=False, **look)
        style.fit(axes.yaxis, every["y"], self.share)


def _points(frames: Frames) -> Points:
    """All configurations; of very many some, evenly spaced, and all that were the best so far.

    Raises:
        NotDrawn: no parameter varies, or fewer than two have finished.
    """
    finished = _measured(frames, results.ranked(frames).sort_index())
    if not frames.varying:
        raise NotDrawn("no parameter varies")
    if len(finished) < 2:
        raise NotDrawn("takes two finished configurations")
    started = [status for status in selection.MARKS if status != Status.FINISHED]
    others = _measured(frames, frames.trials[frames.trials["status"].isin(started)])
    notes = [selection.left_out(frames, *started)]
    if len(finished) > MOST_POINTS:
        chosen = finished["best"].diff().fillna(1) != 0
        chosen.iloc[_evenly(len(finished))] = True
        shown = f"{int(chosen.sum()):,} of {len(finished):,} finished configurations, evenly spaced"
        notes.append(f"{shown}, and every one that was the best so far")
        finished = finished[chosen]
    if len(others) > MOST_POINTS:
        notes.append(f"{MOST_POINTS:,} of {len(others):,} that have not finished")
        others = others.iloc[_evenly(len(others))]
    share = frames.units.is_share(frames.sweep.space.metric.name)
    return Points(finished, others, share, sentences(*notes))


def _evenly(count: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, MOST_POINTS).astype(np.int64)


KINDS: dict[str, Callable[[Frames], Iterator[Picture]]] = {
    "history": history,
    "importance": importance,
    "slice": slices,
    "parallel": parallel,
}
