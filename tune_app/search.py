"""Optuna as the searcher: one ``ask`` a sample, every value told back, and the study a view of the record.

The study in ``study.db`` is made again from the record's events at each sitting: the same asks in the
same order bring the sampler's random state to where it was, and the database to what is recorded. No
test metric ever enters it, since a sampler could read it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event as database_event

from tune_app.errors import SpaceError, describe
from tune_app.history import History, mean
from tune_app.record import Event
from tune_app.space import Sampler, Scalar, SearchSpace, canonical, parse
from tune_app.space.planning import exists
from tune_app.space.samplers import multiple

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: The user attribute of a study's trial that holds our sample number.
SAMPLE = "sample"

#: How a sample ends, in Optuna's words.
_STATES = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


def make_sampler(space: SearchSpace) -> BaseSampler:
    """The sampler that ``search.sampler`` names, seeded with the space's seed.

    Raises:
        SpaceError: a ``module:Class`` that cannot be imported, made, or is no sampler.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # chosen knowingly
        return _sampler(space, str(space.search.sampler), space.seed)


def _sampler(space: SearchSpace, name: str, seed: int) -> BaseSampler:
    samplers = optuna.samplers
    match name:
        case "tpe":
            return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
        case "gp":
            return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "qmc":
            return samplers.QMCSampler(
                seed=seed, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
            )
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed)
        case _:
            return _own_sampler(space, name)


def _own_sampler(space: SearchSpace, reference: str) -> BaseSampler:
    module, _, attribute = reference.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)(seed=space.seed)
    except Exception as error:
        raise space.error(
            "search.sampler", f"{reference}(seed={space.seed}) raised {describe(error)}"
        ) from error
    if not isinstance(made, BaseSampler):
        raise space.error(
            "search.sampler", f"{reference} makes a {type(made).__name__}; it must make an optuna BaseSampler"
        )
    return made


class OptunaSearch:
    """Samples of a space from an Optuna study.

    Args:
        path: the study's database, which is made anew; None keeps the study in memory.
    """

    def __init__(self, space: SearchSpace, path: Path | None = None) -> None:
        self._space = space
        storage: BaseStorage = InMemoryStorage() if path is None else _database(path)
        self._study = optuna.create_study(
            study_name=space.name,
            storage=storage,
            sampler=make_sampler(space),
            direction="maximize" if space.metric.mode == "max" else "minimize",
        )
        self._open: dict[int, optuna.Trial] = {}
        self._reported: dict[int, set[int]] = {}
        self._twins: dict[int, list[int]] = {}

    def ask(self, sample: int) -> dict[str, Scalar]:
        """The next point, ``fixed`` merged in; conditional parameters only where they exist."""
        trial = self._study.ask()
        self._register(sample, trial)
        values: dict[str, Scalar] = dict(self._space.fixed)
        for name in _dependencies_first(self._space.space):
            if exists(name, self._space.space, values):
                values[name] = _suggest(trial, name, self._space.space[name])
        order = [*self._space.space, *self._space.fixed]
        return {name: values[name] for name in order if name in values}

    def _add(self, sample: int, config: Mapping[str, Scalar]) -> None:
        """Take in a point that the sampler did not choose: one of ``configs:``, tried before the others.

        A value outside of a parameter's range is left out of the study, which could not hold it.
        """
        point = {
            name: value
            for name, value in config.items()
            if name in self._space.space and _holds(self._space.space[name], value)
        }
        self._study.enqueue_trial(point)
        trial = self._study.ask()
        self._register(sample, trial)
        for name in point:
            _suggest(trial, name, self._space.space[name])

    def _register(self, sample: int, trial: optuna.Trial) -> None:
        trial.set_user_attr(SAMPLE, sample)
        self._open[sample] = trial
        self._reported[sample] = set()

    def report(self, sample: int, epoch: int, value: float | None) -> None:
        """A sample's value after an epoch; one that is trained again after a resume is known already."""
        if sample in self._open and value is not None and epoch not in self._reported[sample]:
            self._reported[sample].add(epoch)
            self._open[sample].report(value, epoch)

    def _tell(self, sample: int, status: str, value: float | None) -> None:
        """How a sample ended: ``finished`` with its value, ``stopped``, ``diverged`` or ``failed``."""
        trial = self._open.pop(sample, None)
        if trial is None:
            return
        state = _STATES[status]
        if state is TrialState.COMPLETE and value is None:
            state = TrialState.FAIL
        self._study.tell(trial, value if state is TrialState.COMPLETE else None, state=state)

    def observe(self, event: Event, history: History) -> None:
        """Take in an event that has been recorded, and folded into ``history``.

        Raises:
            SpaceError: a point that was asked for in an earlier sitting is not what the sampler suggests
                now: another version of Optuna, or of the sampler.
        """
        kind = event["event"]
        if kind == "extended":
            self._space = parse(event["space"], name=self._space.name)
        elif kind == "planned":
            self._observe_planned(event, history)
        elif kind == "epoch":
            sample = history.attempts[event["trial"]].sample
            self.report(sample, event["epoch"], mean(event["metrics"].get(self._space.metric.name, [])))
        elif kind in ("finished", "decision", "stopped", "diverged", "failed"):
            self._settle(history.attempts[event["trial"]].sample, history)

    def catch_up(self, events: Iterable[Event]) -> None:
        """Observe a whole record, so that the study and the sampler's random state are where it is.

        What was told then hangs on the seeds and epochs that were wanted then: ``OptunaSearch`` is made
        with the space that the run began with, and extensions take their effect where they stand.
        """
        history = History()
        for each in events:
            history.apply(each)
            self.observe(each, history)

    def _observe_planned(self, event: Event, history: History) -> None:
        sample, config = event["sample"], event["config"]
        if sample not in self._reported:
            if not event.get("asked"):
                self._add(sample, config)
            elif canonical(self.ask(sample)) != canonical(config):
                raise SpaceError(
                    f"sample {sample}: the sampler {self._space.search.sampler} suggests another point "
                    "now than when this run began: Optuna's version has changed.\n"
                    "  Install the one that provenance.json names, or start a new run."
                )
        if event["twin"] is not None:
            self._twins.setdefault(event["twin"], []).append(sample)
            self._settle(event["twin"], history)

    def _settle(self, sample: int, history: History) -> None:
        """Tell how a sample ended, if it has, and the same of every later sample that is the same point."""
        configuration = history.configurations[sample]
        status = history.status(configuration, self._space.replicate_numbers, live=True)
        if status in _STATES:
            value = configuration.value(
                self._space.metric, self._space.evaluate, self._space.replicate_numbers
            )
            for each in (sample, *self._twins.pop(sample, [])):
                self._tell(each, status, value)


def _database(path: Path) -> RDBStorage:
    """A fresh sqlite file. It is a view of the record, so it need not wait for the disk."""
    path.unlink(missing_ok=True)
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})

    @database_event.listens_for(storage.engine, "connect")
    def _relax(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    return storage


def _dependencies_first(space: Mapping[str, Sampler]) -> list[str]:
    """Parameters in the order of the file, but each after those that its ``when`` names."""
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for other in space[name].when:
            if other in space and other not in ordered:
                visit(other)
        ordered.setdefault(name)

    for name in space:
        visit(name)
    return list(ordered)


def _suggest(trial: optuna.Trial, name: str, sampler: Sampler) -> Any:
    """One suggestion, in Optuna's terms: its integer and stepped ranges include their upper bound."""
    match sampler.kind, sampler.args:
        case "choice", values:
            return trial.suggest_categorical(name, list(values))
        case "uniform", (low, high):
            return trial.suggest_float(name, low, high)
        case "loguniform", (low, high):
            return trial.suggest_float(name, low, high, log=True)
        case "quniform", (low, high, q):
            # Optuna's steps are sums of floats; ours are multiples, so that 0.7 has one fingerprint.
            return multiple(q, round(trial.suggest_float(name, low, high, step=q) / q))
        case "randint", (low, high):
            return trial.suggest_int(name, low, high - 1)
        case "lograndint", (low, high):
            return trial.suggest_int(name, low, high - 1, log=True)
        case "qrandint", (low, high, q):
            return trial.suggest_int(name, low, high, step=q)
        case kind, _:
            raise TypeError(f"{name}: optuna has no {kind}; SearchSpace refuses it")


def _holds(sampler: Sampler, value: Scalar) -> bool:
    """Whether a study's distribution can hold this value."""
    if sampler.kind in ("uniform", "loguniform"):
        low, high = sampler.args
        return isinstance(value, int | float) and low <= value <= high
    return sampler.can_be(value)
