"""The configurations of a space that are known before any trial has run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from tune_app.space.samplers import Sampler
from tune_app.space.scalars import Scalar, alike, canonical

#: The most replicates of all configurations together, and epochs: more is a typing error, and would fill
#: the memory.
LARGEST_PLAN = 1_000_000
#: The most epochs of all replicates together.
LARGEST_WORK = 1_000_000_000

Space = Mapping[str, Sampler]
Config = dict[str, Scalar]


def exists(name: str, space: Space, values: Mapping[str, Scalar]) -> bool:
    """Whether ``name`` exists beside ``values``: its conditions hold, and theirs in turn."""
    if name not in space:
        return name in values
    reached, waiting = {name}, [name]  # no recursion: conditions may form a chain of any length
    while waiting:
        for other, allowed in space[waiting.pop()].when.items():
            if other not in values or not any(alike(values[other], value) for value in allowed):
                return False
            if other in space and other not in reached:
                reached.add(other)
                waiting.append(other)
    return True


def count(space: Space, samples: int | None) -> int:
    """Return the number of combinations of the grids and draws, conditions aside."""
    return (samples or 1) * math.prod(len(s.args) for s in space.values() if s.kind == "grid")


def plan(
    space: Space,
    fixed: Mapping[str, Scalar],
    configs: Sequence[Mapping[str, Scalar]],
    algorithm: str,
    samples: int | None,
    seed: int,
) -> list[Config]:
    """Return ``configs``, then the configurations that ``algorithm`` knows in advance, all with ``fixed``."""
    planned: list[Config] = [_ordered(point, space, fixed) for point in configs]
    if algorithm == "random":
        for index in range(samples or 0):
            planned += _product(space, fixed, draw(space, seed, index))
    elif algorithm == "grid" and (space or not configs):
        known = {canonical(config) for config in planned}
        planned += [c for c in _product(space, fixed, {}) if canonical(c) not in known]
    return planned


def example(space: Space, fixed: Mapping[str, Scalar], seed: int) -> Config:
    """Return one random point of the space."""
    return next(_product(space, fixed, draw(space, seed, 0)))


def draw(space: Space, seed: int, index: int) -> Config:
    """Draw the parameters that are not grids for sample ``index`` (from 0).

    A parameter whose condition fails is drawn too, so that the other draws do not depend on it.
    """
    import numpy as np  # loaded late, for a fast `tune-app --help`

    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    return {name: sampler.draw(rng) for name, sampler in space.items() if sampler.kind != "grid"}


def _product(space: Space, fixed: Mapping[str, Scalar], drawn: Config) -> Iterator[Config]:
    """Yield each combination of the grids with ``drawn`` once, without parameters that do not exist in it."""
    seen: set[str] = set()
    axes = [sampler.args if sampler.kind == "grid" else (drawn[name],) for name, sampler in space.items()]
    for values in itertools.product(*axes):
        point = dict(zip(space, values, strict=True))
        beside = {**fixed, **point}
        config = _ordered({name: point[name] for name in space if exists(name, space, beside)}, space, fixed)
        if (key := canonical(config)) not in seen:
            seen.add(key)
            yield config


def _ordered(point: Mapping[str, Scalar], space: Space, fixed: Mapping[str, Scalar]) -> Config:
    """Order a point: parameters of the space, then the point's other ones, then ``fixed``."""
    names = [*(name for name in space if name in point), *(name for name in point if name not in space)]
    return {**{name: point[name] for name in names}, **fixed}
