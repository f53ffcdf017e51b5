"""Two parameters of a grid against each other: the metric in every cell."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tune_app import results
from tune_app.report import formats
from tune_app.report.figures import optuna_input, selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.space import Scalar, canonical
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: The most pairs of axes that get a picture, and the most cells along an axis.
MOST_PAIRS, MOST_VALUES = 3, 24


@dataclass(frozen=True)
class HeatmapInfo:
    """A metric over two axes: ``values`` (rows, columns) in per cent for a share, NaN where there is none.

    ``texts`` say what stands in each cell, (rows, columns): mean and half-width, or a status. ``several``
    tells whether a cell may stand for several configurations, of which it shows the best.
    """

    metric: str
    row_name: str
    column_name: str
    rows: list[Scalar]
    columns: list[Scalar]
    values: NDArray[np.float64]
    texts: list[list[str]]
    several: bool


def heatmap_infos(frames: Frames) -> list[HeatmapInfo]:
    """One for each pair of the parameters that form a grid, in the order of the space.

    Raises:
        NotDrawn: fewer than two such parameters, or nothing has finished.
    """
    axes = [name for name in frames.varying if 2 <= len(_values(frames, name)) <= MOST_VALUES]
    gridded = frames.sweep.space.space
    axes = [name for name in axes if name not in gridded or gridded[name].kind in ("grid", "choice")]
    pairs = [pair for pair in combinations(axes, 2) if _covers(frames, *pair)]
    if not pairs:
        raise NotDrawn("takes two parameters that form a grid")
    if results.ranked(frames).empty:
        raise NotDrawn("no configuration has finished")
    return [_info(frames, *pair) for pair in pairs[:MOST_PAIRS]]


def _values(frames: Frames, name: str) -> list[Scalar]:
    """The values of a parameter, numbers upwards, then the rest as they came."""
    found = optuna_input.parameter_values(frames, name)
    return sorted(found, key=lambda v: (0, v) if _is_number(v) else (1, 0))


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _covers(frames: Frames, one: str, other: str) -> bool:
    """Whether at least half of the cells of these two axes have a configuration."""
    configs = map(frames.config, frames.trials["sample"])
    cells = {(canonical(c[one]), canonical(c[other])) for c in configs if one in c and other in c}
    return 2 * len(cells) >= len(_values(frames, one)) * len(_values(frames, other))


def _info(frames: Frames, one: str, other: str) -> HeatmapInfo:
    # the longer axis goes across, where there is more room
    row_name, column_name = (
        (one, other) if len(_values(frames, one)) <= len(_values(frames, other)) else (other, one)
    )
    rows, columns = _values(frames, row_name), _values(frames, column_name)
    metric = frames.sweep.space.metric.name
    values = np.full((len(rows), len(columns)), np.nan)
    texts = [["" for _ in columns] for _ in rows]
    row_at = {canonical(value): i for i, value in enumerate(rows)}
    column_at = {canonical(value): i for i, value in enumerate(columns)}
    filled: dict[tuple[int, int], int] = {}
    for _, trial in _worst_first(frames).iterrows():
        config = frames.config(trial["sample"])
        if row_name not in config or column_name not in config:
            continue
        row, column = row_at[canonical(config[row_name])], column_at[canonical(config[column_name])]
        if pd.isna(trial["twin"]):
            filled[row, column] = filled.get((row, column), 0) + 1
        if trial["status"] == Status.FINISHED:
            values[row, column] = float(trial[f"{metric}_mean"]) * frames.units.scale(metric)
            mean, _, rest = formats.measure(frames, trial["sample"], metric).partition(" ")
            texts[row][column] = f"{mean}\n{rest}".strip()
        elif not texts[row][column]:
            texts[row][column] = formats.status(trial).replace(" at epoch ", "\nat epoch ")
    several = any(number > 1 for number in filled.values())
    return HeatmapInfo(metric, row_name, column_name, rows, columns, values, texts, several)


def _worst_first(frames: Frames) -> pd.DataFrame:
    """Every trial, the best last: of several in a cell it is the one that stays."""
    best = results.ranked(frames)
    return pd.concat([frames.trials.drop(index=best.index), best.iloc[::-1]])


def heatmap(frames: Frames) -> list[Picture]:
    """The metric over each pair of grid axes."""
    infos = heatmap_infos(frames)
    return [_picture(frames, info, "" if i == 0 else f"_{i + 1}") for i, info in enumerate(infos)]


def _picture(frames: Frames, info: HeatmapInfo, number: str) -> Picture:
    label = formats.metric(frames.units, info.metric)
    names = selection.shortened((info.row_name, info.column_name), 28)
    with style.styled():
        height = min(8.0, max(2.2, 0.62 * len(info.rows) + 1.1))
        figure = style.canvas(min(style.WIDTH, max(4.0, 0.95 * len(info.columns) + 2.2)), height)
        axes = figure.subplots()
        axes.grid(visible=False)
        shown = axes.imshow(np.ma.masked_invalid(info.values), cmap=style.COLOUR_MAP, aspect="auto")
        across, down = (
            [style.text_of(selection.values(frames, name)[canonical(value)]) for value in values]
            for name, values in ((info.column_name, info.columns), (info.row_name, info.rows))
        )
        axes.set_xticks(range(len(across)), across)
        axes.set_yticks(range(len(down)), down)
        if max(map(len, across)) * len(across) > 75:
            axes.tick_params(axis="x", rotation=45)
        axes.set_xlabel(style.text_of(names[info.column_name]))
        axes.set_ylabel(style.text_of(textwrap.fill(names[info.row_name], max(8, int(height * 7)))))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _cells(axes, info, shown)
        bar = figure.colorbar(shown, ax=axes, label=style.text_of(label), pad=0.02)
        bar.outline.set_visible(False)
    what = formats.quantity(info.metric)
    better = "brighter is better" if frames.sweep.space.metric.mode == "max" else "darker is better"
    several = "where a cell has several configurations it shows the best of them" if info.several else ""
    return Picture(
        f"heatmap{number}",
        f"{what[0].upper()}{what[1:]} over {info.row_name} and {info.column_name}",
        f"Heat map of {what}: {counted(len(info.rows), 'row')} ({info.row_name}) by "
        f"{counted(len(info.columns), 'column')} ({info.column_name}). {_extremes(frames, info)}",
        sentences(f"Mean and half-width of its 95% interval, of two seeds both values; {better}", several),
        figure,
    )


def _cells(axes: Axes, info: HeatmapInfo, shown: Any) -> None:
    size = 8.5 if len(info.columns) <= 6 else 7 if len(info.columns) <= 10 else 5.5
    if len(info.columns) > 14:
        return
    for row, texts in enumerate(info.texts):
        for column, text in enumerate(texts):
            value = info.values[row, column]
            if np.isnan(value):
                axes.add_patch(
                    Rectangle(
                        (column - 0.5, row - 0.5),
                        1,
                        1,
                        fill=False,
                        hatch="////",
                        edgecolor="#bbbbbb",
                        linewidth=0,
                    )
                )
            bright = not np.isnan(value) and sum(shown.cmap(shown.norm(value))[:3]) < 1.45
            box = (
                {"facecolor": "white", "edgecolor": "none", "pad": 1.5} if np.isnan(value) and text else None
            )
            axes.text(
                column,
                row,
                style.text_of(text),
                ha="center",
                va="center",
                fontsize=size,
                color="white" if bright else style.INK,
                bbox=box,
            )


def _extremes(frames: Frames, info: HeatmapInfo) -> str:
    best = np.nanargmax(info.values) if frames.sweep.space.metric.mode == "max" else np.nanargmin(info.values)
    row, column = divmod(int(best), len(info.columns))
    text = info.texts[row][column].replace("\n", " ")
    where: Iterator[str] = (
        f"{name} {frames.labels.value(name, value)}"
        for name, value in ((info.row_name, info.rows[row]), (info.column_name, info.columns[column]))
    )
    return f"Best: {', '.join(where)} with {text}."
