"""Where configurations wait for each other: who was promoted at each rung, who not, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from tune_app.report import formats, settings
from tune_app.report.render import Column, Table
from tune_app.stats.units import DIGITS, NOTHING
from tune_app.sweep.rung_states import rung_states

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class AtRung:
    """A configuration at a rung, which is an epoch: what became of it there, and what the rung ranked it by.

    ``distance`` is by how much it is better than the worst one that was promoted there, negative if worse;
    None where nobody was promoted yet, or it has no value.
    """

    sample: int
    rung: int
    outcome: str
    value: float | None
    distance: float | None


def standings(frames: Frames) -> Iterator[AtRung]:
    """Everyone who has come to a rung, rung by rung."""
    space, history = frames.sweep.space, frames.sweep.history
    sign = space.stop_metric.sign
    for rung in rung_states(space, history):
        last = min((sign * value for value in rung.promoted.values() if value is not None), default=None)
        outcomes = {"promoted": rung.promoted, "paused": rung.paused, "stopped": rung.stopped}
        for outcome, found in outcomes.items():
            for sample, value in found.items():
                distance = None if value is None or last is None else sign * value - last
                yield AtRung(sample, rung.epoch, outcome, value, distance)


def signed(frames: Frames, distance: float) -> str:
    """A distance as text, in points where the metric is shown in per cent."""
    name = frames.sweep.space.stop_metric.name
    number = frames.units.number(name, abs(distance), 2 if frames.units.is_share(name) else DIGITS)
    return f"{'+' if distance > 0 else '−'}{number}" if distance else "0"


def unit(frames: Frames) -> str:
    """What a rung ranks by, and the unit of a distance."""
    name = frames.sweep.space.stop_metric.name
    return f"{formats.quantity(name)}{', points' if frames.units.is_share(name) else ''}"


def rung_table(frames: Frames) -> Table | None:
    """Each configuration that has come to a rung, those that went furthest first; None where there is none.

    The CSV has a row for each of their rungs.
    """
    found = list(standings(frames))
    if not found:
        return None
    at = {(each.sample, each.rung): each for each in found}
    furthest = {each.sample: each for each in found}
    order = sorted(furthest.values(), key=lambda each: (-each.rung, -_or_worst(each.distance), each.sample))

    def parameter(name: str) -> Column[int]:
        return Column(
            "", lambda sample: formats.value(frames, sample, name), name, align=formats.align(frames, name)
        )

    def distance(rung: int) -> Column[int]:
        return Column("", lambda sample: _distance(frames, at.get((sample, rung))), f"epoch {rung}")

    columns: list[Column[int]] = [
        Column("", lambda sample: sample, "sample"),
        *map(parameter, frames.varying),
        *map(distance, dict.fromkeys(each.rung for each in found)),
        Column("", lambda sample: formats.status(frames.row(sample)), "status", align="l"),
    ]
    about = [
        *settings.about(frames, beside=frames.varying),
        "Better (+) or worse (−) than the worst one that was promoted at a rung, by "
        f"{unit(frames)}; those that went furthest come first",
    ]
    samples = [each.sample for each in order]
    made = Table.of("rungs", f"Rungs of {frames.sweep.name}", columns, samples, about)
    return replace(made, frame=pd.DataFrame(list(map(vars, found))).assign(**frames.identity))


def _or_worst(distance: float | None) -> float:
    return -math.inf if distance is None else distance


def _distance(frames: Frames, standing: AtRung | None) -> str:
    return NOTHING if standing is None or standing.distance is None else signed(frames, standing.distance)
