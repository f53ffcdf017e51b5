"""Sweeps that an Optuna sampler searches, with made-up metrics and no engine: parts of several tests."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
from lines import read
from optuna.trial import FrozenTrial, TrialState

from benchmarks.in_flight import Flight, Function
from tune_app import space as spaces
from tune_app import stopping
from tune_app.driver.driver import Driver
from tune_app.search.searcher import OptunaSearch
from tune_app.sweep import Sweep, record
from tune_app.sweep.events import Extended, Opened

SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "nsga2")
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
BOWL = "x: {uniform: [-2, 2]}, y: {loguniform: [0.01, 100]}"
ASHA = "stop: {scheduler: asha, grace_period: 2, reduction_factor: 2}\nepochs: 5"
PROMOTION = ASHA.replace("asha,", "asha, type: promotion,")
TWO_METRICS = "metric: [{name: loss, mode: min}, {name: speed, mode: max}]"


def parse(
    parameters: str = BOWL, sampler: str = "tpe", samples: int = 12, text: str = ""
) -> spaces.SearchSpace:
    """A space of two epochs and one seed that minimises ``loss``; ``text`` may change each of these."""
    keys = "\n".join(
        line
        for line in ("epochs: 2", "seeds: 1", "metric: {name: loss, mode: min}", "seed: 3")
        if line.split(":")[0] not in {each.split(":")[0] for each in text.splitlines()}
    )
    return spaces.parse(
        f"task: nowhere:at_all\nspace: {{{parameters}}}\n"
        f"search: {{algorithm: optuna, sampler: '{sampler}', samples: {samples}}}\n{keys}\n{text}",
        file="my.yaml",
        name="my",
    )


def bowl(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
    """Minimal at x = 0.5, y = 1; better in later epochs, slightly worse in later replicates."""
    value = (config["x"] - 0.5) ** 2 + math.log10(config["y"]) ** 2 + replicate / 64
    return {"loss": value + 1 / epoch, "test_loss": 0.87654321}


def failing(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
    """The bowl; fails where x > 1, and diverges in epoch 2 of replicate 0 where x < -1."""
    if config["x"] > 1:
        raise OSError("a wall")
    gone = config["x"] < -1 and replicate == 0 and epoch == 2
    return {"loss": math.inf} if gone else bowl(config, replicate, epoch)


@contextlib.contextmanager
def session(sweep: Sweep, file: bool = True) -> Iterator[tuple[OptunaSearch, Driver]]:
    """A session as ``tune-app run`` holds it, its searcher caught up; with ``file``, it keeps a study.db.

    Nothing waits for the disk.
    """
    with mock.patch("os.fsync"), sweep.writing():
        sweep.note(Opened(), durable=True)
        first = spaces.parse(sweep.header.yaml, name="my")
        search = OptunaSearch(first, sweep.paths.study if file else None, sweep.name)
        search.catch_up(event for _, event in record.read(sweep.paths.record))
        yield search, Driver(sweep, stopping.make_stopper(sweep.space), search)
        search.close()


def train(
    sweep: Sweep, function: Function = bowl, lanes: int = 1, reports: int | None = None, file: bool = True
) -> list[FrozenTrial]:
    """Train a session, killed after this many ``reports``; returns the sampler's trials at its end."""
    with session(sweep, file) as (search, driver):
        Flight(driver, function, lanes, lambda sample: 1 + sample * 0.377 % 1).run(reports)
        return search.trials() or replayed(sweep)


def replayed(sweep: Sweep) -> list[FrozenTrial]:
    """The trials that the sampler would see if it were asked once more."""
    search = OptunaSearch(spaces.parse(sweep.header.yaml, name="my"))
    wider = spaces.extend(sweep.space, samples="+1").dump()
    recorded = [event for _, event in record.read(sweep.paths.record)]
    search.catch_up([*recorded, Extended(space=wider, asked="", from_start=False)])
    return search.trials()


def new(space: spaces.SearchSpace, runs: Path) -> Sweep:
    return Sweep.create(space, runs_dir=runs)


def extend(sweep: Sweep, **more: str) -> None:
    with sweep.writing():
        sweep.extend(spaces.extend(sweep.space, **more), str(more), from_start=False)


def study_db(sweep: Sweep) -> list[FrozenTrial]:
    """The trials of ``study.db``, as Optuna reads them."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{sweep.paths.study}")
    try:
        return optuna.load_study(study_name=sweep.name, storage=storage).trials
    finally:
        storage.engine.dispose()


def events(sweep: Sweep, *names: str) -> list[dict[str, Any]]:
    return [event for _, event in read(sweep.paths.record) if event["event"] in names]


def suggested(sweep: Sweep) -> list[tuple[Any, ...]]:
    """What was planned, in order: sample, point, and the sample that it repeats."""
    return [(e["sample"], e["config"], e["twin"]) for e in events(sweep, "planned")]


def outcomes(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    """All of the trials but their times: number, state, values, parameters, curve and sample."""
    return [
        (t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs["sample"]) for t in trials
    ]
