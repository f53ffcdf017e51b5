"""Trials on Ray Tune: a Tuner that asks the driver for trials and brings it their reports.

Tune's own types stop here. The driver decides and records; Tune places processes on devices, uses them
again, and notices when they die.
"""

from __future__ import annotations

import pickle
import re
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from tune_app.driver import gpu_sharing
from tune_app.driver.driver import Driver
from tune_app.driver.gpu_sharing import Sharing
from tune_app.driver.resources import Plan, shares
from tune_app.engines.ray import private_api, ray_session
from tune_app.engines.ray.preemption import NoticeBoard
from tune_app.engines.ray.trainable import SweepTrainable
from tune_app.engines.ray.warm import Surroundings
from tune_app.errors import RayLost, describe
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task_folder
from tune_app.tasks.task import Splits
from tune_app.text import Notify
from tune_app.training import stacking_benchmark
from tune_app.training.protocol import EpochReport, Failure
from tune_app.training.stacking_benchmark import Benchmark, Choice


def benchmark_stacking(benchmark: Benchmark, plan: Plan) -> Choice:
    """Run a benchmark in a worker that has the resources of a trial."""
    try:
        found: Choice = _in_a_worker(
            plan.cpus_per_trial, plan.gpus_per_trial, stacking_benchmark.run, benchmark
        )
    except ray.exceptions.RayError as error:
        return stacking_benchmark.failed(benchmark, describe(_cause(error)))
    return found


def measure_gpu_sharing(spec: TrialSpec, splits: Splits, most: int) -> Sharing:
    """Measure in a worker how many such trials share the GPU that it is given."""
    try:
        found: Sharing = _in_a_worker(0, 1, gpu_sharing.measure, spec, splits, most)
    except ray.exceptions.RayError as error:
        return Sharing(1, f"measuring failed: {describe(_cause(error))}")
    return found


def _in_a_worker(cpus: float, gpus: float, work: Callable[..., Any], *given: Any) -> Any:
    surroundings = _surroundings()

    def in_surroundings(*given: Any) -> Any:
        surroundings.enter()
        return work(*given)

    worker = ray.remote(in_surroundings).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
    return ray_session.instance.call(lambda: ray.get(worker.remote(*given)))


def _surroundings() -> Surroundings:
    path = str(task_folder.current().path)
    return Surroundings.of_driver(path) if ray_session.instance.warm else Surroundings(path)


def run(
    driver: Driver, splits: Splits | None, plan: Plan, gpus: int = 0, notify: Notify = lambda _: None
) -> None:
    """Train all trials of a driver on the Ray that is connected, with the arrays that every worker shares.

    Where trials have shares of a GPU, they are spread over ``gpus``; 0 leaves that to Ray, which fills one
    GPU after the other.

    Raises:
        StorageError, FolderChanged: a write was refused (see Driver.fatal).
    """
    driver.begin()
    bridge = _Bridge(driver, shares(plan, gpus), notify)
    with suppress(RayLost):  # by then the driver ends for that reason
        ray_session.instance.call(lambda: _fit(bridge, splits, plan), notify, bridge.lose)
    bridge.close()


def _fit(bridge: _Bridge, splits: Splits | None, plan: Plan) -> None:
    def reserved(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        gpus = config.get("gpus", plan.gpus_per_trial)
        return tune.PlacementGroupFactory([{"CPU": plan.cpus_per_trial, "GPU": gpus}])

    given = {"splits": splits, "surroundings": _surroundings()}
    with tempfile.TemporaryDirectory(prefix="tune-app-") as scratch:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(SweepTrainable, **given), reserved),
            tune_config=tune.TuneConfig(
                search_alg=_Search(bridge),
                scheduler=_Scheduler(bridge),
                num_samples=-1,
                max_concurrent_trials=plan.concurrent,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                name="sweep",
                callbacks=[_Callback(bridge)],
                stop=_Stopper(bridge),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()


@dataclass
class _Place:
    """The place of a trial: what it trains, on which share of a GPU, and its name once it has begun."""

    spec: TrialSpec
    gpus: float
    name: str = ""
    failed: bool = False


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    """Keep an exception that would stop Tune with trials half stopped: it ends the session in good order.

    The call then returns None, as it does once the bridge is closed.
    """

    def guarded(bridge: _Bridge, *given: Any) -> Any:
        with bridge.lock:
            try:
                return None if bridge.closed else call(bridge, *given)
            except Exception as error:  # noqa: BLE001 - raised by close
                bridge.error = bridge.error or error
                bridge.driver.end(describe(error))
                return None

    return guarded


@dataclass
class _Bridge:
    """Tune's trial ids on one side, the driver's specs and trials on the other."""

    driver: Driver
    free: list[float]
    notify: Notify
    places: dict[str, _Place] = field(default_factory=dict)
    noted_unseen: bool = False
    notice_board: NoticeBoard = field(default_factory=NoticeBoard)
    lock: threading.RLock = field(default_factory=threading.RLock)
    error: Exception | None = None
    closed: bool = False

    @property
    def busy(self) -> bool:
        """Whether trials run whose end may still bring new trials."""
        return self.driver.ending is None and any(not place.failed for place in self.places.values())

    @_guarded
    def next_config(self, trial_id: str) -> dict[str, Any] | None:
        """A trial's configuration as Tune has it: what to train, and the GPUs to reserve."""
        spec = self.driver.next_trial()
        if spec is None:
            return None
        self.places[trial_id] = place = _Place(spec, self.free.pop(0))
        return {"spec": spec, "gpus": place.gpus}

    @_guarded
    def start(self, trial_id: str) -> None:
        place = self.places[trial_id]
        place.name = self.driver.start(place.spec)

    @_guarded
    def report(self, trial_id: str, result: dict[str, Any]) -> bool:
        place = self.places[trial_id]
        if failure := result.get("failure"):
            self._fail(place, pickle.loads(failure))
            return True  # its next step ends its process, so that no other trial gets it
        device = result["device"]
        if device.startswith("cpu (") and not self.noted_unseen:
            self.noted_unseen = True
            self.notify(
                f"note: {device}: a trial was given this GPU, and torch does not see it, so it trains on the "
                "CPU. tune-app doctor, there, says why"
            )
        report = EpochReport.unpack(result["report"], result["files"])
        goes_on = self.driver.report(place.name, report, device)
        if not goes_on:
            self._leave(trial_id)
        return goes_on

    def _leave(self, trial_id: str) -> None:
        """Free the place of a trial for one with the same share, which uses its process again."""
        if place := self.places.pop(trial_id, None):
            self.free.append(place.gpus)

    @_guarded
    def died(self, trial_id: str, trial: Any) -> None:
        """The process of a trial has died, or ended after the trial has reported its failure."""
        place = self.places.get(trial_id)
        self._leave(trial_id)
        if ray_session.instance.died():  # which is no fault of the trial
            self.driver.abandon(place.name if place else "")
        elif place and not place.failed:
            self._fail(place, _explain(trial))

    def _fail(self, place: _Place, failure: Failure) -> None:
        place.failed = True
        if not place.name:  # it died before its first epoch could begin
            place.name = self.driver.start(place.spec)
        self.driver.fail(place.name, failure)

    @_guarded
    def tick(self) -> None:
        self.driver.tick()

    @_guarded
    def post_notices(self) -> None:
        if self.driver.gather:
            self.notice_board.tick(self.driver.saving)

    def lose(self, why: str) -> bool:
        """Ray is lost: end the session; whether no trial is left that could still be saved."""
        with self.lock:
            private_api.prevent_restart()
            if self.driver.ending is None:
                self.notify(f"{why}: saving what can be saved, and ending")
            self.driver.end(why)
            return self.driver.over()

    def close(self) -> None:
        """Let no more calls reach the driver, since Tune may be left running; raises what was kept."""
        with self.lock:
            self.closed = True
        if error := self.error or self.driver.fatal:
            raise error


def _explain(trial: Any) -> Failure:
    """The failure of a trial whose process died without a report."""
    error, text = private_api.cause_of_death(trial)
    log = re.sub(r"\x1b\[\d*m", "", text)  # a file has no colours
    if error is None:
        lines = log.strip().splitlines()
        return Failure(
            lines[-1] if lines else "the trial's process ended without a message", log, "ProcessDied"
        )
    return Failure(describe(_cause(error)), log, "ProcessDied", moved=getattr(error, "preempted", False))


def _cause(error: BaseException) -> BaseException:
    """What a Ray task raised, from the error that Ray wraps it in."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


class _Plugin:
    """One of the four interfaces that Tune calls; each only passes the call on to the bridge.

    Tune pickles them into a state file that is never read again, so they pickle as empty.
    """

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Search(_Plugin, Searcher):
    def suggest(self, trial_id: str) -> Any:
        config = self._bridge.next_config(trial_id)
        if config is None:
            return None if self._bridge.busy else Searcher.FINISHED
        return config

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None: ...

    def save(self, checkpoint_path: str) -> None: ...


class _Scheduler(_Plugin, FIFOScheduler):
    def on_trial_result(self, _: Any, trial: Any, result: dict[str, Any]) -> str:
        goes_on = self._bridge.report(trial.trial_id, result)
        return str(FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP)


class _Callback(_Plugin, tune.Callback):
    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._bridge.start(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        result.pop("files", None)  # recorded by now; Tune would keep each trial's last ones to the end

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._bridge.died(trial.trial_id, trial)

    def on_step_end(self, iteration: int, trials: Any, **_: Any) -> None:
        self._bridge.tick()
        self._bridge.post_notices()


class _Stopper(_Plugin, tune.Stopper):
    def __call__(self, trial_id: str, result: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.driver.over()
