"""The schedulers of Ray Tune, Optuna and Syne Tune, driven without the engines around them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandScheduler, TrialScheduler

from benchmarks.stopping.replay import Search, Stopping
from tune_app import space

HAS_SYNE_TUNE = importlib.util.find_spec("syne_tune") is not None
_NAMES: dict[str, Any] = {"time_attr": "epoch", "metric": "value", "mode": "max"}


def _rungs(search: Search, grace: int, factor: int) -> Sequence[int]:
    return space.Stop(scheduler="asha", grace_period=grace, reduction_factor=factor).rungs(search.epochs)


def ray_asha(search: Search, grace: int, factor: int) -> Stopping:
    """Ray Tune's ``AsyncHyperBandScheduler`` with one bracket."""
    scheduler: Any = AsyncHyperBandScheduler(
        **_NAMES, max_t=search.epochs, grace_period=grace, reduction_factor=factor
    )
    values = search.means()
    trials = [SimpleNamespace(trial_id=sample) for sample in range(len(values))]
    for trial in trials:
        scheduler.on_trial_add(None, trial)

    def goes_on(sample: int, epoch: int) -> bool:
        result = {"epoch": epoch, "value": values[sample][epoch - 1]}
        return bool(scheduler.on_trial_result(None, trials[sample], result) == TrialScheduler.CONTINUE)

    return Stopping(search.order, _rungs(search, grace, factor), goes_on)


def syne_tune_asha(search: Search, grace: int, factor: int) -> Stopping:
    """The only bracket of Syne Tune's ``AsynchronousSuccessiveHalving``, for which less is better."""
    asha: Any = importlib.import_module("syne_tune.optimizer.schedulers.asha")
    bracket = asha.Bracket(grace, search.epochs, factor, 0)
    values = search.means()

    def goes_on(sample: int, epoch: int) -> bool:
        decision = bracket.on_result(sample, epoch, {"value": -values[sample][epoch - 1]})
        return bool(decision == asha.SchedulerDecision.CONTINUE)

    return Stopping(search.order, _rungs(search, grace, factor), goes_on)


def optuna_hyperband(search: Search, grace: int, factor: int) -> Stopping:
    """Optuna's ``HyperbandPruner``; it draws a bracket by the name of the study and the trial's number."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        study_name=f"search {search.number}",
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.HyperbandPruner(grace, search.epochs, factor),
    )
    values = search.means()
    trials: dict[int, optuna.Trial] = {}

    def goes_on(sample: int, epoch: int) -> bool:
        trial = trials[sample] = trials.get(sample) or study.ask()
        trial.report(values[sample][epoch - 1], epoch)
        pruned = trial.should_prune()
        if pruned or epoch == search.epochs:
            state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
            study.tell(trial, None if pruned else values[sample][-1], state=state)
        return not pruned

    return Stopping(search.order, _rungs(search, grace, factor), goes_on)


class RayHyperband:
    """Ray Tune's ``HyperBandScheduler``, which pauses; the last of a bracket train to their end."""

    def __init__(self, search: Search, factor: int) -> None:
        self.milestones: Sequence[int] = range(1, search.epochs)
        self._values, self._epochs = search.means(), search.epochs
        self._scheduler: Any
        self._scheduler = HyperBandScheduler(
            **_NAMES, max_t=search.epochs, reduction_factor=factor, stop_last_trials=False
        )
        self._trials: dict[int, Any] = {}
        for sample in search.order:
            self._trials[sample] = trial = _RayTrial(sample)
            self._scheduler.on_trial_add(self, trial)

    def stop_trial(self, trial: Any) -> None:
        """What the scheduler asks of the controller for a paused trial."""
        self._scheduler.on_trial_remove(self, trial)
        trial.status = Trial.TERMINATED

    def next(self) -> int | None:
        """See Rule."""
        trial: Any = self._scheduler.choose_trial_to_run(self)
        if trial is None:
            return None
        trial.status = Trial.RUNNING
        return int(trial.sample)

    def goes_on(self, sample: int, epoch: int) -> bool:
        """See Rule."""
        trial = self._trials[sample]
        result = {"epoch": epoch, "value": self._values[sample][epoch - 1]}
        decision = self._scheduler.on_trial_result(self, trial, result)
        if epoch == self._epochs or decision == TrialScheduler.STOP:
            trial.status = Trial.TERMINATED
            self._scheduler.on_trial_complete(self, trial, result)
            return False
        trial.status = Trial.PAUSED if decision == TrialScheduler.PAUSE else Trial.RUNNING
        return bool(decision == TrialScheduler.CONTINUE)


class _RayTrial:
    """As much of a trial as the scheduler reads."""

    is_saving = False

    def __init__(self, sample: int) -> None:
        self.sample, self.status = sample, Trial.PENDING
