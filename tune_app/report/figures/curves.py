"""Metrics over the epochs, training and validation: the paper's Figures 3, 4 and 6."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import t

from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.stats.units import MetricUnits, parted
from tune_app.status import FAULTY, Status
from tune_app.text import counted, slugs

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Configurations that are told apart in one panel; of more, the others are thin and grey.
MOST_TOLD_APART = 6

#: The most configurations with bands; with more, only the last epoch shows its interval.
MOST_BANDS = 3

#: Configurations that get a panel of their own.
MOST_PANELS = 20

_SPLITS = {"train": "training", "val": "validation"}
_EARLY = FAULTY | {Status.STOPPED}
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
        return style.legible(f"{self.words}, %" if self.share else self.words)

    @property
    def words(self) -> str:
        """Its name, for a sentence."""
        return formats.quantity(f"val_{self.name}").removeprefix("validation ").removeprefix("val_")


@dataclass(frozen=True)
class CurvesInfo:
    """Curves of the chosen configurations, in the order of ``labels``; ``note`` says which they are.

    ``means`` has the columns sample, epoch, n and, for each metric, ``<metric>`` and ``<metric>_half``: mean
    over the n replicates that have it, and half-width of its 95% t interval, NaN where n is 1, and half of
    what lies between the two where n is 2; shares in per cent.
    """

    families: list[Family]
    labels: dict[int, str]
    note: str
    means: pd.DataFrame
    alt: str

    def of(self, sample: int) -> pd.DataFrame:
        """The curves of one configuration."""
        return self.means[self.means["sample"] == sample]


def families(frames: Frames, most: int = 3) -> list[Family]:
    """What is worth a panel: the quantity that ranks, accuracy, loss, then whatever else fits in."""
    found: dict[str, dict[str, str]] = {}
    for column in map(str, frames.curves):
        split, _, name = parted(column)
        known = split in _SPLITS and name and split not in found.get(name, {})
        if column not in _NOT_METRICS:
            found.setdefault(name if known else column, {})[split if known else "val"] = column
    ranks = next((name for name in found if frames.sweep.space.metric.name in found[name].values()), "")
    first = [name for name in dict.fromkeys((ranks, "accuracy", "loss")) if name in found]
    others = [] if len(first) > 1 else [name for name in found if name not in first]
    return [
        Family(name, {split: found[name][split] for split in _SPLITS if split in found[name]}, frames.units)
        for name in [*first, *others][:most]
    ]


def curves_info(frames: Frames, most: int = selection.MOST) -> CurvesInfo:
    """Means and intervals over the seeds, epoch by epoch.

    Raises:
        NotDrawn: fewer than two epochs are recorded.
    """
    shown = families(frames)
    if frames.curves.empty or not shown:
        raise NotDrawn("no epoch is recorded yet")
    if frames.curves["epoch"].max() == 1:
        raise NotDrawn("one epoch gives no curve")
    trained = frames.trials[frames.trials["sample"].isin(frames.curves["sample"].unique())]
    chosen = selection.choose(frames, trained, most)
    labels = selection.labels(frames, chosen.samples)
    rows = frames.filled_curves[frames.filled_curves["sample"].isin(chosen.samples)]
    means = _means(rows, {column: family.share for family in shown for column in family.columns.values()})
    first, column = chosen.samples[0], [*shown[0].columns.values()][-1]
    own = frames.curves[frames.curves["sample"] == first]
    last = own.loc[own["epoch"] == own["epoch"].max(), column].dropna().tolist()
    alt = (
        f"Line charts of {formats.listed([family.words for family in shown])} over "
        f"{counted(int(means['epoch'].max()), 'epoch')}, of {counted(len(labels), 'configuration')}. "
        f"{labels[first]} ends at {column} {frames.units.measure(column, last, unit=True)}."
    )
    return CurvesInfo(shown, labels, chosen.note, means, alt)


def _means(rows: pd.DataFrame, columns: Mapping[str, bool]) -> pd.DataFrame:
    """Means and half-widths of these columns; whether each is a share, shown in per cent."""
    grouped = rows.groupby(["sample", "epoch"])
    found: dict[str, Any] = {"n": grouped.size()}
    for column, share in columns.items():
        values, factor = grouped[column], 100.0 if share else 1.0
        count = values.count()
        # of two seeds the band goes from one to the other: their standard error is half of what lies between
        quantile = np.where(count == 2, 1.0, t.ppf(0.975, (count - 1).clip(lower=1)))
        error: pd.Series[float] = values.std(ddof=1) / np.sqrt(count.clip(lower=1))  # NaN where n is 1
        found[column] = values.mean() * factor
        found[f"{column}_half"] = error * quantile * factor
    return pd.DataFrame(found).reset_index()


def curves(frames: Frames) -> Iterator[Picture]:
    """All configurations in the same panels: a row a quantity, training beside validation."""
    info = curves_info(frames)
    ended_early = _ended_early(frames, info)
    told_apart = [sample for sample in info.labels if sample not in ended_early] or [*info.labels]
    told_apart = told_apart[:MOST_TOLD_APART]
    splits = [split for split in _SPLITS if any(split in family.columns for family in info.families)]
    rows = len(info.families)
    columns = style.legend_columns([info.labels[sample] for sample in told_apart])
    figure = style.canvas(style.WIDTH, 2.35 * rows + math.ceil(len(told_apart) / columns) * 0.2 + 0.3)
    grid = figure.subplots(rows, len(splits), sharex=True, sharey="row", squeeze=False)
    for (row, column), axes in np.ndenumerate(grid):
        family, split = info.families[row], splits[column]
        if split not in family.columns:
            axes.set_axis_off()
            continue
        _panel(axes, info, family.columns[split], told_apart)
        axes.set_title(_SPLITS[split] if row == 0 else "")
        if column == 0 or splits[0] not in family.columns:
            axes.set_ylabel(family.label)
            axes.tick_params(labelleft=True)
        if all(split not in below.columns for below in info.families[row + 1 :]):
            axes.set_xlabel("epoch")
            axes.tick_params(labelbottom=True)
    for family, last in zip(info.families, grid[:, -1], strict=True):
        _limit(last, info, family)
    style.legend(figure, grid[0, -1], "outside lower center")
    rest = len(info.labels) - len(told_apart)
    among = ended_early and f", among them {_counts(ended_early)}"
    grey = rest > 0 and f"the {rest} others are thin and grey{among or ''}"
    band = _band(info, bars=len(told_apart) > MOST_BANDS)
    caption = sentences(f"Mean over the seeds, {band}", grey, info.note)
    yield Picture("curves", "Learning curves", info.alt, caption, figure)


def _ended_early(frames: Frames, info: CurvesInfo) -> dict[int, str]:
    """The status of each configuration that was stopped, failed or diverged."""
    status = frames.trials.set_index("sample")["status"]
    return {sample: status[sample] for sample in info.labels if status[sample] in _EARLY}


def _counts(ended_early: Mapping[int, str]) -> str:
    return formats.listed([f"{number} {state}" for state, number in Counter(ended_early.values()).items()])


def _panel(axes: Axes, info: CurvesInfo, column: str, told_apart: Sequence[int]) -> None:
    apart = 0.012 * info.means["epoch"].max()  # between the bars at the end
    for place, (sample, look) in enumerate(zip(told_apart, style.looks(len(told_apart)), strict=True), 1):
        rows = info.of(sample)
        every = (0, max(1, len(rows) // 6))
        axes.plot(rows["epoch"], rows[column], **look, markevery=every, zorder=3, label=info.labels[sample])
        if len(told_apart) <= MOST_BANDS:
            _draw_band(axes, rows, column, look["color"])
        else:
            at, value, half = rows.iloc[-1][["epoch", column, f"{column}_half"]]
            axes.errorbar(at + apart * place, value, half, color=look["color"], capsize=1.5, linewidth=1.1)
    rest = [sample for sample in info.labels if sample not in told_apart]
    for index, sample in enumerate(rest):
        rows = info.of(sample)
        label = "" if index else counted(len(rest), "other configuration")
        axes.plot(rows["epoch"], rows[column], color=style.FAINT, linewidth=0.7, zorder=1, label=label)
    style.whole_numbers(axes.xaxis, 6)


def _draw_band(axes: Axes, rows: pd.DataFrame, column: str, color: str) -> None:
    low, high = (rows[column] + sign * rows[f"{column}_half"] for sign in (-1, 1))
    axes.fill_between(rows["epoch"], low, high, color=color, alpha=0.17, linewidth=0, zorder=2)


def _limit(axes: Axes, info: CurvesInfo, family: Family) -> None:
    """Show all of the lines, and of the intervals what leaves the lines legible."""
    style.fit(axes.yaxis, info.means[list(family.columns.values())].to_numpy(float).ravel(), family.share)


def panels(frames: Frames) -> Iterator[Picture]:
    """A panel a configuration, training and validation in it; a picture a quantity."""
    info = curves_info(frames, MOST_PANELS)
    early = _ended_early(frames, info)
    names = slugs(family.name for family in info.families)
    shown = [each for each in info.families if len(each.columns) == 2 or len(info.families) == 1]
    if not shown:
        raise NotDrawn(
            "no metric has both training and validation values; the figure curves shows every metric"
        )
    for family in shown:
        yield _panels(info, family, early, f"panels_{names[family.name]}")


_TWO: dict[str, dict[str, Any]] = {
    "train": {"color": style.ORANGE, "linestyle": (0, (4, 1.5))},
    "val": {"color": style.BLUE, "linestyle": "-"},
}


def _panels(info: CurvesInfo, family: Family, early: Mapping[int, str], name: str) -> Picture:
    count = len(info.labels)
    across = min(count, 3 if count <= 6 else 4)
    down = math.ceil(count / across)
    small = across == 4
    figure = style.canvas(style.WIDTH, (1.75 if small else 2.3) * down + 0.5)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for place, (axes, (sample, label)) in enumerate(zip(grid.flat, info.labels.items(), strict=False)):
        rows = info.of(sample)
        for split, column in family.columns.items():
            _draw_band(axes, rows, column, _TWO[split]["color"])
            marker = "o" if len(rows) == 1 else ""  # one point is no line
            axes.plot(rows["epoch"], rows[column], **_TWO[split], marker=marker, label=_SPLITS[split])
        title = selection.wrapped(label, {1: 80, 2: 40, 3: 26, 4: 24}[across])
        grey = {"color": style.GREY} if sample in early else {}
        axes.set_title(title, fontsize=7.5 if small else 9, **grey)
        style.whole_numbers(axes.xaxis, 5)
        if place + across >= count:  # the lowest of its column
            axes.tick_params(axis="x", labelbottom=True)
    _limit(grid[0, 0], info, family)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(family.label, fontsize=9)
    style.legend(figure, grid[0, 0], "outside upper right")
    what = family.words
    return Picture(
        name,
        f"{what[0].upper()}{what[1:]} of each configuration",
        f"{info.alt} One panel each, with {formats.listed([_SPLITS[s] for s in family.columns])} {what}.",
        sentences(
            f"Mean over the seeds, {_band(info)}", bool(early) and f"grey titles: {_counts(early)}", info.note
        ),
        figure,
    )


def _band(info: CurvesInfo, bars: bool = False) -> str:
    seeds = info.means["n"].max()
    if seeds < 2:
        return "one seed each; an interval needs at least two"
    if seeds == 2:
        return f"with {'a bar' if bars else 'a band'} from one of the two seeds to the other"
    if bars:
        return "with the 95% interval of the last epoch as a bar beside it"
    return "with its 95% interval as a band; overlapping bands look grey"
