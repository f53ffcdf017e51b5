"""The figures of a search, of grids too: history, slices, parallel coordinates, importance."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pandas as pd
from matplotlib.collections import LineCollection
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from tune_app import results
from tune_app.errors import describe
from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.parameter_axis import ParameterAxis, fitted, parameter_axis
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.search.distributions import OptunaParameter, spanning
from tune_app.search.study_trials import directions, frozen_trial
from tune_app.space import canonical
from tune_app.stats.units import NOTHING
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Parameters that get a place in a figure.
MOST_PARAMETERS = 8

#: Lines of the parallel coordinates: there are no labels to be read, so more than elsewhere.
MOST_LINES = 200

#: Points of a scatter.
MOST_POINTS = 2000


def history(frames: Frames) -> list[Picture]:
    """The metric of each configuration in the order of their numbers, and the best until then."""
    rows, thinned = _finished(frames)
    values = _values(frames, rows)
    best = values.cummax() if frames.sweep.space.metric.mode == "max" else values.cummin()
    ended = frames.trials[frames.trials["status"] == Status.STOPPED]
    stopped = ended[_values(frames, ended).notna()]
    cross = "a cross is a configuration that was stopped early, at its last value"
    figure, axes = style.single(style.WIDTH, 3.2)
    axes.scatter(rows["sample"], values, s=_dot(rows), color=style.BLUE, label="a configuration")
    axes.plot(rows["sample"], best, color=style.ORANGE, drawstyle="steps-post", label="best so far")
    if len(stopped):
        last = _values(frames, stopped)
        axes.plot(stopped["sample"], last, "x", color=style.GREY, markersize=4, label="stopped early")
    axes.set(xlabel="sample", ylabel=selection.metric_label(frames))
    axes.margins(x=0.03)
    style.whole_numbers(axes.xaxis)
    style.legend(figure, axes, "outside upper right", 3)
    return [
        Picture(
            "history",
            "History of the search",
            f"Scatter of {selection.metric_label(frames)} by sample number, "
            f"{counted(len(rows), 'finished configuration')}; "
            f"the best is sample {int(results.ranked(frames).iloc[0]['sample'])}.",
            sentences(
                "Finished configurations by their number; the line is the best until then",
                cross if len(stopped) else "",
                thinned,
                selection.left_out(frames, *([Status.STOPPED] if len(stopped) else [])),
            ),
            figure,
        )
    ]


def slices(frames: Frames) -> list[Picture]:
    """The metric against each parameter by itself."""
    axes_of, note = _parameters(frames)
    rows, thinned = _finished(frames)
    values = _values(frames, rows).to_numpy()
    configs = list(map(frames.config, rows["sample"]))
    figure = style.canvas(min(2.1 * len(axes_of) + 2.0, 1.5 * style.WIDTH), 3.0)
    panels = figure.subplots(1, len(axes_of), sharey=True, squeeze=False)[0]
    low, high = rows["sample"].min(), rows["sample"].max()
    for panel, (short, parameter) in zip(panels, axes_of.items(), strict=True):
        having = [parameter.name in config for config in configs]
        places = [parameter.place(config) for config in configs if parameter.name in config]
        dots = panel.scatter(
            places, values[having], s=_dot(rows), c=rows["sample"][having], vmin=low, vmax=high,
            cmap="Blues", edgecolors=style.GREY, linewidths=0.5,
        )  # fmt: skip
        parameter.draw(panel.xaxis)
        style.add_margins(panel)
        panel.set_xlabel(short)
    panels[0].set_ylabel(selection.metric_label(frames))
    bar = figure.colorbar(dots, ax=list(panels), label="sample")
    style.whole_numbers(bar.ax.yaxis)
    names = formats.listed([parameter.name for parameter in axes_of.values()])
    return [
        Picture(
            "slice",
            "Each parameter by itself",
            f"Scatter of {selection.metric_label(frames)} against {names}, "
            f"{counted(len(rows), 'point')} each.",
            sentences(
                "A dot is a finished configuration, the darker the later it was tried",
                note,
                thinned,
                selection.left_out(frames),
            ),
            figure,
        )
    ]


def parallel(frames: Frames) -> list[Picture]:
    """A line a configuration through its parameters and its metric."""
    axes_of, note = _parameters(frames)
    ranked = results.ranked(frames)
    chosen = selection.choose(frames, ranked, MOST_LINES)
    drawn = ranked[ranked["sample"].isin(chosen.samples)].iloc[::-1]  # the best are drawn last, on top
    configs, values = list(map(frames.config, drawn["sample"])), _values(frames, drawn)
    label = selection.metric_label(frames)
    figure, first = style.single(style.WIDTH, 3.6)
    heights = [fitted(first.yaxis, values.tolist())]
    across = np.linspace(0, 1, len(axes_of) + 1)
    gaps = False
    for at, parameter in zip(across[1:], axes_of.values(), strict=True):
        scale = first.twinx()
        scale.spines["right"].set(visible=True, position=("axes", at))
        places = [parameter.place(config) for config in configs]
        gap = any(parameter.name not in config for config in configs)
        parameter.draw(scale.yaxis, gap)
        heights.append(fitted(scale.yaxis, places, parameter.places.values()))
        for text in scale.get_yticklabels():
            text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})
        gaps |= gap
    for each in figure.axes:
        each.grid(visible=False)
    brighter_is_better = frames.sweep.space.metric.mode == "max"
    first.add_collection(
        LineCollection(
            [np.column_stack([across, line]) for line in zip(*heights, strict=True)],
            array=values.to_numpy(),
            cmap=style.COLOUR_MAP if brighter_is_better else f"{style.COLOUR_MAP}_r",
            linewidth=1.4 if len(drawn) <= 40 else 0.8,
            transform=first.transAxes,
            clip_on=False,
        )
    )
    first.set_xlim(0, 1)
    first.set_xticks(across, [textwrap.fill(text, 14) for text in (label, *axes_of)])
    names = formats.listed([parameter.name for parameter in axes_of.values()])
    return [
        Picture(
            "parallel",
            "Parallel coordinates",
            f"A line for each of {counted(len(drawn), 'configuration')} through {label} and {names}.",
            sentences(
                "A line is a finished configuration, from its metric through its parameters; "
                "the brighter, the better",
                f"{NOTHING} stands where a parameter does not exist" if gaps else "",
                note,
                chosen.note,
                selection.left_out(frames),
            ),
            figure,
        )
    ]


def importance(frames: Frames) -> list[Picture]:
    """How much each parameter decides whether a configuration is among the best."""
    if len(frames.varying) < 2:
        raise NotDrawn("takes two parameters that vary")
    rows, thinned = _finished(frames)
    samples = [int(sample) for sample in rows.loc[rows["twin"].isna(), "sample"]]
    if len(samples) < 4:
        raise NotDrawn(f"takes 4 finished configurations, and there are {len(samples)}")
    found = importances(frames, samples)
    short = selection.shortened(found, 30)
    figure, axes = style.single(style.WIDTH, 0.32 * len(found) + 1.0)
    bars = axes.barh(range(len(found)), list(found.values()), height=0.5, color=style.BLUE)
    axes.bar_label(bars, ["<0.01" if share < 0.01 else f"{share:.2f}" for share in found.values()], padding=3)
    style.name_rows(axes, list(short.values()))
    axes.margins(x=0.1)
    axes.set_xlabel("importance, as a share of 1")
    few = f"{counted(len(samples), 'configuration')} are few for this: take it as a hint"
    listed = formats.listed([f"{short[name]} {share:.2f}" for name, share in found.items()])
    return [
        Picture(
            "importance",
            "Importance of the parameters",
            f"Bar chart: {listed}.",
            sentences(
                "PED-ANOVA (Watanabe et al., 2023): how much each parameter decides whether a configuration "
                f"is among the best {top_share(len(samples)):.0%}",
                few if len(samples) < 50 else "",
                thinned,
                selection.left_out(frames),
            ),
            figure,
        )
    ]


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
        parameters[name] = OptunaParameter.of(spanning(values, space.space.get(name)))
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


def _finished(frames: Frames) -> tuple[pd.DataFrame, str]:
    """All finished configurations; of very many some, evenly spaced, and all that were the best so far.

    Raises:
        NotDrawn: no parameter varies, or fewer than two have finished.
    """
    rows = results.ranked(frames).sort_index()
    if not frames.varying:
        raise NotDrawn("no parameter varies")
    if len(rows) < 2:
        raise NotDrawn("takes two finished configurations")
    if len(rows) <= MOST_POINTS:
        return rows, ""
    values = _values(frames, rows)
    best = values.cummax() if frames.sweep.space.metric.mode == "max" else values.cummin()
    chosen = best.diff().fillna(1) != 0
    chosen.iloc[np.linspace(0, len(rows) - 1, MOST_POINTS).astype(int)] = True
    note = f"{int(chosen.sum()):,} of {len(rows):,} finished configurations, evenly spaced"
    return rows[chosen], f"{note}, and every one that was the best so far"


def _parameters(frames: Frames) -> tuple[dict[str, ParameterAxis], str]:
    """The axes of the parameters that get a place, by names short enough for it."""
    _finished(frames)  # raises where there is nothing to draw
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
    return {
        short: parameter_axis(frames, name) for name, short in selection.shortened(shown, 24).items()
    }, note


def _values(frames: Frames, rows: pd.DataFrame) -> pd.Series[float]:
    """The metric that ranks, as it is shown; NaN without one."""
    name = frames.sweep.space.metric.name
    column = f"{name}_mean"
    return rows.reindex(columns=[column])[column].astype(float) * frames.units.scale(name)


def _dot(rows: pd.DataFrame) -> float:
    return 18 if len(rows) <= 200 else 6


KINDS: dict[str, Callable[[Frames], list[Picture]]] = {
    "history": history,
    "importance": importance,
    "slice": slices,
    "parallel": parallel,
}
