"""The figures of a search, of grids too: history, slices, parallel coordinates, importance."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pandas as pd
from matplotlib.axis import Axis, XAxis
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from tune_app import results
from tune_app.errors import describe
from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.search.conversion import OptunaParameter, directions, frozen_trial, spanning
from tune_app.space import Config, canonical
from tune_app.space.labels import text
from tune_app.stats.units import NOTHING
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Parameters that get a place in a figure.
MOST_PARAMETERS = 8

#: Lines of the parallel coordinates: there are no labels to be read, so more than elsewhere.
MOST_LINES = 200

#: Letters in a line of a label beside a scatter.
_LONGEST_LABEL = 40

#: Points of a scatter.
MOST_POINTS = 2000

#: The most listed numbers that are labels themselves, and the least share of the axis between two.
_FEW_VALUES, _APART = 6, 0.08

#: A configuration without the parameter stands below the others, by this share of the axis.
_GAP = 0.15


def history(frames: Frames) -> Iterator[Picture]:
    """The metric of each configuration in the order of their numbers, and the best until then."""
    rows, thinned = _finished(frames)
    stopped = _measured(frames, frames.trials[frames.trials["status"] == Status.STOPPED]).dropna(subset="y")
    label = selection.metric_label(frames)
    figure, axes = style.single(style.WIDTH, 3.2)
    axes.scatter(rows["sample"], rows["y"], s=_dot(rows), color=style.BLUE, label="a configuration")
    axes.plot(rows["sample"], rows["best"], color=style.ORANGE, drawstyle="steps-post", label="best so far")
    if len(stopped):
        at = stopped["sample"], stopped["y"]
        axes.plot(*at, "x", color=style.GREY, markersize=4, label="stopped early")
    axes.set(xlabel="sample", ylabel=textwrap.fill(label, _LONGEST_LABEL))
    axes.margins(x=0.03)
    style.whole_numbers(axes.xaxis)
    style.legend(figure, axes, "outside upper right", 3)
    yield Picture(
        "history",
        "History of the search",
        f"Scatter of {label} by sample number, {counted(len(rows), 'finished configuration')}; "
        f"the best is sample {results.ranked(frames)['sample'].iloc[0]}.",
        sentences(
            "Finished configurations by their number; the line is the best so far",
            len(stopped) > 0 and "a cross is a configuration that was stopped early, at its last value",
            thinned,
            selection.left_out(frames, *stopped["status"].unique()),
        ),
        figure,
    )


def slices(frames: Frames) -> Iterator[Picture]:
    """The metric against each parameter by itself."""
    rows, thinned = _finished(frames)
    parameters, note = _parameters(frames)
    label = selection.metric_label(frames)
    figure = style.canvas(min(2.1 * len(parameters) + 2.0, 1.5 * style.WIDTH), 3.0)
    panels = figure.subplots(1, len(parameters), sharey=True, squeeze=False)[0]
    first, last = rows["sample"].min(), rows["sample"].max()
    for panel, parameter in zip(panels, parameters, strict=True):
        having = rows[[parameter.name in frames.config(sample) for sample in rows["sample"]]]
        dots = panel.scatter(
            [parameter.place(frames.config(sample)) for sample in having["sample"]],
            having["y"],
            s=_dot(rows),
            c=having["sample"],
            vmin=first,
            vmax=last,
            cmap="Blues",
            edgecolors=style.GREY,
            linewidths=0.5,
        )
        parameter.draw(panel.xaxis)
        panel.margins(x=0.17)
        panel.set_xlabel(parameter.label)
    panels[0].set_ylabel(textwrap.fill(label, _LONGEST_LABEL))
    style.whole_numbers(figure.colorbar(dots, ax=list(panels), label="sample").ax.yaxis)
    names = formats.listed([parameter.name for parameter in parameters])
    yield Picture(
        "slice",
        "Each parameter by itself",
        f"Scatter of {label} against {names}, {counted(len(rows), 'point')} each.",
        sentences(
            "Each dot is a finished configuration; darker dots were tried later",
            note,
            thinned,
            selection.left_out(frames),
        ),
        figure,
    )


def parallel(frames: Frames) -> Iterator[Picture]:
    """A line a configuration through its parameters and its metric."""
    _finished(frames)  # raises where there is nothing to draw
    parameters, note = _parameters(frames)
    ranked = _measured(frames, results.ranked(frames))
    chosen = selection.choose(frames, ranked, MOST_LINES)
    rows = ranked[ranked["sample"].isin(chosen.samples)].iloc[::-1]  # the best are drawn last, on top
    configs = list(map(frames.config, rows["sample"]))
    label = selection.metric_label(frames)
    across = np.linspace(0, 1, len(parameters) + 1)
    figure, first = style.single(style.WIDTH, 3.6)
    heights = [fitted(first.yaxis, rows["y"].tolist())]
    for at, parameter in zip(across[1:], parameters, strict=True):
        axes = first.twinx()
        axes.spines["right"].set(visible=True, position=("axes", at))
        parameter.draw(axes.yaxis, absent=any(parameter.name not in config for config in configs))
        heights.append(fitted(axes.yaxis, list(map(parameter.place, configs)), parameter.places.values()))
        for written in axes.get_yticklabels():
            written.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})
    for each in figure.axes:
        each.grid(visible=False)
        each.spines["bottom"].set_visible(False)
    reverse = "" if frames.sweep.space.metric.mode == "max" else "_r"
    lines = LineCollection(
        [np.column_stack([across, line]) for line in zip(*heights, strict=True)],
        array=rows["y"].to_numpy(),
        cmap=f"{style.COLOUR_MAP}{reverse}",
        linewidth=1.4 if len(rows) <= 40 else 0.8,
        transform=first.transAxes,
        clip_on=False,
    )
    first.add_collection(lines)
    first.set_xlim(0, 1)
    labels = [label, *(parameter.label for parameter in parameters)]  # a line may end after an underscore
    breakable = [textwrap.fill(each.replace("_", "_ "), 14) for each in labels]
    first.set_xticks(across, [each.replace("_ ", "_") for each in breakable])
    gaps = any(parameter.name not in config for config in configs for parameter in parameters)
    names = formats.listed([parameter.name for parameter in parameters])
    yield Picture(
        "parallel",
        "Parallel coordinates",
        f"A line for each of {counted(len(rows), 'configuration')} through {label} and {names}.",
        sentences(
            "Each line is a finished configuration with its metric and its parameters; "
            "brighter lines are better",
            gaps and f"{NOTHING} stands where a parameter does not exist",
            note,
            chosen.note,
            selection.left_out(frames),
        ),
        figure,
    )


def importance(frames: Frames) -> Iterator[Picture]:
    """How much each parameter decides whether a configuration is among the best."""
    if len(frames.varying) < 2:
        raise NotDrawn("takes two parameters that vary")
    rows, thinned = _finished(frames)
    samples = rows.loc[rows["twin"].isna(), "sample"].tolist()
    count = len(samples)
    if count < 4:
        raise NotDrawn(f"takes 4 finished configurations, and there are {count}")
    found = importances(frames, samples)
    shares, names = list(found.values()), list(selection.shortened(found, 30).values())
    figure, axes = style.single(style.WIDTH, 0.32 * len(found) + 1.0)
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
            thinned,
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


def _finished(frames: Frames) -> tuple[pd.DataFrame, str]:
    """All finished configurations; of very many some, evenly spaced, and all that were the best so far.

    Raises:
        NotDrawn: no parameter varies, or fewer than two have finished.
    """
    rows = _measured(frames, results.ranked(frames).sort_index())
    if not frames.varying:
        raise NotDrawn("no parameter varies")
    if len(rows) < 2:
        raise NotDrawn("takes two finished configurations")
    if len(rows) <= MOST_POINTS:
        return rows, ""
    chosen = rows["best"].diff().fillna(1) != 0
    chosen.iloc[np.linspace(0, len(rows) - 1, MOST_POINTS).astype(int)] = True
    note = f"{int(chosen.sum()):,} of {len(rows):,} finished configurations, evenly spaced"
    return rows[chosen], f"{note}, and every one that was the best so far"


def _parameters(frames: Frames) -> tuple[list[ParameterAxis], str]:
    """The axes of the parameters that get a place, of those that differ between finished configurations."""
    configs = [frames.config(sample) for sample in results.ranked(frames)["sample"]]
    varying = [
        name
        for name in frames.varying
        if len({canonical(config[name]) if name in config else "" for config in configs}) > 1
    ]
    if not varying:
        raise NotDrawn("no parameter varies between the finished configurations")
    shown = varying[:MOST_PARAMETERS]
    note = f"the first {len(shown)} of {len(varying)} parameters" if len(shown) < len(varying) else ""
    labels = selection.shortened(shown, 24)
    return [parameter_axis(frames, name, labels[name]) for name in shown], note


def _dot(rows: pd.DataFrame) -> float:
    return 18 if len(rows) <= 200 else 6


@dataclass(frozen=True)
class ParameterAxis:
    """Where a parameter's values stand, by their ``canonical`` forms, and what is written at some places."""

    name: str
    label: str
    places: dict[str, float]
    ticks: dict[float, str]
    absent: float
    log: bool = False

    def place(self, config: Config) -> float:
        """Where a configuration stands on the axis."""
        return self.places[canonical(config[self.name])] if self.name in config else self.absent

    def draw(self, axis: Axis, absent: bool = False) -> None:
        """Scale and label a matplotlib axis, with a label for ``absent`` if a configuration is."""
        if self.log:
            (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
        ticks = {self.absent: NOTHING, **self.ticks} if absent else self.ticks
        axis.set_ticks(list(ticks), list(ticks.values()))
        axis.set_ticks([], minor=True)


def parameter_axis(frames: Frames, name: str, label: str = "") -> ParameterAxis:
    """The axis of a parameter: words and mixed values side by side, numbers by their size."""
    values = selection.parameter_values(frames, name)
    sampler = frames.sweep.space.space.get(name)
    spread = spanning(list(values.values()), sampler)
    texts = selection.values(frames, name, 14)
    if spread.kind == "choice":
        places = {key: float(index) for index, key in enumerate(values)}
        return ParameterAxis(name, label, places, {places[key]: texts[key] for key in values}, -1.0)
    places = {key: float(value) for key, value in values.items() if isinstance(value, int | float)}
    low, high, log = min(places.values()), max(places.values()), "log" in spread.kind
    listed = sampler is None or sampler.kind in ("grid", "choice")
    if listed and len(values) <= _FEW_VALUES:
        ticks = {places[key]: texts[key] for key in _apart(places, log)}
    else:
        locator = style.log_locator(low, high, 5) if log else MaxNLocator(4, integer="int" in spread.kind)
        ticks = {float(at): text(float(at)) for at in locator.tick_values(low, high) if low <= at <= high}
    absent = low * (low / high) ** _GAP if log else low - _GAP * ((high - low) or 1)
    return ParameterAxis(name, label, places, ticks, absent, log)


def _apart(places: dict[str, float], log: bool) -> list[str]:
    """The values whose labels find room, from the lowest."""
    heights = dict(zip(places, np.log(list(places.values())) if log else places.values(), strict=True))
    least = _APART * (max(heights.values()) - min(heights.values()))
    chosen: list[str] = []
    for key, height in heights.items():
        if not chosen or height - heights[chosen[-1]] >= least:
            chosen.append(key)
    return chosen


def fitted(axis: Axis, values: Sequence[float], others: Iterable[float] = ()) -> list[float]:
    """Fit a y axis to ``values`` and ``others``; returns the heights of ``values``, as shares of the axis."""
    ends = min(*values, *others), max(*values, *others)
    axis.axes.set_ylim(axis.get_major_locator().nonsingular(*ends))
    transform = axis.get_transform()
    low, high = transform.transform(np.array(axis.get_view_interval()))
    return list((transform.transform(np.array(values)) - low) / (high - low))


KINDS: dict[str, Callable[[Frames], Iterator[Picture]]] = {
    "history": history,
    "importance": importance,
    "slice": slices,
    "parallel": parallel,
}
