"""The rules that span several keys of a search-space file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tune_app.errors import nearest
from tune_app.space.planning import LARGEST_PLAN, count, exists
from tune_app.space.problems import RuleError
from tune_app.space.reader import Path
from tune_app.space.samplers import KINDS
from tune_app.space.scalars import Scalar, alike, canonical, show

if TYPE_CHECKING:
    from tune_app.space.model import SearchSpace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_COLUMNS = "sample replicate status epoch epochs evaluated test_looks n n_diverged duration_s device twin"
#: Optuna's samplers that know what to do with several metrics.
SEVERAL_METRICS = ("tpe", "nsga2", "random", "qmc")
COLUMNS = frozenset([*_COLUMNS.split(), "data", "data_sha256"])


def broken(space: SearchSpace) -> list[RuleError]:
    """Return the rules that ``space`` breaks."""
    conditions = list(_conditions(space))
    points = [] if conditions else list(_points(space))  # which points are whole hangs on sound conditions
    return [*_names(space), *_metrics(space), *_searchable(space), *conditions, *points, *_stopping(space)]


def _names(space: SearchSpace) -> Iterator[RuleError]:
    places: list[tuple[Path, Mapping[str, Any]]] = [(("space",), space.space), (("fixed",), space.fixed)]
    places += [(("configs", index), point) for index, point in enumerate(space.configs)]
    for path, names in places:
        for name in names:
            if not NAME.fullmatch(name):
                rule = "a parameter's name is letters, digits and _, and starts with no digit"
                yield RuleError(f"{show(name)} cannot be a name: {rule}", path, (name,), on_key=True)
            elif name in COLUMNS:
                rule = "is a column of every results table"
                yield RuleError(
                    f'"{name}" {rule}: give the parameter another name', path, (name,), on_key=True
                )
    for name in space.fixed:
        if name in space.space:
            rule = "is in space too: a parameter is searched or fixed, so remove it from one"
            yield RuleError(rule, ("fixed", name), on_key=True)


def _metrics(space: SearchSpace) -> Iterator[RuleError]:
    names = [metric.name for metric in space.metrics]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield RuleError(f'"{name}" is in this list twice: keep one', ("metric", index, "name"))
    if len(names) > 1 and space.search.sampler not in (None, *SEVERAL_METRICS):
        known = f"{', '.join(SEVERAL_METRICS[:-1])} or {SEVERAL_METRICS[-1]}"
        rule = f"several metrics are searched by {known}, and this is {space.search.sampler}"
        mend = "use one of those, or name one metric"
        yield RuleError(f"{rule}: {mend}", ("search", "sampler"))
    if space.stop.metric is not None and space.stop.metric not in names:
        rule = f'"{space.stop.metric}" is not among the metrics of this space'
        mend = nearest(space.stop.metric, names) or f" They are {', '.join(names)}."
        yield RuleError(f"{rule}.{mend}", ("stop", "metric"))


def _searchable(space: SearchSpace) -> Iterator[RuleError]:
    algorithm = space.search.algorithm
    for name, sampler in space.space.items():
        path, kind = ("space", name), sampler.kind
        if algorithm == "grid" and kind != "grid":
            mend = "add search: {algorithm: random, samples: 50}, or write {grid: [...]}"
            yield RuleError(
                f"{kind} is drawn from, and this search tries grids alone: {mend}", path, (kind,), True
            )
        if algorithm == "optuna" and kind == "grid":
            mend = f"write {{choice: {show(sampler.args)}}}"
            yield RuleError(f"optuna suggests values, and a grid wants them all: {mend}", path, (kind,), True)
        if algorithm == "optuna" and kind in ("randn", "qloguniform"):
            mend = kind.replace("randn", "uniform").removeprefix("q")
            yield RuleError(f"optuna has no {kind}: use {mend}", path, (kind,), True)
    if algorithm == "optuna" and not space.space:
        yield RuleError("optuna has nothing to search: space is empty", ("search", "algorithm"))
    if algorithm == "random" and all(sampler.kind == "grid" for sampler in space.space.values()):
        rule = "nothing in space is drawn at random, so every sample would be the same: leave search out"
        yield RuleError(rule, ("search", "algorithm"))
    if count(space.space, space.search.samples if algorithm == "random" else 1) > LARGEST_PLAN:
        rule = f"more than {LARGEST_PLAN:,} configurations: take fewer values, or draw samples of them"
        yield RuleError(rule, ("space",))


def _conditions(space: SearchSpace) -> Iterator[RuleError]:
    for name, sampler in space.space.items():
        for other, values in sampler.when.items():
            spot = ("when", other)
            if other not in space.space and other not in space.fixed:
                guess = nearest(other, [*space.space, *space.fixed]) or " Define it in space: or fixed:."
                yield RuleError(
                    f'when: no parameter is called "{other}".{guess}', ("space", name), spot, True
                )
            elif _leads_to(space, other, name):
                circle = (
                    "itself" if other == name else f"{other}, and {other}, directly or not, beside {name}"
                )
                rule = f"when: {name} exists only beside {circle}: remove this condition"
                yield RuleError(rule, ("space", name), spot, True)
            else:
                yield from _possible(space, name, other, values)


def _leads_to(space: SearchSpace, start: str, goal: str) -> bool:
    """Whether the existence of ``start`` hangs on ``goal``, through any number of conditions."""
    reached, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in reached and name in space.space:
            waiting += space.space[name].when
        reached.add(name)
    return False


def _possible(space: SearchSpace, name: str, other: str, values: tuple[Scalar, ...]) -> Iterator[RuleError]:
    path, spot = ("space", name), ("when", other)
    if other in space.fixed:
        if not any(alike(value, space.fixed[other]) for value in values):
            rule = f"{other} is fixed at {show(space.fixed[other])}, so {name} would never exist"
            yield RuleError(f"when: {rule}: write that value, or remove {name}", path, spot)
        return
    sampler = space.space[other]
    if not KINDS[sampler.kind].listed:
        rule = f"{other} is drawn from a continuous range ({sampler.kind}), and is never exactly a value"
        yield RuleError(f"when: {rule}: make {other} a grid or a choice", path, spot, on_key=True)
        return
    for value in values:
        if not sampler.can_be(value):
            wants = show({sampler.kind: list(sampler.args)})
            yield RuleError(f"when: {other} is never {show(value)}: it is one of {wants}", path, spot)


def _points(space: SearchSpace) -> Iterator[RuleError]:
    seen: dict[str, int] = {}
    for index, point in enumerate(space.configs):
        path: Path = ("configs", index)
        for name in point:
            if name in space.fixed:
                rule = f"is fixed at {show(space.fixed[name])} for all: remove it here, or from fixed:"
                yield RuleError(rule, (*path, name), on_key=True)
        if (earlier := seen.setdefault(canonical(point), index)) != index:
            yield RuleError(f"the same point as configs[{earlier}]: keep one", path)
        for name, sampler in space.space.items():
            there = exists(name, space.space, {**space.fixed, **point})
            if there and name not in point:
                rule = "an exact point names every parameter of space that exists beside its others"
                yield RuleError(f"{name} is missing: {rule}", path)
            if name in point and not there:
                needs = " and ".join(f"{o} is {' or '.join(map(show, v))}" for o, v in sampler.when.items())
                yield RuleError(f"exists only where {needs}: remove it here", (*path, name), on_key=True)


def _stopping(space: SearchSpace) -> Iterator[RuleError]:
    stop, epochs = space.stop, space.epochs
    grace, unreachable = stop.grace_period, "a rung that no trial can reach"
    if stop.scheduler != "none" and grace >= epochs:
        rule = f"{unreachable}: {grace} is not below epochs, {epochs}"
        yield RuleError(f"{rule}: write a smaller grace_period, or scheduler: none", ("stop", "grace_period"))
    elif stop.brackets is not None:
        yield from _brackets(space, stop.brackets)
    if stop.scheduler == "median" and stop.min_samples_required > (others := _most(space) - 1):
        rule = f"a median of {stop.min_samples_required} others, where there are {others}, is never drawn"
        mend = f"min_samples_required: {others}, or " if others else ""
        yield RuleError(f"{rule}: write {mend}scheduler: none", ("stop", "min_samples_required"))
    if stop.patience is not None and grace + stop.patience >= epochs:
        rule = f"{unreachable}: grace_period {grace} + {stop.patience} is not below epochs, {epochs}"
        least = epochs - grace - 1
        mend = f"write {least} or less" if least > 0 else "leave it out, or train more epochs"
        yield RuleError(f"{rule}: {mend}", ("stop", "patience"))
    if stop.patience is None and stop.min_delta:
        rule = "is what an improvement must exceed for patience to go on, and there is no patience"
        yield RuleError(f"{rule}: add patience: 5, or leave min_delta out", ("stop", "min_delta"))


def _brackets(space: SearchSpace, asked: int) -> Iterator[RuleError]:
    rungs = space.stop.rungs(space.epochs)
    if space.stop.scheduler == "asha" and asked > 1:
        rule = "asha has one bracket: write scheduler: hyperband, or leave brackets out"
        yield RuleError(rule, ("stop", "brackets"))
    if space.stop.scheduler == "hyperband" and asked > len(rungs):
        rule = f"each bracket starts at a rung of its own, and below epochs, {space.epochs}, lie {len(rungs)}"
        yield RuleError(f"{rule} ({show(rungs)}): write {len(rungs)} or less", ("stop", "brackets"))


def _most(space: SearchSpace) -> int:
    """Return how many configurations there are at the most: conditions and repetitions only take away."""
    search, points = space.search, len(space.configs)
    if search.algorithm == "optuna" or (points and not space.space):
        return points + (search.samples or 0)
    return points + count(space.space, search.samples)
