"""The rules that concern several keys of a search-space file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tune_app.errors import nearest
from tune_app.space.planning import LARGEST_PLAN, LARGEST_WORK, count, exists
from tune_app.space.problems import RuleError
from tune_app.space.reader import Path
from tune_app.space.samplers import KINDS, Sampler
from tune_app.space.scalars import Scalar, alike, canonical, show

if TYPE_CHECKING:
    from tune_app.space.model import SearchSpace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
#: The other columns of tables with a column for each parameter; ``tune_app.results.COLUMNS`` explains them.
COLUMNS = frozenset(
    [
        *("sample", "replicate", "status", "epoch", "epochs", "evaluated", "test_looks", "n", "n_diverged"),
        *("duration_s", "device", "twin", "data", "data_sha256", "ties"),
        *(f"{once}_{part}" for once in ("chosen", "confirmed") for part in ("mean", "ci95", "n")),
    ]
)
#: What tune-app measures on each split of a Task.
MEASURES = ("accuracy", "loss", "auc", "sensitivity", "specificity")
_MEASURED = tuple(f"{split}_{measure}" for split in ("train", "val", "test") for measure in MEASURES)
#: Optuna's samplers that can optimise several metrics.
SEVERAL_METRICS = ("tpe", "nsga2", "random", "qmc")


def is_test_metric(metric: str) -> bool:
    """Whether a metric is one of the test set: ``test``, or ``test`` and one of ``_/.-`` before its name."""
    return re.match(r"test([_/.-]|$)", metric, re.IGNORECASE) is not None


def metric_columns(metric: str) -> tuple[str, str, str]:
    """The columns that a metric has in any of the tables."""
    return metric, f"{metric}_mean", f"{metric}_ci95"


def clash(metrics: Iterable[str], parameters: Iterable[str]) -> tuple[str, str] | None:
    """The first metric with a column whose name is taken, and that column; None if all names differ.

    Case does not distinguish columns: to SQL, DuckDB and Excel, ``LR`` and ``lr`` are equal.
    """
    names = list(metrics)
    taken = {*COLUMNS, *(name.casefold() for name in parameters)}
    for name in names:
        for column in metric_columns(name):
            if column.casefold() in taken or (column != name and column in names):
                return name, column
    return None


def violations(space: SearchSpace, recorded: bool = False) -> list[RuleError]:
    """Return the rules that ``space`` violates.

    A ``recorded`` space may use names of columns, so that runs of earlier versions stay readable.
    """
    conditions = list(_conditions(space))
    points = [] if conditions else list(_points(space))  # checking points needs valid conditions
    too_much = [] if recorded else list(_oversized(space))
    if too_much:  # the other rules could count for ever
        return too_much
    taken = [] if recorded else [*_clashing_names(space)]
    return [
        *taken,
        *_invalid_names(space),
        *_metrics(space),
        *_searchable(space),
        *conditions,
        *points,
        *_stopping(space),
    ]


def _oversized(space: SearchSpace) -> Iterator[RuleError]:
    """Refuse what would fill the memory or never end, before anything is recorded."""
    configurations, seeds, epochs = _largest_size(space), space.seeds, space.epochs
    replicates = configurations * seeds
    if configurations > LARGEST_PLAN:
        rule = f"more than {LARGEST_PLAN:,} configurations: take fewer values, or draw samples of them"
        yield RuleError(rule, ("search", "samples") if space.search.algorithm == "optuna" else ("space",))
    elif replicates > LARGEST_PLAN:
        rule = (
            f"{seeds:,} seeds of {configurations:,} configurations are more than {LARGEST_PLAN:,} replicates"
        )
        yield RuleError(f"{rule}: write {LARGEST_PLAN // configurations} or less", ("seeds",))
    elif epochs > (most := min(LARGEST_PLAN, LARGEST_WORK // max(replicates, 1))):
        rule = f"{epochs:,} epochs of {replicates:,} replicates are more than can be trained and recorded"
        yield RuleError(f"{rule}: write {most} or less", ("epochs",))


def excess(space: SearchSpace) -> str:
    """Why a space asks for more than can be trained; empty if it does not."""
    return next((error.text for error in _oversized(space)), "")


def _parameter_names(space: SearchSpace) -> Iterator[tuple[Path, str]]:
    """The path and name of each parameter."""
    yield from ((("space",), name) for name in space.space)
    yield from ((("fixed",), name) for name in space.fixed)
    yield from ((("configs", index), name) for index, point in enumerate(space.configs) for name in point)


def _invalid_names(space: SearchSpace) -> Iterator[RuleError]:
    for path, name in _parameter_names(space):
        if not NAME.fullmatch(name):
            rule = "a parameter's name is letters, digits and _, and starts with no digit"
            yield RuleError(f"{show(name)} cannot be a name: {rule}", path, (name,), on_key=True)
    for name in space.fixed:
        if name in space.space:
            rule = "is in space too: a parameter is searched or fixed, so remove it from one"
            yield RuleError(rule, ("fixed", name), on_key=True)


def _clashing_names(space: SearchSpace) -> Iterator[RuleError]:
    """Refuse names that would give two columns of a table one name."""
    columns = dict.fromkeys(COLUMNS, "a column of the results tables")
    for name in (*(metric.name for metric in space.metrics), *_MEASURED):
        own = f"a column of the metric {name} in the results tables"
        columns |= {column.casefold(): own for column in metric_columns(name)}
    first: dict[str, str] = {}
    for path, name in _parameter_names(space):
        key = name.casefold()
        if key in columns:
            rule = f"is {columns[key]}"
        elif (other := first.setdefault(key, name)) != name:
            rule = f'differs only by case from "{other}", and many programs take both for one column'
        else:
            continue
        yield RuleError(f'"{name}" {rule}: give the parameter another name', path, (name,), on_key=True)
    for index, metric in enumerate(space.metrics):
        if metric.name.casefold() in COLUMNS:
            path = ("metric", "name") if len(space.metrics) == 1 else ("metric", index, "name")
            rule = "is a column of the results tables"
            yield RuleError(f'"{metric.name}" {rule}: give the metric another name', path)


def _metrics(space: SearchSpace) -> Iterator[RuleError]:
    names = [metric.name for metric in space.metrics]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield RuleError(f'"{name}" is in this list twice: keep one', ("metric", index, "name"))
    if len(names) > 1 and space.search.sampler not in (None, *SEVERAL_METRICS):
        known = f"{', '.join(SEVERAL_METRICS[:-1])} or {SEVERAL_METRICS[-1]}"
        rule = f"several metrics are searched by {known}, and this is {space.search.sampler}"
        fix = "use one of those, or name one metric"
        yield RuleError(f"{rule}: {fix}", ("search", "sampler"))
    if space.stop.metric is not None and space.stop.metric not in names:
        rule = f'"{space.stop.metric}" is not among the metrics of this space'
        fix = nearest(space.stop.metric, names) or f" They are {', '.join(names)}."
        yield RuleError(f"{rule}.{fix}", ("stop", "metric"))


def _searchable(space: SearchSpace) -> Iterator[RuleError]:
    algorithm = space.search.algorithm
    for name, sampler in space.space.items():
        path, kind = ("space", name), sampler.kind
        if algorithm == "grid" and kind != "grid":
            fix = "write search: {algorithm: random, samples: 50}, or write {grid: [...]}"
            yield RuleError(
                f"{kind} is drawn from, and this search tries grids alone: {fix}", path, (kind,), True
            )
        if algorithm == "optuna" and kind == "grid":
            fix = f"write {{choice: {show(sampler.args, limit=200)}}}"
            yield RuleError(f"optuna suggests values, and a grid wants them all: {fix}", path, (kind,), True)
        if algorithm == "optuna" and kind in ("randn", "qloguniform"):
            yield RuleError(f"optuna has no {kind}: write {_for_optuna(sampler)}", path, (kind,), True)
    if algorithm == "optuna" and not space.space:
        yield RuleError("optuna has nothing to search: space is empty", ("search", "algorithm"))
    if algorithm == "random" and all(sampler.kind == "grid" for sampler in space.space.values()):
        rule = "nothing in space is drawn at random, so every sample would be the same: leave search out"
        yield RuleError(rule, ("search", "algorithm"))


def _for_optuna(sampler: Sampler) -> str:
    """A kind that Optuna has, of the same values; of a normal distribution, three standard deviations."""
    if sampler.kind == "qloguniform":
        return f"{{quniform: {show(sampler.args)}}}"
    mean, sd = sampler.args
    return f"{{uniform: {show([mean - 3 * sd, mean + 3 * sd])}}}, three standard deviations either way"


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
                yield from _impossible_condition(space, name, other, values)


def _leads_to(space: SearchSpace, start: str, goal: str) -> bool:
    """Whether the existence of ``start`` depends on ``goal``, through any number of conditions."""
    reached, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in reached and name in space.space:
            waiting += space.space[name].when
        reached.add(name)
    return False


def _impossible_condition(
    space: SearchSpace, name: str, other: str, values: tuple[Scalar, ...]
) -> Iterator[RuleError]:
    path, spot = ("space", name), ("when", other)
    if other in space.fixed:
        if not any(alike(value, space.fixed[other]) for value in values):
            rule = f"{other} is fixed at {show(space.fixed[other])}, so {name} would never exist"
            yield RuleError(f"when: {rule}: write that value, or remove {name}", path, spot)
        return
    sampler = space.space[other]
    if not KINDS[sampler.kind].listed:
        rule = f"{other} is drawn from a continuous range ({sampler.kind}), and is never exactly a value"
        kind = "grid" if space.search.algorithm == "grid" else "choice"
        yield RuleError(f"when: {rule}: make {other} a {kind}", path, spot, on_key=True)
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
        fix = f"write {epochs - 1} or less" if epochs > 1 else "train more epochs"
        yield RuleError(f"{rule}: {fix}, or scheduler: none", ("stop", "grace_period"))
    elif stop.brackets is not None:
        yield from _brackets(space, stop.brackets)
    if stop.scheduler == "median" and stop.min_samples_required > (others := _largest_size(space) - 1):
        rule = f"a median of {stop.min_samples_required} others, where there are {others}, is never drawn"
        fix = f"min_samples_required: {others}, or " if others else ""
        yield RuleError(f"{rule}: write {fix}scheduler: none", ("stop", "min_samples_required"))
    if stop.patience is not None and grace + stop.patience >= epochs:
        rule = f"{unreachable}: grace_period {grace} + {stop.patience} is not below epochs, {epochs}"
        least = epochs - grace - 1
        fix = f"write {least} or less" if least > 0 else "leave it out, or train more epochs"
        yield RuleError(f"{rule}: {fix}", ("stop", "patience"))
    if stop.patience is None and stop.min_delta:
        rule = "is what an improvement must exceed for patience to go on, and there is no patience"
        most = min(5, epochs - grace - 1)
        fix = f"add patience: {most}, or " if most > 0 else ""
        yield RuleError(f"{rule}: {fix}leave min_delta out", ("stop", "min_delta"))


def _brackets(space: SearchSpace, asked: int) -> Iterator[RuleError]:
    rungs = space.stop.rungs(space.epochs)
    if space.stop.scheduler == "asha" and asked > 1:
        rule = "asha has one bracket: write scheduler: hyperband, or leave brackets out"
        yield RuleError(rule, ("stop", "brackets"))
    if space.stop.scheduler == "hyperband" and asked > len(rungs):
        rule = f"each bracket starts at a rung of its own, and below epochs, {space.epochs}, lie {len(rungs)}"
        yield RuleError(f"{rule} ({show(rungs)}): write {len(rungs)} or less", ("stop", "brackets"))


def _largest_size(space: SearchSpace) -> int:
    """Return the largest possible number of configurations, before conditions and repetitions reduce it."""
    search, points = space.search, len(space.configs)
    if search.algorithm == "optuna" or (points and not space.space):
        return points + (search.samples or 0)
    return points + count(space.space, search.samples)
