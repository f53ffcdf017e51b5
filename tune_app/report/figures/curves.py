"""Metrics over the epochs, training and validation: the paper's Figures 3, 4 and 6."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.stats import t

from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.report.figures.selection import Selection
from tune_app.stats.units import MetricUnits
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Configurations that are told apart in one panel; of more, the others are thin and grey.
MOST_TOLD_APART = 6

#: The most configurations with bands; with more, only the last epoch shows its interval.
MOST_BANDS = 3

#: Configurations that get a panel of their own.
MOST_PANELS = 20

_SPLITS = {"train": "training", "val": "validation"}
_NOT_METRICS = ("sample", "replicate", "epoch", "data", "data_sha256")


@dataclass(frozen=True)
class Family:
    """A quantity that is measured on several splits: the column of each, training first."""

    name: str
    columns: dict[str, str]
    units: MetricUnits

    @property
    def share(self) -> bool:
        """Whether it is shown in per cent: if all of its splits are, since they share an axis."""
        return all(map(self.units.is_share, self.columns.values()))

    @property
    def label(self) -> str:
        """Its name and unit, for an axis."""
        return f"{self.words}, %" if self.share else self.words

    @property
    def words(self) -> str:
        """Its name, for a sentence."""
        return formats.quantity(f"val_{self.name}").removeprefix("validation ").removeprefix("val_")


@dataclass(frozen=True)
class CurvesInfo:
    """Curves of the chosen configurations.

    ``means`` has the columns sample, epoch, n and, for each metric, ``<metric>`` and ``<metric>_half``: mean
    over the n replicates that have it, and half-width of its 95% t interval, NaN where n is 1, and half of
    what lies between the two where n is 2; shares in per cent. ``ends`` says in words where each metric ends.
    """

    families: list[Family]
    selection: Selection
    labels: dict[int, str]
    means: pd.DataFrame
    ends: dict[int, str]
    seeds: int

    def of(self, sample: int) -> pd.DataFrame:
        """The curves of one configuration."""
        return self.means[self.means["sample"] == sample]


def families(frames: Frames, most: int = 3) -> list[Family]:
    """What is worth a panel: the quantity that ranks, accuracy, loss, then whatever else fits in."""
    found: dict[str, dict[str, str]] = {}
    for column in map(str, frames.curves):
        if column in _NOT_METRICS:
            continue
        split, _, name = column.partition("_")
        known = split in _SPLITS and name
        found.setdefault(name if known else column, {})[split if known else "val"] = column
    ranks = frames.sweep.space.metric.name.removeprefix("val_").removeprefix("train_")
    first = [name for name in dict.fromkeys((ranks, "accuracy", "loss")) if name in found]
    others = [] if len(first) > 1 else [name for name in found if name not in first]
    in_order = (
        {split: found[name][split] for split in _SPLITS if split in found[name]} for name in first + others
    )
    named = zip(first + others, in_order, strict=True)
    return [Family(name, columns, frames.units) for name, columns in named][:most]


def curves_info(frames: Frames, most: int = selection.MOST) -> CurvesInfo:
    """Means and intervals over the seeds, epoch by epoch.

    Raises:
        NotDrawn: fewer than two epochs are recorded.
    """
    shown = families(frames)
    if frames.curves.empty or not shown:
        raise NotDrawn("no epoch is recorded yet")
    if frames.curves["epoch"].max() == 1:
        raise NotDrawn("one epoch is no curve")
    trained = frames.trials[frames.trials["sample"].isin(frames.curves["sample"].unique())]
    chosen = selection.choose(frames, trained, most)
    rows = frames.filled_curves[frames.filled_curves["sample"].isin(chosen.samples)]
    columns = {column: family.share for family in shown for column in family.columns.values()}
    return CurvesInfo(
        shown,
        chosen,
        selection.labels(frames, chosen.samples),
        _means(rows, columns),
        {sample: _end(frames, sample, shown[0]) for sample in chosen.samples},
        frames.sweep.space.seeds,
    )


def _means(rows: pd.DataFrame, columns: Mapping[str, bool]) -> pd.DataFrame:
    """Means and half-widths of these columns; whether each is a share, shown in per cent."""
    grouped = rows.groupby(["sample", "epoch"])
    found: dict[str, Any] = {"n": grouped.size()}
    for column, share in columns.items():
        values = grouped[column]
        count = values.count()
        factor = 100.0 if share else 1.0
        found[column] = values.mean() * factor
        # of two seeds the band goes from one to the other: their standard error is half of what lies between
        quantile = np.where(count == 2, 1.0, t.ppf(0.975, (count - 1).clip(lower=1)))
        error: pd.Series[float] = values.std(ddof=1) / np.sqrt(count.clip(lower=1))  # NaN where n is 1
        found[f"{column}_half"] = error * quantile * factor
    return pd.DataFrame(found).reset_index()


def curves(frames: Frames) -> list[Picture]:
    """All configurations in the same panels: a row a quantity, training beside validation."""
    info = curves_info(frames)
    told_apart = info.selection.samples[:MOST_TOLD_APART]
    splits = [split for split in _SPLITS if any(split in family.columns for family in info.families)]
    rows = len(info.families)
    names = [info.labels[sample] for sample in told_apart]
    legend = math.ceil(len(names) / (2 if style.legend_fits(names, 2, style.WIDTH) else 1)) * 0.2 + 0.3
    with style.styled():
        figure = style.canvas(style.WIDTH, 2.35 * rows + legend)
        grid = figure.subplots(rows, len(splits), sharex=True, sharey="row", squeeze=False)
        for row, family in enumerate(info.families):
            for column, split in enumerate(splits):
                axes = grid[row, column]
                if split not in family.columns:
                    style.blank(axes)
                    continue
                _panel(axes, info, family.columns[split], told_apart)
                axes.set_title(_SPLITS[split] if row == 0 else "")
                if column == 0 or splits[column - 1] not in family.columns:
                    axes.set_ylabel(style.text_of(family.label))
                    axes.tick_params(labelleft=True)
                if all(split not in below.columns for below in info.families[row + 1 :]):
                    axes.set_xlabel("epoch")
                    axes.tick_params(labelbottom=True)
            _limit(grid[row, -1], info, family)  # the last is drawn: what the row shares has seen all of it
        style.legend(figure, grid[0, -1], "outside lower center")
    band = _band(info, bars=len(told_apart) > MOST_BANDS)
    rest = len(info.selection.samples) - len(told_apart)
    grey = f"the {rest} others are thin and grey" if rest > 0 else ""
    return [
        Picture(
            "curves",
            "Learning curves",
            _alt(info),
            sentences(f"Mean over the seeds, {band}", grey, info.selection.note),
            figure,
        )
    ]


def _panel(axes: Axes, info: CurvesInfo, column: str, told_apart: Sequence[int]) -> None:
    rest = [sample for sample in info.selection.samples if sample not in told_apart]
    apart = 0.012 * info.means["epoch"].max()  # between the bars at the end
    for place, (sample, look) in enumerate(zip(told_apart, style.looks(len(told_apart)), strict=True)):
        rows = info.of(sample)
        every = (0, max(1, len(rows) // 6))
        label = style.text_of(info.labels[sample])
        axes.plot(rows["epoch"], rows[column], **look.line(), markevery=every, zorder=3, label=label)
        if len(told_apart) <= MOST_BANDS:
            _band_of(axes, rows, column, look, 0.16)
        else:
            last = rows.iloc[-1]
            at = last["epoch"] + apart * (1 + place)
            axes.errorbar(
                [at], [last[column]], [last[f"{column}_half"]], color=look.color, capsize=1.5, linewidth=1.1
            )
    for index, sample in enumerate(rest):
        rows = info.of(sample)
        label = counted(len(rest), "other configuration") if index == 0 else ""
        axes.plot(rows["epoch"], rows[column], color="#a8a8a8", linewidth=0.7, zorder=1, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))


def _band_of(axes: Axes, rows: pd.DataFrame, column: str, look: style.Look, alpha: float) -> None:
    low, high = (rows[column] + sign * rows[f"{column}_half"] for sign in (-1, 1))
    axes.fill_between(rows["epoch"], low, high, color=look.color, alpha=alpha, linewidth=0, zorder=2)


def _limit(axes: Axes, info: CurvesInfo, family: Family) -> None:
    """Show all of the lines, and of the intervals what leaves the lines legible.

    A share ends at 0 and 100%. Anything else that spans more than a factor of 20 gets a logarithmic axis.
    """
    columns = list(family.columns.values())
    values = info.means[columns].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if family.share:
        reach = (-2.0, 102.0)
    elif low > 0 and high / low > 20:
        axes.set_yscale("log")
        reach = (low / 1.5, high * 1.5)
    else:
        room = 0.35 * (high - low) or abs(high) or 1.0
        reach = (low - room if low < 0 else max(0.0, low - room), high + room)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, reach[0]), min(top, reach[1]))
    if axes.get_yscale() == "log":
        style.log_ticks(axes.yaxis)


def panels(frames: Frames) -> list[Picture]:
    """A panel a configuration, training and validation in it; a picture a quantity."""
    info = curves_info(frames, MOST_PANELS)
    pictures = []
    for number, family in enumerate(info.families, 1):
        if len(family.columns) < 2 and len(info.families) > 1:
            continue  # nothing to set beside the validation, and `curves` has that
        # A function names its metrics as it likes, and a record may come from a stranger.
        plain = re.fullmatch(r"[\w .+=-]{1,80}", family.name)
        pictures.append(_panels(info, family, f"panels_{family.name if plain else number}"))
    return pictures


_TWO = {"train": style.Look("#D55E00", (0, (4, 1.5)), ""), "val": style.Look("#0072B2", "-", "")}


def _panels(info: CurvesInfo, family: Family, name: str) -> Picture:
    samples = info.selection.samples
    across = min(len(samples), 3 if len(samples) <= 6 else 4)
    down = math.ceil(len(samples) / across)
    height = 2.3 if across < 4 else 1.75
    with style.styled():
        figure = style.canvas(style.WIDTH, height * down + 0.5)
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(samples):
                style.blank(axes)
                continue
            rows = info.of(samples[place])
            for split, column in family.columns.items():
                look = _TWO[split]
                _band_of(axes, rows, column, look, 0.18)
                marker = "o" if len(rows) == 1 else ""  # one point is no line
                line = look.line() | {"marker": marker, "label": _SPLITS[split]}
                axes.plot(rows["epoch"], rows[column], **line)
            wide = {1: 90, 2: 46, 3: 32, 4: 27}[across]
            title = selection.wrapped(info.labels[samples[place]], wide)
            axes.set_title(style.text_of(title), fontsize=9 if across < 4 else 7.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
            if place + across >= len(samples):  # the lowest of its column
                axes.tick_params(axis="x", labelbottom=True)
        _limit(grid[0, 0], info, family)
        figure.supxlabel("epoch", fontsize=9)
        figure.supylabel(style.text_of(family.label), fontsize=9)
        style.legend(figure, grid[0, 0], "outside upper right")
    what = family.words
    return Picture(
        name,
        f"{what[0].upper()}{what[1:]} of each configuration",
        f"{_alt(info)} One panel each, with {formats.listed([_SPLITS[s] for s in family.columns])} {what}.",
        sentences(f"Mean over the seeds, {_band(info)}", info.selection.note),
        figure,
    )


def _band(info: CurvesInfo, bars: bool = False) -> str:
    if info.means["n"].max() < 2:
        return "of which there is one: an interval takes at least two"
    two = info.means["n"].max() == 2
    if two:
        return f"with {'a bar' if bars else 'a band'} from one of the two seeds to the other"
    if bars:
        return "with the 95% interval of the last epoch as a bar beside it"
    return "with the 95% interval of that mean as a band; where two bands overlap they look grey"


def _alt(info: CurvesInfo) -> str:
    number = counted(len(info.selection.samples), "configuration")
    names = formats.listed([family.words for family in info.families])
    over = counted(int(info.means["epoch"].max()), "epoch")
    first = info.selection.samples[0]
    return (
        f"Line charts of {names} over {over}, of {number}. {info.labels[first]} ends at {info.ends[first]}."
    )


def _end(frames: Frames, sample: int, family: Family) -> str:
    """The last value of a configuration's curve, in words."""
    own = frames.curves[frames.curves["sample"] == sample]
    column = next(iter(reversed(family.columns.values())))
    last = own.loc[own["epoch"] == own["epoch"].max(), column].dropna()
    return f"{column} {frames.units.measure(column, last.tolist(), unit=True)}"
