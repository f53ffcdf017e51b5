"""Parameters whose best value is the last one tried: which way to widen, and how far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeGuard

import numpy as np

from tune_app.results import Frames
from tune_app.space import KINDS, Sampler
from tune_app.space.labels import text
from tune_app.sweep.evaluation import LARGEST

#: A value this near to an end of a range, as a share of it, is at its edge; a list needs this many values.
EDGE = 0.05
FEWEST_VALUES = 3


def at_the_edge(frames: Frames, sample: int) -> Iterator[str]:
    """A sentence for each number of a configuration that is at the edge, with a value to try beyond it."""
    space = frames.sweep.space
    for name in frames.varying:
        value = frames.sweep.history.configurations[sample].config.get(name)
        sampler = space.space.get(name)
        if not _is_number(value) or (sampler and sampler.kind == "randn"):  # a bell has no edge
            continue
        tried = _tried(frames, name, sampler)
        if max(map(abs, tried)) > LARGEST:  # steps and ratios need not be finite, nor a value any float
            continue
        if sampler and sampler.kind not in ("grid", "choice"):
            edge = _edge_of_range(float(value), sampler)
        else:
            edge = _edge_of_list(float(value), tried)
        if edge is None:
            continue
        higher, beyond = edge
        if all(float(each).is_integer() for each in tried):
            beyond = max(round(beyond), 1 if tried[0] >= 1 else 0)
        beyond = float(f"{beyond:.2g}") if isinstance(beyond, float) else beyond
        side, bound, outside = (
            ("upper", "up", beyond > tried[-1]) if higher else ("lower", "down", beyond < tried[0])
        )
        if outside:
            yield (
                f"{name} {frames.labels.value(name, value)} is at the {side} edge of what was tried: "
                f"try {bound} to {text(beyond)}"
            )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tried(frames: Frames, name: str, sampler: Sampler | None) -> list[int | float]:
    """The numbers that a parameter has had, or could have had, upwards."""
    seen = [c.config.get(name) for c in frames.sweep.history.configurations.values()]
    offered = sampler.extremes() if sampler else ()
    return sorted({value for value in (*seen, *offered) if _is_number(value)})


def _edge_of_range(value: float, sampler: Sampler) -> tuple[bool, float] | None:
    """Whether a value is at the upper end (True) or the lower (False), and a value beyond; None inside."""
    low, high = (float(end) for end in sampler.extremes())  # type: ignore[arg-type]
    log = KINDS[sampler.kind].log
    place = [math.log(each) if log else each for each in (low, value, high)]
    if place[2] <= place[0]:
        return None
    share = (place[1] - place[0]) / (place[2] - place[0])
    if share >= 1 - EDGE:
        return True, high * 10 if log else _upwards(high, high + (high - low) / 2)
    if share <= EDGE:
        return False, low / 10 if log else _downwards(low, low - (high - low) / 2)
    return None


def _edge_of_list(value: float, tried: Sequence[int | float]) -> tuple[bool, float] | None:
    """The same for one of several values: beyond lies as far as the last two are apart, or their ratio."""
    if len(tried) < FEWEST_VALUES or value not in (tried[0], tried[-1]):
        return None
    numbers = np.asarray(tried, dtype=np.float64)
    steps = np.diff(numbers)
    ratios = np.diff(np.log(numbers)) if tried[0] > 0 else np.array([])
    geometric = len(ratios) > 0 and ratios.std() / ratios.mean() < steps.std() / steps.mean()
    if value == tried[-1]:
        return True, value * math.exp(ratios[-1]) if geometric else _upwards(value, value + steps[-1])
    return False, value * math.exp(-ratios[0]) if geometric else _downwards(value, value - steps[0])


def _upwards(edge: float, beyond: float) -> float:
    """A share stays one: what lies between 0 and 1 is widened towards 1."""
    return (edge + 1) / 2 if 0 <= edge <= 1 < beyond else beyond


def _downwards(edge: float, beyond: float) -> float:
    """What is above 0 stays so: it is widened towards 0."""
    return edge / 2 if beyond <= 0 <= edge else beyond
