"""The same sweeps on Ray itself, in one small local cluster."""

from __future__ import annotations

import itertools
import os
import platform
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from drawing import DRAWING, PROGRAMS
from facts import lacking
from printing import PRINTING, WAYS
from raising import EXPECTED, RAISING
from ray_marks import QUIET
from small_task import TASK
from specs import change

from benchmarks.chaos.moved import ACTS, content, elsewhere, other
from tune_app import results, stopping
from tune_app import space as spaces
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA
from tune_app.driver import resources
from tune_app.driver.driver import Driver
from tune_app.driver.resources import Plan
from tune_app.engines import inline
from tune_app.engines.ray import connection, nodes, tune_engine
from tune_app.errors import FolderChanged
from tune_app.results import json_views
from tune_app.search.searcher import OptunaSearch
from tune_app.session import settle
from tune_app.status import Status
from tune_app.sweep import Sweep, record
from tune_app.sweep.events import Numerics
from tune_app.tasks import task
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.tasks.task import Splits
from tune_app.training import stacking_benchmark
from tune_app.training.protocol import EpochReport
from tune_app.training.stacking_benchmark import Benchmark, Choice

pytestmark = QUIET

UserModule = Callable[[str], str]
TWO = Plan(1, 0, 2)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[nodes.Cluster]:
    with connection.connect(cpus=2) as found:
        yield found


def parse(task: str, text: str = "", levels: str = "[1, 2, 3]") -> spaces.SearchSpace:
    grid = f"space: {{level: {{grid: {levels}}}}}\n" if levels else ""
    seeds = "" if "seeds:" in text else "seeds: 2\n"
    return spaces.parse(f"task: {task}\nepochs: 3\n{grid}{seeds}{text}", file="my.yaml", name="my")


def sit(
    space: spaces.SearchSpace,
    splits: Splits | None = None,
    engine: str = "ray",
    numerics: Numerics | None = None,
) -> tuple[Sweep, Driver]:
    with Sweep.create(space, NO_DATA, "runs", numerics=numerics).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(space))
        if engine == "ray":
            tune_engine.run(driver, splits, TWO)
        else:
            inline.run(driver, splits)
    return Sweep.open(sweep.paths.folder), driver


def test_checkpoints_come_from_workers_that_share_no_disk(user_module: UserModule) -> None:
    """And where the sweep is to end, they are asked for: each trial is saved once more, far from due."""
    name = user_module(TASK)
    text = f"task: {name}:Task\nspace: {{lr: {{grid: [0.1, 0.2]}}}}\nseeds: 1\nepochs: 100000\n"
    space = spaces.parse(text, file="my.yaml", name="my")
    own = task.load(space.task)
    assert isinstance(own, task.Task)

    class Impatient(Driver):
        def report(self, trial: str, report: EpochReport, device: str) -> bool:
            heard.add(trial)
            self.ending = "enough" if len(heard) == 2 else None
            return super().report(trial, report, device)

    heard: set[str] = set()
    with Sweep.create(space, NO_DATA, "runs").writing() as sweep:
        tune_engine.run(Impatient(sweep, stopping.make_stopper(space), gather=True), own.splits(None), TWO)
    attempts = Sweep.open(sweep.paths.folder).history.attempts
    assert {attempt.device for attempt in attempts.values()} == {f"cpu on {platform.node()}"}
    saved = [attempt.saved for attempt in attempts.values()]
    assert len(saved) == 2
    assert all(each and sweep.is_intact(each) for each in saved)


def test_workers_write_nothing_into_a_folder_that_lies_where_theirs_did(user_module: UserModule) -> None:
    text = f"task: {user_module(TASK)}:Task\nspace: {{lr: {{grid: [0.1, 0.2]}}}}\nseeds: 1\nepochs: 100000\n"
    space = spaces.parse(f"{text}checkpoint_every: 0\nkeep: last", file="my.yaml", name="my")
    own = task.load(space.task)
    assert isinstance(own, task.Task)
    folder, reports = Path("runs/run"), itertools.count(1)
    before: dict[str, bytes] = {}

    class Swapping(Driver):
        def report(self, trial: str, report: EpochReport, device: str) -> bool:
            if next(reports) == 5:
                shutil.copytree(folder, other(folder))
                before.update(content(other(folder)))
                ACTS["swapped"](folder)
                time.sleep(0.2)  # for the workers to come to a checkpoint
            return super().report(trial, report, device)

    with Sweep.create(space, NO_DATA, "runs", "run").writing() as sweep:
        driver = Swapping(sweep, stopping.make_stopper(space))
        with pytest.raises(FolderChanged, match=r"runs/run: its record\.jsonl"):
            tune_engine.run(driver, own.splits(None), TWO)
    assert content(folder) == before
    assert [each.end for each in Sweep.open(elsewhere(folder)).history.attempts.values()] == [None, None]


def statuses(sweep: Sweep) -> list[Status]:
    return sweep.statuses()


def outcome(sweep: Sweep) -> dict[str, Any]:
    """All that the record says of each trial, but for times, devices and test scores' places."""
    return {
        name: (
            attempt.replicates,
            attempt.end,
            attempt.diverged,
            [(each.epoch, each.metrics) for each in attempt.epochs],
            attempt.test,
            attempt.evaluated,
            attempt.scores and sweep.scores.read(attempt.scores),
        )
        for name, attempt in sorted(sweep.history.attempts.items())
    }


def test_ray_records_what_the_inline_engine_records(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    points = (
        "configs: [{lr: 1e-3}, {lr: 1e-4}, {lr: 1e-2}, {lr: 1e+30}]\nfixed: {batch_size: 8, dropout: 0.2}"
    )
    space = parse("pneumonia", points, levels="")
    splits = Pneumonia().splits(tiny)
    (tune_engine, _), (here, _) = sit(space, splits), sit(space, splits, "inline")
    assert statuses(tune_engine) == ["finished"] * 3 + ["diverged"]
    assert outcome(tune_engine) == outcome(here)
    assert {attempt.device for attempt in tune_engine.history.attempts.values()} == {"cpu"}


def test_ray_trains_stacked_replicates_as_the_inline_engine_does(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    points = "configs: [{lr: 1e-3}, {lr: 1e-2, dropout: 0.2}, {lr: 1e+30}]\nfixed: {batch_size: 8}"
    space = parse("pneumonia", points, levels="")
    splits, numerics = Pneumonia().splits(tiny), Numerics("stacked")
    (tune_engine, _), (here, _) = (sit(space, splits, engine, numerics) for engine in ("ray", "inline"))
    assert statuses(tune_engine) == ["finished", "finished", "diverged"]
    assert outcome(tune_engine) == outcome(here)


def test_a_function_task_draws_and_sets_on_ray_what_it_does_inline(user_module: UserModule) -> None:
    """Processes that are used again included."""
    text = f"space: {{program: {{grid: [{', '.join(PROGRAMS)}]}}}}\nfixed: {{a: 1, extra: 2}}\nseeds: 3\n"
    text += "metric: {name: val_loss, mode: min}"
    space = parse(f"{user_module(DRAWING)}:train", text, levels="")
    (here, _), (tune_engine, driver) = sit(space, engine="inline"), sit(space)
    assert set(statuses(here)) == {"finished"}
    assert driver.ending is None
    assert outcome(tune_engine) == outcome(here)


SPREAD = """
    import random

    def task(config, context):
        drawn = random.Random(f"{config['level']} {context.seed}").gauss(0, 1)
        for _ in range(context.epochs):
            yield {"val_accuracy": 0.03 * drawn + 0.9 - config["level"] / 50}
"""


def test_settling_on_ray_adds_the_seeds_that_it_adds_inline(user_module: UserModule) -> None:
    name, added, seeds = f"{user_module(SPREAD)}:task", [], []
    for engine in ("inline", "ray"):
        sweep, _ = sit(parse(name, "seeds: 3\n", levels="[0, 1, 2, 12]"), engine=engine)
        batch, _ = settle.begin(sweep, budget=150)
        with sweep.writing():
            sweep.note(batch)
            driver = Driver(sweep, stopping.make_stopper(sweep.space), slots=2, look=settle.look)
            if engine == "ray":
                tune_engine.run(driver, None, TWO)
            else:
                inline.run(driver, None)
        assert sweep.complete_and_trained()
        added.append([(each.samples, each.seeds) for each in sweep.history.settlings[0].batches])
        frames = results.load(sweep)
        assert frames.row(4)["n"] == 3
        seeds.append(frames.seeds.drop(columns=["duration_s", "device"]).to_csv())
    assert len(added[0]) > 1
    assert (added[0], seeds[0]) == (added[1], seeds[1])


def test_a_worker_measures_how_replicates_are_to_be_trained(
    tiny: Dataset, user_module: UserModule, tmp_path: Path
) -> None:
    name = user_module("from tune_app.tasks.pneumonia import Pneumonia\nclass Task(Pneumonia): ...")
    space = parse(f"{name}:Task", "configs: [{dropout: 0.3}]\nfixed: {batch_size: 1}", levels="")
    space = space.model_copy(update={"epochs": 1000})
    asked = stacking_benchmark.prepare(space, Pneumonia(), Pneumonia().splits(tiny), 1, "cpu")
    assert isinstance(asked, Benchmark)
    assert tune_engine.benchmark_stacking(asked, TWO) == Choice("looped", "Dropout 3 draws random numbers")
    name = user_module("import os\nos._exit(3)")
    found = tune_engine.benchmark_stacking(replace(asked, spec=change(asked.spec, task=f"{name}:Task")), TWO)
    assert found.replicates == "looped"
    assert found.why.startswith("measuring failed: WorkerCrashedError")


PIDS = """
    import os

    def task(config, context):
        for epoch in range(context.epochs):
            yield {"val_accuracy": config["level"], "val_pid": os.getpid(), "test_accuracy": 0.0123}
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list[dict[str, Any]]]:
    """A sweep under ASHA, and every mapping that Tune handed to its searcher and its scheduler."""
    seen: list[dict[str, Any]] = []

    def spy(owner: type, method: str) -> None:
        original = getattr(owner, method)

        def passing(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.extend(each for each in [*args, *kwargs.values()] if isinstance(each, dict))
            seen.extend(
                each.last_result for each in args if isinstance(getattr(each, "last_result", 0), dict)
            )
            return original(self, *args, **kwargs)

        patch.setattr(owner, method, passing)

    folder = tmp_path_factory.mktemp("watched")
    (folder / "watched_task.py").write_text(textwrap.dedent(PIDS))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        for method in ("on_trial_result", "on_trial_complete", "on_trial_add", "on_trial_remove"):
            spy(tune_engine._Scheduler, method)
        for method in ("on_trial_result", "on_trial_complete", "suggest"):
            spy(tune_engine._Search, method)
        text = "stop: {scheduler: asha, grace_period: 1, reduction_factor: 2}"
        sweep, _ = sit(parse("watched_task:task", text, levels="[1, 2, 3, 4, 5, 6]"))
    return sweep, seen


def test_early_stopping_is_carried_out(watched: tuple[Sweep, list[dict[str, Any]]]) -> None:
    sweep, _ = watched
    found = statuses(sweep)
    assert set(found) == {"finished", "stopped"}
    assert found[-1] == "finished"
    stops = [judgement for judgement in sweep.history.decisions if judgement.stop]
    assert len(stops) == found.count(Status.STOPPED)
    assert all(sweep.history.attempts[each.trial].epoch == each.epoch for each in stops)


def test_processes_are_used_again(watched: tuple[Sweep, list[dict[str, Any]]]) -> None:
    attempts = watched[0].history.attempts.values()
    pids = {pid for attempt in attempts for each in attempt.epochs for pid in each.metrics["val_pid"]}
    assert len(attempts) == 6
    assert 1 <= len(pids) <= TWO.concurrent
    assert os.getpid() not in pids


def numbers(value: Any) -> Iterator[float]:
    """Every number in a result, at whatever depth."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers(inner)
    elif isinstance(value, int | float | np.number):
        yield float(value)


def test_no_test_metric_reaches_tunes_searcher_or_scheduler(
    watched: tuple[Sweep, list[dict[str, Any]]],
) -> None:
    sweep, seen = watched
    finished = [attempt for attempt in sweep.history.attempts.values() if attempt.end == "finished"]
    assert {value for attempt in finished for value in attempt.test["test_accuracy"]} == {0.0123}
    assert sum(result.get("done") is True and "report" in result for result in seen) >= len(finished) > 0
    assert not [key for result in seen for key in result if "test" in str(key)]
    assert 0.0123 not in {number for result in seen for number in numbers(result)}


FATES = """
    import os

    def task(config, context):
        yield {"val_accuracy": 1.0}
        if config["level"] == 2:
            os.kill(os.getpid(), 9)
        if config["level"] == 3:
            raise ValueError("cannot bear three")
        for _ in range(2):
            yield {"val_accuracy": 2.0}
"""


def test_a_killed_worker_and_a_raising_task_fail_alone(user_module: UserModule) -> None:
    name = user_module(FATES)
    sweep, driver = sit(parse(f"{name}:task", levels="[1, 2, 3, 4]"))
    assert driver.ending is None
    assert statuses(sweep) == ["finished", "failed", "failed", "finished"]
    killed, raised = (sweep.history.attempts[name] for name in ("2.1", "3.1"))
    assert "died" in killed.reason
    assert (sweep.paths.folder / killed.log).is_file()
    assert raised.reason == "ValueError: cannot bear three"
    log = (sweep.paths.folder / raised.log).read_text()
    assert f'{name}.py", line 9, in task' in log
    assert "\x1b" not in log
    assert 'raise ValueError("cannot bear three")' in log


def test_exceptions_that_cannot_be_pickled_are_recorded_as_they_are_inline(user_module: UserModule) -> None:
    module = user_module(RAISING)
    everything = list(range(len(EXPECTED)))
    for engine, cases in (("inline", everything), ("ray", [0, 2, 4])):
        sweep, _ = sit(parse(f"{module}:task", "max_failures: 0", levels=str(cases)), engine=engine)
        attempts = [sweep.history.attempts[f"{sample}.1"] for sample in range(1, len(cases) + 1)]
        expected = [EXPECTED[case] for case in cases]
        assert [attempt.reason for attempt in attempts] == [reason for reason, _ in expected]
        logs = [(sweep.paths.folder / attempt.log).read_text(encoding="utf-8") for attempt in attempts]
        for log, (_, words) in zip(logs, expected, strict=True):
            assert f'{module}.py", line' in log
            assert words in log
            assert len(log) < 100_000


@pytest.mark.filterwarnings("ignore:warned:UserWarning")
@pytest.mark.parametrize("engine", ["ray", "inline", "ray on another machine"])
def test_what_a_trial_prints_is_in_its_log(
    user_module: UserModule, engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    levels = "[1, 2, 3]" if engine == "ray" else "[1, 2]"
    space = parse(f"{user_module(PRINTING)}:task", "max_failures: 0", levels=levels)
    with Sweep.create(space, NO_DATA, "runs").writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(space), gather=engine == "ray on another machine")
        if engine == "inline":
            inline.run(driver, None)
        else:
            tune_engine.run(driver, None, TWO)
    sweep = Sweep.open(sweep.paths.folder)
    logs = {trial: json_views.log(sweep, trial) for trial in sweep.history.attempts}
    assert len(logs) == space.size()
    for trial, log in logs.items():
        level, lines = trial[0], re.split(r"[\n\r]|partly ", log)
        names = [f"{level}.{replicate}.{epoch}" for epoch in (1, 2, 3) for replicate in (0, 1)]
        names = names[: {"2": 3, "3": 3}.get(level, 6)]
        for way in WAYS:
            assert [name for name in names if f"{way} {name}" not in lines] == [], way
        assert not any(f"printed {other}." in log for other in "123" if other != level)
    assert logs["2.1"].endswith("ValueError: cannot bear two")
    assert "Traceback" in logs["2.1"]
    if engine == "ray":
        assert "last words\n" in logs["3.1"]
        assert "actor died" in logs["3.1"]
    assert not [path.name for path in sweep.paths.logs.iterdir() if path.suffix != ".log"]
    assert "printed" not in "".join(capfd.readouterr())


def test_a_model_that_cannot_be_made_fails_with_its_own_words(user_module: UserModule) -> None:
    fussy = TASK.replace(
        "def model(self, config, shape):",
        "def model(self, config, shape):\n            assert config['level'] != 2, 'no model for two'",
    ).replace('config["lr"]', "0.01")
    name = user_module(fussy)
    own = task.load(f"{name}:Task")
    assert isinstance(own, task.Task)
    sweep, _ = sit(parse(f"{name}:Task", "max_failures: 0"), own.splits(None))
    assert statuses(sweep) == ["finished", "failed", "finished"]
    failed = sweep.history.attempts["2.1"]
    assert failed.reason == "AssertionError: no model for two"
    assert f'{name}.py", line' in (sweep.paths.folder / failed.log).read_text()


def test_an_error_of_the_driver_ends_the_sweep_in_good_order_and_is_raised(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Driver, *_: Any) -> bool:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Driver, "report", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        sit(parse(f"{user_module(PIDS)}:task"))
    [sweep] = [Sweep.open(folder) for folder in Path("runs").iterdir()]
    assert "finished" not in statuses(sweep)
    assert not sweep.live()


def test_the_cluster_says_what_it_has(cluster: nodes.Cluster) -> None:
    assert (cluster.cpus, cluster.gpus, cluster.nodes) == (2, 0, 1)
    assert resources.plan(spaces.Resources(), cluster.cpus, cluster.gpus, 9) == TWO
    assert ray.is_initialized()


# ---------------------------------------------------------------- a search

SEARCHED = """
    from optuna.samplers import RandomSampler

    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            yield {"val_accuracy": config["level"] * epoch, "test_accuracy": 0.5}

    class Sampler(RandomSampler):
        def sample_independent(self, study, trial, *rest):
            if trial.number == 4:
                raise ValueError("no more ideas")
            return super().sample_independent(study, trial, *rest)
"""


def search(name: str, sampler: str) -> tuple[Sweep, OptunaSearch, Driver]:
    """Nine samples under ASHA, two at a time."""
    text = (
        f"space: {{level: {{uniform: [0, 1]}}}}\nstop: {{scheduler: asha, reduction_factor: 2}}\n"
        f"search: {{algorithm: optuna, sampler: '{sampler}', samples: 9}}"
    )
    space = parse(f"{name}:task", text, levels="")
    with Sweep.create(space, NO_DATA, "runs").writing() as sweep:
        searcher = OptunaSearch(space, sweep.paths.study)
        searcher.catch_up(event for _, event in record.read(sweep.paths.record))
        driver = Driver(sweep, stopping.make_stopper(space), searcher)
        tune_engine.run(driver, None, TWO)
    return Sweep.open(sweep.paths.folder), searcher, driver


def test_a_search_is_told_how_its_trials_ended_on_ray(user_module: UserModule) -> None:
    sweep, searcher, _ = search(user_module(SEARCHED), "tpe")
    states = {"finished": "COMPLETE", "stopped": "PRUNED"}
    trials = searcher.trials()
    assert [t.state.name for t in trials] == [states[status] for status in sweep.statuses()]
    assert {"finished", "stopped"} == set(sweep.statuses())
    for trial in trials:
        level = trial.params["level"]
        reached = len(trial.intermediate_values)
        assert trial.intermediate_values == {epoch: level * epoch for epoch in range(1, reached + 1)}
        assert trial.value == level * reached


def test_a_sampler_that_raises_ends_the_sweep_in_good_order(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = user_module(SEARCHED)
    monkeypatch.syspath_prepend(Path.cwd())
    sweep, _, driver = search(name, f"{name}:Sampler")
    assert lacking(str(driver.queue.search_error), ["sample 5", "ValueError: no more ideas"]) == []
    assert len(sweep.statuses()) == 4
    # Tune asks for a sample before it has a place for it: the fourth may wait for one when the fifth fails.
    assert set(sweep.statuses()) <= {"finished", "stopped", "interrupted", "planned"}
    assert "planned" not in sweep.statuses()[:3]
