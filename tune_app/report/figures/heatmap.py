"""Two parameters of a grid against each other: the metric in every cell."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_app import results
from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.space import Value, canonical
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: The most pairs of axes that get a picture, cells along an axis, and columns whose cells have a text.
MOST_PAIRS, MOST_VALUES, _MOST_TEXTS = 3, 24, 14


@dataclass(frozen=True)
class HeatmapInfo:
    """A metric over two axes: ``values`` (rows, columns) in per cent for a share, NaN where there is none.

    ``texts`` say what stands in each cell, (rows, columns): mean and half-width, or a status. ``several``
    tells whether a cell may stand for several configurations, of which it shows the best.
    """

    row_name: str
    column_name: str
    rows: list[Value]
    columns: list[Value]
    values: NDArray[np.float64]
    texts: list[list[str]]
    several: bool


def heatmap_infos(frames: Frames) -> list[HeatmapInfo]:
    """One for each pair of the parameters that form a grid, in the order of the space.

    Raises:
        NotDrawn: fewer than two such parameters, or nothing has finished.
    """
    space = frames.sweep.space.space
    axes = {
        name: values
        for name in frames.varying
        if 2 <= len(values := selection.parameter_values(frames, name)) <= MOST_VALUES
        and (name not in space or space[name].kind in ("grid", "choice"))
    }
    configs = list(map(frames.config, frames.trials["sample"]))
    pairs = []
    for pair in combinations(axes, 2):
        # the longer axis goes across, where there is more room
        row, column = sorted(pair, key=lambda name: len(axes[name]))
        tried = {(canonical(c[row]), canonical(c[column])) for c in configs if row in c and column in c}
        if 2 * len(tried) >= len(axes[row]) * len(axes[column]):
            pairs.append((row, column))
    if not pairs:
        raise NotDrawn("takes two parameters that form a grid")
    if results.ranked(frames).empty:
        raise NotDrawn("no configuration has finished")
    return [_info(frames, *pair) for pair in pairs[:MOST_PAIRS]]


def _info(frames: Frames, row_name: str, column_name: str) -> HeatmapInfo:
    rows, columns = (selection.parameter_values(frames, name) for name in (row_name, column_name))
    metric = frames.sweep.space.metric.name
    values = np.full((len(rows), len(columns)), np.nan)
    texts = [["" for _ in columns] for _ in rows]
    own = np.zeros(values.shape, int)
    best = results.ranked(frames)
    worst_first = pd.concat([frames.trials.drop(index=best.index), best.iloc[::-1]])  # the best stays
    for _, trial in worst_first.iterrows():
        config = frames.config(trial["sample"])
        if row_name not in config or column_name not in config:
            continue
        row = list(rows).index(canonical(config[row_name]))
        column = list(columns).index(canonical(config[column_name]))
        own[row, column] += pd.isna(trial["twin"])
        if trial["status"] == Status.FINISHED:
            chosen = frames.choices.get(metric, f"{metric}_mean")
            values[row, column] = float(trial[chosen]) * frames.units.scale(metric)
            texts[row][column] = formats.choice(frames, trial["sample"], metric).replace(" ", "\n", 1)
        elif not texts[row][column]:
            texts[row][column] = formats.status(trial).replace(" at epoch ", "\nat epoch ")
    several = bool((own > 1).any())
    return HeatmapInfo(row_name, column_name, [*rows.values()], [*columns.values()], values, texts, several)


def heatmap(frames: Frames) -> Iterator[Picture]:
    """The metric over each pair of grid axes."""
    for number, info in enumerate(heatmap_infos(frames), 1):
        yield _picture(frames, info, f"_{number}" if number > 1 else "")


def _picture(frames: Frames, info: HeatmapInfo, number: str) -> Picture:
    names = selection.shortened((info.row_name, info.column_name), 28)
    height = min(8.0, max(2.2, 0.62 * len(info.rows) + 1.1))
    across = len(info.columns)
    figure, axes = style.single(min(style.WIDTH, max(style.NARROW, 0.95 * across + 2.2)), height)
    texts = info.texts if across <= _MOST_TEXTS else []
    size = 8.5 if across <= 6 else 7 if across <= 10 else 5.5
    shown = style.matrix(axes, info.values, texts, fontsize=size, cmap=style.COLOUR_MAP, aspect="auto")
    for axis, name in ((axes.xaxis, info.column_name), (axes.yaxis, info.row_name)):
        cuts, values = selection.values(frames, name), selection.parameter_values(frames, name)
        axis.set_ticks(range(len(values)), [cuts[key] for key in values])
    axes.set_xlabel(names[info.column_name])
    axes.set_ylabel(textwrap.fill(names[info.row_name], max(8, int(height * 7))))
    label = textwrap.fill(selection.metric_label(frames), max(22, int(height * 10)))
    bar = figure.colorbar(shown, ax=axes, label=label, pad=0.02)
    bar.outline.set_visible(False)
    metric = frames.sweep.space.metric
    what = formats.chosen_by(frames)
    better = "brighter is better" if metric.mode == "max" else "darker is better"
    several = "where a cell has several configurations it shows the best of them" if info.several else ""
    return Picture(
        f"heatmap{number}",
        f"{what[0].upper()}{what[1:]} over {info.row_name} and {info.column_name}",
        f"Heat map of {what}: {counted(len(info.rows), 'row')} ({info.row_name}) by "
        f"{counted(across, 'column')} ({info.column_name}). {_best(frames, info)}",
        sentences(f"Mean and half-width of its 95% interval, of two seeds both values; {better}", several),
        figure,
    )


def _best(frames: Frames, info: HeatmapInfo) -> str:
    find = np.nanargmax if frames.sweep.space.metric.mode == "max" else np.nanargmin
    row, column = divmod(int(find(info.values)), len(info.columns))
    point = {info.row_name: info.rows[row], info.column_name: info.columns[column]}
    text = info.texts[row][column].replace("\n", " ")
    return f"Best: {frames.labels.point(point, point)} with {text}."
