"""Optuna's own figures, of any sweep: history, slices, parallel coordinates, importance."""

from __future__ import annotations

import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from tune_app import results
from tune_app.report import formats
from tune_app.report.figures import optuna_input, parameter_axis, selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.search.study_trials import SAMPLE
from tune_app.space import canonical
from tune_app.stats.arithmetic import to_digits
from tune_app.stats.units import NOTHING
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    import optuna

    from tune_app.results import Frames

#: Parameters that get a place in a figure; of more, those that matter most.
MOST_PARAMETERS = 8

#: Lines of the parallel coordinates: there are no labels to be read, so more than elsewhere.
MOST_LINES = 200

#: Points of a scatter.
MOST_POINTS = 2000

_FEWEST_FOR_IMPORTANCE = 4


def history(frames: Frames) -> list[Picture]:
    """The metric of each configuration in the order of their numbers, and the best until then."""
    rows, thinned = _thinned(frames)
    made = _study(frames, trials=rows)
    label = _label(frames)
    with style.styled(), _pyplot() as visualization:
        axes = visualization.plot_optimization_history(made, target_name=label)
        figure = _taken(axes, style.WIDTH, 3.2)
        _thin_points(axes, len(made.trials))
        _scale(axes.yaxis, frames)
        for line in axes.lines:
            line.set(drawstyle="steps-post", color="#D55E00", alpha=1, linewidth=1.4)
        _at_samples(axes, made)
        axes.set_xlabel("sample")
        _drop_legend(axes)
        for artist in (*axes.collections, *axes.lines):
            artist.set_label("")
        axes.collections[0].set_label("a configuration")
        axes.lines[0].set_label("best so far")
        stopped = _stopped(axes, frames)
        style.legend(figure, axes, "outside upper right")
    best = results.ranked(frames).iloc[0]
    return [
        Picture(
            "history",
            "History of the search",
            f"Scatter of {label} by sample number, {counted(_finished(made), 'finished configuration')}; "
            f"the best is sample {int(best['sample'])}.",
            sentences(
                "Finished configurations by their number; the line is the best until then",
                "a cross is a configuration that was stopped early, at its last value" if stopped else "",
                thinned,
                selection.left_out(frames, *([Status.STOPPED] if stopped else [])),
            ),
            figure,
        )
    ]


def _stopped(axes: Axes, frames: Frames) -> int:
    """Add configurations that were stopped early, each with its last value; returns how many."""
    column = f"{frames.sweep.space.metric.name}_mean"
    trials = frames.trials[frames.trials["status"] == Status.STOPPED].dropna(subset=column)
    if len(trials):
        low, high = axes.get_xlim()
        axes.plot(
            trials["sample"], trials[column], "x", color=style.GREY, markersize=4, label="stopped early"
        )
        axes.set_xlim(min(low, trials["sample"].min() - 0.5), max(high, trials["sample"].max() + 0.5))
    return len(trials)


def slices(frames: Frames) -> list[Picture]:
    """The metric against each parameter by itself."""
    names, note = _parameters(frames)
    rows, thinned = _thinned(frames)
    made = _study(frames, names, rows)
    label, back = _label(frames), {short: name for name, short in names.items()}
    with style.styled(), _pyplot() as visualization:
        found = visualization.plot_slice(made, params=list(names.values()), target_name=label)
        panels = [found] if isinstance(found, Axes) else list(np.ravel(found))
        figure = _taken(panels[0], min(2.1 * len(panels) + 2.0, 1.5 * style.WIDTH), 3.0)
        for panel in panels:
            panel.set_title("")
            _thin_points(panel, len(made.trials))
            _scale(panel.yaxis, frames)
            parameter_axis.label(panel.xaxis, frames, back[panel.get_xlabel()])
            panel.set_xlabel(style.text_of(panel.get_xlabel()))
            style.add_margins(panel)
        bar = figure.axes[-1]
        bar.set_ylabel("sample")
        _coloured_by_sample(panels, made)
    return [
        Picture(
            "slice",
            "Each parameter by itself",
            f"Scatter of {label} against {formats.listed(list(names))}, "
            f"{counted(_finished(made), 'point')} each.",
            sentences(
                "A dot a finished configuration, the darker the later it was tried",
                note,
                thinned,
                selection.left_out(frames),
            ),
            figure,
        )
    ]


def parallel(frames: Frames) -> list[Picture]:
    """A line a configuration through its parameters and its metric."""
    ranked = results.ranked(frames)
    names, note = _parameters(frames)
    chosen = selection.choose(frames, ranked, MOST_LINES)
    drawn = ranked[ranked["sample"].isin(chosen.samples)].iloc[::-1]  # the best are drawn last, on top
    made = _study(frames, names, drawn)
    gaps = any(name not in frames.config(sample) for sample in drawn["sample"] for name in names)
    label = _label(frames)
    with style.styled(), _pyplot() as visualization:
        axes = visualization.plot_parallel_coordinate(made, params=list(names.values()), target_name=label)
        figure = _taken(axes, style.WIDTH, 3.6)
        order = sorted(names.values())
        back = {short: name for name, short in names.items()}
        scales = [each for each in figure.axes if each is not axes and each.get_label() != "<colorbar>"]
        for scale, name in zip(scales, order, strict=True):
            parameter_axis.label(scale.yaxis, frames, back[name])
            for text in scale.get_yticklabels():
                text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})
        for each in figure.axes:
            each.grid(visible=False)
        [lines] = axes.collections
        lines.set_clip_on(False)
        lines.set_cmap(
            style.COLOUR_MAP if frames.sweep.space.metric.mode == "max" else f"{style.COLOUR_MAP}_r"
        )
        lines.set_linewidth(1.4 if len(made.trials) <= 40 else 0.8)
        _scale(axes.yaxis, frames)
        bar = next(each for each in figure.axes if each.get_label() == "<colorbar>")
        _scale(bar.yaxis, frames)
        bar.set_ylabel(style.text_of(label))
        axes.set_xticks(
            range(len(order) + 1),
            [style.text_of(textwrap.fill(text, 14)) for text in (label, *order)],
            rotation=0,
        )
    return [
        Picture(
            "parallel",
            "Parallel coordinates",
            f"A line for each of {counted(_finished(made), 'configuration')} through {label} and "
            f"{formats.listed(list(names))}.",
            sentences(
                "A line a finished configuration, from its metric through its parameters",
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
    names = selection.shortened(frames.varying, 30)
    rows, thinned = _thinned(frames)
    made = _study(frames, names, rows[rows["twin"].isna()])
    count = _finished(made)
    if count < _FEWEST_FOR_IMPORTANCE:
        raise NotDrawn(f"takes {_FEWEST_FOR_IMPORTANCE} finished configurations, and there are {count}")
    share = top_share(count)
    with style.styled(), _pyplot() as visualization:
        from optuna.importance import PedAnovaImportanceEvaluator

        evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
        axes = visualization.plot_param_importances(made, evaluator=evaluator, params=list(names.values()))
        bars = axes.patches
        figure = _taken(axes, style.WIDTH, 0.32 * len(bars) + 1.0)
        _drop_legend(axes)
        for bar in bars:
            bar.set(facecolor="#0072B2", height=0.5)
        for text in axes.texts:
            text.set_text(f" {text.get_text()}")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel="importance, as a share of 1", ylabel="")
        texts = [text.get_text() for text in axes.get_yticklabels()]
        shares = dict(zip(texts, (bar.get_width() for bar in bars), strict=True))
    few = f"{counted(count, 'configuration')} are few for this: take it as a hint" if count < 50 else ""
    return [
        Picture(
            "importance",
            "Importance of the parameters",
            f"Bar chart: {formats.listed([f'{name} {bar:.2f}' for name, bar in reversed(shares.items())])}.",
            sentences(
                "PED-ANOVA (Watanabe et al., 2023): how much each parameter decides whether a configuration "
                f"is among the best {share:.0%}",
                few,
                thinned,
                selection.left_out(frames),
            ),
            figure,
        )
    ]


def top_share(count: int) -> float:
    """The share of ``count`` configurations that counts as the best: a tenth, more where that is below 5."""
    return min(0.5, max(0.1, 5 / count))


def _thinned(frames: Frames) -> tuple[pd.DataFrame, str]:
    """All finished configurations; of very many some, evenly spaced, and all that were the best so far."""
    ranked = results.ranked(frames)
    rows = frames.trials.loc[ranked.index.sort_values()]
    if len(rows) <= MOST_POINTS:
        return rows, ""
    values = rows[f"{frames.sweep.space.metric.name}_mean"].astype(float)
    best = values.cummax() if frames.sweep.space.metric.mode == "max" else values.cummin()
    chosen = best.diff().fillna(1) != 0
    chosen.iloc[np.linspace(0, len(rows) - 1, MOST_POINTS).astype(int)] = True
    note = f"{int(chosen.sum()):,} of {len(rows):,} finished configurations, evenly spaced"
    return rows[chosen], f"{note}, and every one that was the best so far"


def _study(
    frames: Frames, names: dict[str, str] | None = None, trials: pd.DataFrame | None = None
) -> optuna.Study:
    if not frames.varying:
        raise NotDrawn("no parameter varies")
    if len(results.ranked(frames)) < 2:
        raise NotDrawn("takes two finished configurations")
    return optuna_input.make_study(frames, trials, names)


def _parameters(frames: Frames) -> tuple[dict[str, str], str]:
    """The parameters that get a place, each with a name short enough for it."""
    finished = results.ranked(frames)
    configs = [frames.config(sample) for sample in finished["sample"]]
    varying = [
        name
        for name in frames.varying
        if len({canonical(config[name]) if name in config else "" for config in configs}) > 1
    ]
    if not varying:
        raise NotDrawn("no parameter varies between the finished configurations")
    note = ""
    if len(varying) > MOST_PARAMETERS:
        note = f"the first {MOST_PARAMETERS} of {len(varying)} parameters"
        varying = varying[:MOST_PARAMETERS]
    return selection.shortened(varying, 24), note


def _label(frames: Frames) -> str:
    return formats.metric(frames.units, frames.sweep.space.metric.name)


def _finished(made: optuna.Study) -> int:
    return sum(trial.state.name == "COMPLETE" for trial in made.get_trials(deepcopy=False))


@contextmanager
def _pyplot() -> Iterator[Any]:
    """Optuna's figures for matplotlib, which are made through pyplot and warn that they are experimental."""
    backend = dict.__getitem__(mpl.rcParams, "backend")  # as it is: to ask for it may start a window system
    first = "matplotlib.pyplot" not in sys.modules or not isinstance(backend, str)
    if first:
        mpl.use("agg")  # nobody else draws in this process yet: no window system is needed
    import matplotlib.pyplot as plt
    import optuna.visualization.matplotlib as visualization

    before = set(plt.get_fignums())
    mpl.rcParams["figure.constrained_layout.use"] = True  # a colour bar must know of it when it is made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, few trials, ...: the captions say it
            with _kept_style(plt.style):
                yield visualization
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
        if first:  # a notebook whose cells draw later shows them where it would have
            dict.__setitem__(mpl.rcParams, "backend", backend)
            plt._backend_mod = None


@contextmanager
def _kept_style(library: Any) -> Iterator[None]:
    """Optuna puts on a style sheet of its own; ours stays."""
    use: Callable[..., None] = library.use
    library.use = lambda *_, **__: None
    try:
        yield
    finally:
        library.use = use


def _taken(axes: Axes, width: float, height: float) -> Figure:
    """The figure of ``axes``, in inches and in our layout, without the title that the caption repeats."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.set_size_inches(width, height)
    figure.suptitle("")
    for side in ("left", "center"):
        axes.set_title("", loc=side)
    figure.set_layout_engine("constrained")
    return figure


def _scale(axis: Any, frames: Frames) -> None:
    """Show a share in per cent: Optuna has the values as they are recorded."""
    factor = frames.units.scale(frames.sweep.space.metric.name)
    axis.set_major_formatter(FuncFormatter(lambda value, _: to_digits(factor * value, 4)))


def _samples(made: optuna.Study) -> NDArray[np.int64]:
    """Our sample number of each trial: Optuna numbers those it has from 0."""
    return np.array([trial.user_attrs[SAMPLE] for trial in made.get_trials(deepcopy=False)], np.int64)


def _at_samples(axes: Axes, made: optuna.Study) -> None:
    """Move what Optuna drew at its own numbers to those of our samples."""
    samples = _samples(made)
    for points in axes.collections:
        offsets = np.ma.getdata(points.get_offsets())
        if len(offsets):
            points.set_offsets(np.column_stack([samples[offsets[:, 0].astype(int)], offsets[:, 1]]))
    for line in axes.lines:
        line.set_xdata(samples[np.asarray(line.get_xdata(), int)])
    room = 0.03 * max(1, samples.max() - samples.min())
    axes.set_xlim(samples.min() - room, samples.max() + room)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))


def _coloured_by_sample(panels: Sequence[Axes], made: optuna.Study) -> None:
    samples = _samples(made)
    for panel in panels:
        points = panel.collections[0]
        numbers = points.get_array()
        assert numbers is not None
        points.set_array(samples[np.asarray(numbers, int)])
        points.set_clim(samples.min(), samples.max())
    bar = panels[0].figure.axes[-1]
    bar.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))


def _thin_points(axes: Axes, count: int) -> None:
    for points in axes.collections:
        assert isinstance(points, PathCollection)
        points.set_sizes([18 if count <= 200 else 6])
        points.set_linewidth(0.8 if count <= 200 else 0.3)
        points.set_rasterized(count > 2000)


def _drop_legend(axes: Axes) -> None:
    legend = axes.get_legend()
    if legend:
        legend.remove()


KINDS: dict[str, Callable[[Frames], list[Picture]]] = {
    "history": history,
    "importance": importance,
    "slice": slices,
    "parallel": parallel,
}
