"""The configurations of a space that are known before any trial has run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tune_app.space.samplers import Sampler
from tune_app.space.scalars import Value, alike, canonical

if TYPE_CHECKING:
    from tune_app.space.model import SearchSpace

Point = dict[str, Value]


def needed(name: str, space: Mapping[str, Sampler]) -> Iterator[str]:
    """Yield ``name`` and each parameter that its existence depends on, through any number of conditions."""
    reached, found = {name}, [name]
    for each in found:  # it grows as it is read
        yield each
        new = [other for other in (space[each].when if each in space else ()) if other not in reached]
        reached.update(new)
        found += new


def exists(name: str, space: Mapping[str, Sampler], values: Mapping[str, Value]) -> bool:
    """Whether ``name`` exists beside ``values``: its conditions hold, and theirs in turn."""
    if name not in space:
        return name in values
    conditions = (space[each].when.items() for each in needed(name, space) if each in space)
    return all(
        other in values and any(alike(values[other], value) for value in allowed)
        for other, allowed in itertools.chain.from_iterable(conditions)
    )


def plan(space: SearchSpace) -> list[Point]:
    """Return ``configs``, then the configurations that the algorithm knows in advance, all with ``fixed``."""
    planned = [_ordered(point, space) for point in space.configs]
    if space.search.algorithm == "random":
        for index in range(space.search.samples or 0):
            planned += _product(space, _draw(space, index))
    elif space.search.algorithm == "grid" and (space.space or not space.configs):
        known = {canonical(config) for config in planned}
        planned += [config for config in _product(space, {}) if canonical(config) not in known]
    return planned


def example(space: SearchSpace) -> Point:
    """Return one random point of the space."""
    return next(_product(space, _draw(space, 0)))


def _draw(space: SearchSpace, index: int) -> Point:
    """Draw the parameters that are not grids for sample ``index`` (from 0).

    A parameter whose condition fails is drawn too, so that the other draws do not depend on it.
    """
    import numpy as np  # loaded late, for a fast `tune-app --help`

    rng = np.random.default_rng(np.random.SeedSequence(space.seed, spawn_key=(index,)))
    return {name: sampler.draw(rng) for name, sampler in space.space.items() if sampler.kind != "grid"}


def _product(space: SearchSpace, drawn: Point) -> Iterator[Point]:
    """Yield each combination of the grids with ``drawn`` once, without parameters that do not exist in it."""
    seen: set[str] = set()
    samplers = space.space
    axes = [each.args if each.kind == "grid" else (drawn[name],) for name, each in samplers.items()]
    for values in itertools.product(*axes):
        point = dict(zip(samplers, values, strict=True))
        beside = {**space.fixed, **point}
        config = _ordered({name: point[name] for name in samplers if exists(name, samplers, beside)}, space)
        if (key := canonical(config)) not in seen:
            seen.add(key)
            yield config


def _ordered(point: Mapping[str, Value], space: SearchSpace) -> Point:
    """Order a point: parameters of the space, its other ones, then ``fixed``, whose values it may replace."""
    own = {name: point[name] for name in space.space if name in point}
    others = {name: value for name, value in point.items() if name not in space.fixed}
    return {**own, **others, **space.fixed, **{name: point[name] for name in space.fixed if name in point}}
