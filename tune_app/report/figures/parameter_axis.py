"""Where the values of a parameter stand on an axis, and what is written beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator

from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn
from tune_app.search.conversion import spanning
from tune_app.space import Config, canonical
from tune_app.space.labels import text
from tune_app.stats.units import NOTHING

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Parameters that get a place in a figure.
MOST_PARAMETERS = 8

#: The most listed numbers that are labels themselves, and the least share of the axis between two.
_FEW_VALUES, _APART = 6, 0.08

#: A configuration without the parameter stands below the others, by this share of the axis.
_GAP = 0.15


def parameter_axes(frames: Frames) -> tuple[list[ParameterAxis], str]:
    """The axes of the parameters that get a place, of those that differ between what was started."""
    started = frames.trials["status"].isin(selection.MARKS)
    configs = [frames.config(sample) for sample in frames.trials.loc[started, "sample"]]
    varying = [
        name
        for name in frames.varying
        if len({canonical(config[name]) if name in config else "" for config in configs}) > 1
    ]
    if not varying:
        raise NotDrawn("no parameter varies between the configurations that were started")
    shown = varying[:MOST_PARAMETERS]
    note = f"the first {len(shown)} of {len(varying)} parameters" if len(shown) < len(varying) else ""
    labels = selection.shortened(shown, 24)
    return [parameter_axis(frames, name, labels[name]) for name in shown], note


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
            axis.axes.set(**{f"{style.letter(axis)}scale": "log"})
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
