"""The rules that concern several keys of a search-space file."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tune_app.errors import nearest
from tune_app.space.planning import exists, needed
from tune_app.space.problems import RuleError
from tune_app.space.reader import Path
from tune_app.space.samplers import KINDS
from tune_app.space.scalars import Value, alike, canonical, show

if TYPE_CHECKING:
    from tune_app.space.model import SearchSpace

#: The most replicates of all configurations together, and epochs: more is a typing error, and would fill
#: the memory.
LARGEST_PLAN = 1_000_000
#: The most epochs of all replicates together.
LARGEST_WORK = 1_000_000_000
#: The name of a parameter or of a metric: letters, digits and any of ``_ . / -``, a letter or ``_`` before
#: the first digit. Without classes of Unicode, so that every engine of regular expressions reads it alike.
NAME = re.compile(r"[./]{0,8}[^\x00-@\[-^`{-\xa0][^\x00-,:-@\[-^`{-\xa0]{0,63}")
LONGEST_NAME = 64
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
_FOR_SEVERAL_METRICS = ("tpe", "nsga2", "random", "qmc")


def is_test_metric(metric: str) -> bool:
    """Whether a metric is one of the test set: ``test``, or ``test`` and one of ``_/.-`` before its name."""
    return re.match(r"test([_/.-]|$)", metric, re.IGNORECASE) is not None


def metric_columns(metric: str) -> tuple[str, ...]:
    """The columns that a metric has in any of the tables: as reported, its mean, its interval, its choice."""
    return metric, f"{metric}_mean", f"{metric}_ci95", choice_column(metric)


def choice_column(metric: str) -> str:
    """The column of what configurations are chosen by: a metric's mean over the epochs that choose."""
    return f"{metric}_choice"


def name_fault(text: str, of: str) -> str:
    """Why ``of``, a parameter or a metric, cannot be called so; empty if it can."""
    if len(text) <= LONGEST_NAME and text.isprintable() and NAME.fullmatch(text):
        return ""
    rule = f"{show(text)} cannot be a name: the name of a {of} has letters, digits and any of _ . / -"
    return f"{rule}, {LONGEST_NAME} at most, and does not start with a digit or -"


def _folded(name: str) -> str:
    """Equal for names that programs may take for one: case, and how a letter is encoded, do not count."""
    return unicodedata.normalize("NFKC", name).casefold()


def clash(metrics: Iterable[str], parameters: Iterable[str]) -> tuple[str, str] | None:
    """The first metric with a column whose name is taken, and that column; None if all names differ.

    Case does not distinguish columns: to SQL, DuckDB and Excel, ``LR`` and ``lr`` are equal.
    """
    names = list(metrics)
    taken = {*COLUMNS, *map(_folded, parameters)}
    for name in names:
        for column in metric_columns(name):
            if _folded(column) in taken or (column != name and column in names):
                return name, column
    return None


def violations(space: SearchSpace, recorded: bool = False) -> list[RuleError]:
    """Return the rules that ``space`` violates.

    A ``recorded`` space may use names of columns and test metrics, so that runs of earlier versions stay
    readable.
    """
    if not recorded and (too_much := excess(space)):
        return [too_much]  # the other rules could count for ever
    conditions = list(_conditions(space))
    return [
        *_parameter_names(space, recorded),
        *_metric_names(space, recorded),
        *_searchable(space),
        *conditions,
        *([] if conditions else _points(space)),  # checking points needs valid conditions
        *_stopping(space),
        *([] if recorded else _choosing(space)),
    ]


def excess(space: SearchSpace) -> RuleError | None:
    """Return why a space asks for more than can be trained or recorded, before anything is."""
    configurations, seeds, epochs = _largest_size(space), space.seeds, space.epochs
    replicates = configurations * seeds
    if configurations > LARGEST_PLAN:
        rule = f"more than {LARGEST_PLAN:,} configurations: take fewer values, or draw samples of them"
        return RuleError(rule, ("search", "samples") if space.search.algorithm == "optuna" else ("space",))
    if replicates > LARGEST_PLAN:
        rule = f"{seeds:,} seeds of {configurations:,} configurations are over {LARGEST_PLAN:,} replicates"
        return RuleError(f"{rule}: write {LARGEST_PLAN // configurations} or less", ("seeds",))
    if epochs > (most := min(LARGEST_PLAN, LARGEST_WORK // max(replicates, 1))):
        rule = f"{epochs:,} epochs of {replicates:,} replicates are more than can be trained and recorded"
        return RuleError(f"{rule}: write {most} or less", ("epochs",))
    return None


def _largest_size(space: SearchSpace) -> int:
    """Return the largest possible number of configurations, before conditions and repetitions reduce it."""
    search, points = space.search, len(space.configs)
    if search.algorithm == "optuna" or (points and not space.space):
        return points + (search.samples or 0)
    grids = math.prod(len(sampler.args) for sampler in space.space.values() if sampler.kind == "grid")
    return points + (search.samples or 1) * grids


def _parameter_names(space: SearchSpace, recorded: bool) -> Iterator[RuleError]:
    """Refuse names that are none, are here twice, or would give two columns of a table one name."""
    columns = {} if recorded else dict.fromkeys(COLUMNS, "a column of the results tables")
    for name in () if recorded else (*(metric.name for metric in space.metrics), *_MEASURED):
        own = f"a column of the metric {name} in the results tables"
        columns |= {_folded(column): own for column in metric_columns(name)}
    points = [(("configs", index), point) for index, point in enumerate(space.configs)]
    named: list[tuple[Path, Iterable[str]]] = [(("space",), space.space), (("fixed",), space.fixed), *points]
    first: dict[str, str] = {}
    for path, name in ((path, name) for path, names in named for name in names):
        key = _folded(name)
        if fault := name_fault(name, "parameter"):
            yield RuleError(fault, path, (name,))
        if key in columns:
            rule = f'"{name}" is {columns[key]}: give the parameter another name'
            yield RuleError(rule, path, (name,))
        elif (other := first.setdefault(key, name)) != name and not recorded:
            how = "case" if name.casefold() == other.casefold() else "how its letters are encoded"
            rule = f'"{name}" differs only by {how} from "{other}"; to many programs both are one column'
            yield RuleError(f"{rule}: give the parameter another name", path, (name,))
    for name in space.space.keys() & space.fixed.keys():
        rule = "is in space too: a parameter is searched or fixed, so remove it from one"
        yield RuleError(rule, ("fixed", name))


def _metric_names(space: SearchSpace, recorded: bool) -> Iterator[RuleError]:
    names, by = [metric.name for metric in space.metrics], space.stop.metric
    for index, name in enumerate(names):
        path: Path = ("metric", index, "name") if len(names) > 1 else ("metric", "name")
        if is_test_metric(name) and not recorded:
            yield _sealed(name, path)
        if name.casefold() in COLUMNS and not recorded:
            yield RuleError(f'"{name}" is a column of the results tables: give the metric another name', path)
        if name in names[:index]:
            yield RuleError(f'"{name}" is in this list twice: keep one', path)
    own = space.stop.by
    if own is not None and is_test_metric(own.name) and not recorded:
        yield _sealed(own.name, ("stop", "by", "name"))
    if own is not None and by is not None:
        yield RuleError("names another metric than stop.metric: keep one of them", ("stop", "by"))
    if by is not None and is_test_metric(by) and not recorded:
        yield _sealed(by, ("stop", "metric"))
    elif by is not None and by not in names:
        fix = nearest(by, names) or f" They are {', '.join(names)}."
        yield RuleError(f'"{by}" is not among the metrics of this space.{fix}', ("stop", "metric"))


def _sealed(metric: str, path: Path) -> RuleError:
    rule = f"{show(metric)} is a test metric, and the test set is sealed until a trial has ended"
    return RuleError(f"{rule}: choose by val{metric[4:] or '_accuracy'}", path)


def _searchable(space: SearchSpace) -> Iterator[RuleError]:
    algorithm, samples, sampler = space.search.algorithm, space.search.samples, space.search.sampler
    if algorithm == "grid" and samples is not None:
        yield RuleError("a grid tries every combination once: leave samples out", ("search", "samples"))
    if algorithm != "grid" and samples is None:
        rule = f"missing: {algorithm} needs the number of samples, as in samples: 50"
        yield RuleError(rule, ("search", "samples"))
    if algorithm != "optuna" and sampler is not None:
        rule = f"only algorithm: optuna has samplers, and this is {algorithm}: leave it out"
        yield RuleError(rule, ("search", "sampler"))
    if len(space.metrics) > 1 and sampler not in (None, *_FOR_SEVERAL_METRICS):
        known = f"{', '.join(_FOR_SEVERAL_METRICS[:-1])} or {_FOR_SEVERAL_METRICS[-1]}"
        rule = f"several metrics are searched by {known}, and this is {sampler}"
        yield RuleError(f"{rule}: use one of those, or name one metric", ("search", "sampler"))
    if algorithm == "optuna" and not space.space:
        yield RuleError("optuna has nothing to search: space is empty", ("search", "algorithm"))
    if algorithm == "random" and all(each.kind == "grid" for each in space.space.values()):
        rule = "nothing in space is drawn at random, so every sample would be the same: leave search out"
        yield RuleError(rule, ("search", "algorithm"))
    for name, each in space.space.items():
        if rule := _unsearchable(algorithm, each.kind, each.args):
            yield RuleError(rule, ("space", name), (each.kind,))


def _unsearchable(algorithm: str, kind: str, args: tuple[Any, ...]) -> str:
    """Why an algorithm does not take a sampler, and what it takes instead; empty if it takes it."""
    if algorithm == "grid" and kind != "grid":
        fix = "write search: {algorithm: random, samples: 50}, or write {grid: [...]}"
        return f"{kind} draws values, but this search tries only grids: {fix}"
    if algorithm != "optuna":
        return ""
    if kind == "grid":
        values = show(args, limit=200)
        return f"optuna suggests some values, but a grid tries them all: write {{choice: {values}}}"
    return ""


def _conditions(space: SearchSpace) -> Iterator[RuleError]:
    for name, sampler in space.space.items():
        for other, values in sampler.when.items():
            if rule := _impossible(space, name, other, values):
                yield RuleError(f"when: {rule}", ("space", name), ("when", other))


def _impossible(space: SearchSpace, name: str, other: str, values: tuple[Value, ...]) -> str:
    """Why ``other`` can never have one of ``values`` beside ``name``; empty if it can."""
    if other not in space.space and other not in space.fixed:
        guess = nearest(other, [*space.space, *space.fixed]) or " Define it in space: or fixed:."
        return f'no parameter is called "{other}".{guess}'
    if name in needed(other, space.space):
        circle = "itself" if other == name else f"{other}, and {other}, directly or not, beside {name}"
        return f"{name} exists only beside {circle}: remove this condition"
    if other in space.fixed:
        if any(alike(value, space.fixed[other]) for value in values):
            return ""
        rule = f"{other} is fixed at {show(space.fixed[other])}, so {name} would never exist"
        return f"{rule}: write that value, or remove {name}"
    sampler = space.space[other]
    if not KINDS[sampler.kind].listed:
        rule = f"{other} is drawn from a continuous range ({sampler.kind}), and is never exactly a value"
        return f"{rule}: make {other} a {'grid' if space.search.algorithm == 'grid' else 'choice'}"
    never = [show(value) for value in values if not sampler.can_be(value)]
    if not never:
        return ""
    return f"{other} is never {' or '.join(never)}: it is one of {show({sampler.kind: list(sampler.args)})}"


def _points(space: SearchSpace) -> Iterator[RuleError]:
    seen: dict[str, int] = {}
    for index, point in enumerate(space.configs):
        path: Path = ("configs", index)
        if (earlier := seen.setdefault(canonical({**space.fixed, **point}), index)) != index:
            yield RuleError(f"the same point as configs[{earlier}]: keep one", path)
        for name, sampler in space.space.items():
            there = exists(name, space.space, {**space.fixed, **point})
            if there and name not in point:
                rule = "an exact point names every parameter of space whose condition (when) holds"
                yield RuleError(f"{name} is missing: {rule}", path)
            if name in point and not there:
                needs = " and ".join(f"{o} is {' or '.join(map(show, v))}" for o, v in sampler.when.items())
                yield RuleError(f"exists only if {needs}: remove it here", (*path, name))


def _choosing(space: SearchSpace) -> Iterator[RuleError]:
    window, epochs = space.choose.window, space.epochs
    if window > epochs:
        yield RuleError(
            f"{window} is more than epochs, {epochs}: write {epochs} or less", ("choose", "window")
        )


def _stopping(space: SearchSpace) -> Iterator[RuleError]:
    stop, epochs, grace = space.stop, space.epochs, space.stop.grace_period
    rungs, others = stop.rungs(epochs), _largest_size(space) - 1
    longest = epochs - grace - 1  # the longest patience
    if stop.scheduler != "none" and grace >= epochs:
        rule = f"a rung that no trial can reach: {grace} is not below epochs, {epochs}"
        fix = f"write {epochs - 1} or less" if epochs > 1 else "train more epochs"
        yield RuleError(f"{rule}: {fix}, or scheduler: none", ("stop", "grace_period"))
    elif stop.scheduler == "asha" and (stop.brackets or 1) > 1:
        rule = "asha has one bracket: write scheduler: hyperband, or leave brackets out"
        yield RuleError(rule, ("stop", "brackets"))
    elif stop.scheduler == "hyperband" and (stop.brackets or 0) > len(rungs):
        rule = f"each bracket starts at its own rung, but there are only {len(rungs)} below epochs {epochs}"
        yield RuleError(f"{rule} ({show(rungs)}): write {len(rungs)} or less", ("stop", "brackets"))
    if stop.scheduler == "halving" and space.search.algorithm == "optuna":
        rule = "halving compares configurations that are all known before training; optuna suggests them"
        fix = "write scheduler: asha, and type: promotion if configurations should wait at rungs"
        yield RuleError(f"{rule} one by one: {fix}", ("stop", "scheduler"))
    if stop.scheduler == "halving" and stop.ties and space.seeds == 1:
        rule = (
            "is counted in standard errors over the seeds, and there is only one: add seeds, or leave it out"
        )
        yield RuleError(rule, ("stop", "ties"))
    if stop.scheduler == "median" and stop.min_samples_required > others:
        rule = f"a median needs {stop.min_samples_required} other trials, but there are only {others}"
        fix = f"min_samples_required: {others}, or " if others else ""
        yield RuleError(f"{rule}: write {fix}scheduler: none", ("stop", "min_samples_required"))
    if stop.patience is not None and stop.patience > longest:
        rule = f"a rung that no trial can reach: grace_period {grace} + {stop.patience} is not below epochs"
        fix = f"write {longest} or less" if longest > 0 else "leave it out, or train more epochs"
        yield RuleError(f"{rule}, {epochs}: {fix}", ("stop", "patience"))
    if stop.patience is None and stop.min_delta:
        rule = "is used only together with patience, which is missing"
        fix = f"add patience: {min(5, longest)}, or " if longest > 0 else ""
        yield RuleError(f"{rule}: {fix}leave min_delta out", ("stop", "min_delta"))
