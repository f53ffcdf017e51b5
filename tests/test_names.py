"""Names of parameters and metrics: no table has two columns of one name, and test metrics are sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from records import Ended, record, steady
from small_task import request, run
from specs import make_spec

from tune_app import report, results
from tune_app import space as spaces
from tune_app.errors import ReportError, SpaceError, TaskError, TrialsFailed
from tune_app.report import terminal
from tune_app.report.exporting import export
from tune_app.report.overview import TableOptions
from tune_app.results import Frames, json_views
from tune_app.space import Config, rules
from tune_app.sweep import Sweep
from tune_app.tasks.task import METRICS, Context
from tune_app.training.replicates import FunctionReplicates

UserModule = Callable[[str], str]

METRIC = "metric: {name: val_speed, mode: max}\n"
PLACES = ["space: {{{0}: {{grid: [1]}}}}", "fixed: {{{0}: 1}}", "configs: [{{{0}: 1}}]"]
OF_A_METRIC = [
    column for name in ("val_speed", *METRICS, "test_auc") for column in rules.metric_columns(name)
]


@pytest.mark.parametrize("name", [*OF_A_METRIC, *sorted(rules.COLUMNS), "Status", "VAL_SPEED_mean", "N"])
def test_a_parameter_is_never_called_as_a_column(name: str) -> None:
    for place in PLACES:
        with pytest.raises(SpaceError, match=rf'^my.yaml:2: .*"{name}" is a column of .*another name'):
            spaces.parse(f"task: a:b\n{place.format(name)}\n{METRIC}", file="my.yaml")
    with pytest.raises(SpaceError, match=rf'^--set fixed.{name}=1: .*"{name}" is a column of'):
        spaces.parse(f"task: a:b\n{METRIC}", [f"fixed.{name}=1"])
    grid = spaces.parse(f"task: a:b\nspace: {{lr: {{grid: [1]}}}}\n{METRIC}", name="my")
    with pytest.raises(SpaceError, match=rf'^my, extended.*"{name}" is a column of'):
        spaces.extend(grid, add=[f"{{lr: 2, {name}: 1}}"])


def test_a_metric_chosen_later_is_held_against_the_parameters() -> None:
    text = "task: a:b\nspace: {speed: {grid: [1]}}\n"
    with pytest.raises(SpaceError, match=r'^my.yaml:2: space: "speed" is a column of the metric speed'):
        spaces.parse(text, ["metric={name: speed, mode: max}"], file="my.yaml")


@pytest.mark.parametrize("text", ["space: {{lr: {{grid: [1]}}}}\n{}", "{}\nspace: {{lr: {{grid: [1]}}}}"])
@pytest.mark.parametrize("place", ["fixed: {LR: 1}", "configs: [{lr: 1, Lr: 2}]"])
def test_two_parameters_differ_by_more_than_case(text: str, place: str) -> None:
    with pytest.raises(SpaceError, match=r'^my.yaml:[23]: .*differs only by case from "(lr|LR)"'):
        spaces.parse("task: a:b\n" + text.format(place), file="my.yaml")


@pytest.mark.parametrize("name", [*sorted(rules.COLUMNS - {"test_looks"}), "Epoch"])
def test_a_metric_is_never_called_as_a_column(name: str) -> None:
    with pytest.raises(SpaceError, match=rf'^my.yaml:2: metric.name: "{name}" is a column'):
        spaces.parse(f"task: a:b\nmetric: {{name: {name}, mode: max}}", file="my.yaml")
    text = f"metric:\n- {{name: loss, mode: min}}\n- {{name: {name}, mode: max}}"
    with pytest.raises(SpaceError, match=rf'^my.yaml:4: metric\[1\].name: "{name}" is a column'):
        spaces.parse(f"task: a:b\n{text}", file="my.yaml")


@pytest.mark.parametrize("name", ["test", "test_", "test_acc", "Test_acc", "TEST"])
def test_nothing_is_chosen_by_a_test_metric(name: str) -> None:
    for key in ("metric: {{name: {0}, mode: max}}", "stop: {{scheduler: none, metric: {0}}}"):
        with pytest.raises(SpaceError, match=r"^my.yaml:2: .*sealed.* choose by val_"):
            spaces.parse(f"task: a:b\n{key.format(name)}", file="my.yaml")


def test_what_only_starts_like_a_split_is_a_name_as_any_other() -> None:
    text = "task: a:b\nspace: {test_batch_size: {grid: [1]}, prior_mean: {grid: [1]}, tester: {grid: [1]}}\n"
    assert spaces.parse(f"{text}metric: {{name: testing_error, mode: min}}").metric.name == "testing_error"


def test_what_an_earlier_version_recorded_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"task: a:b\nspace: {{val_speed_mean: {{grid: [1, 2]}}, N: {{grid: [1]}}}}\n{METRIC}"
    with monkeypatch.context() as earlier:
        earlier.setattr(rules, "COLUMNS", frozenset())
        earlier.setattr(rules, "metric_columns", lambda metric: ())
        record(tmp_path, text, {})
    sweep = Sweep.open(tmp_path / "run")
    assert list(sweep.space.space) == ["val_speed_mean", "N"]
    assert len(results.load(sweep).trials) == 2
    with pytest.raises(SpaceError, match="is a column of"):
        spaces.extend(sweep.space, seeds="+1")


# ---------------------------------------------------------------- metrics that a function reports


def step(yielded: Mapping[Any, Any], **config: float) -> FunctionReplicates:
    def task(config: Config, context: Context) -> Iterator[Any]:
        yield yielded

    group = FunctionReplicates(make_spec(config, epochs=1), task, "cpu")
    group.step()
    return group


@pytest.mark.parametrize(
    ("yielded", "named"),
    [
        ({"speed": 1}, "speed"),
        ({"Speed": 1}, "Speed"),
        ({"test_speed": 1}, "test_speed"),
        ({"prior": 1}, "prior"),
        ({"prior_ci95": 1}, "prior_ci95"),
        ({"val_x": 1, "val_x_mean": 2}, "val_x"),
        ({"Twin": 1}, "Twin"),
    ],
)
def test_a_reported_metric_takes_no_other_column(yielded: dict[str, float], named: str) -> None:
    with pytest.raises(TaskError, match=rf'yielded "{named}".*another name'):
        step(yielded, speed=1, test_speed=1, prior_mean=1, PRIOR_CI95=1)


@pytest.mark.parametrize("name", ["test", "test/acc", "test.acc", "test-acc", "test_acc", "TEST/acc"])
def test_a_test_metric_is_sealed_however_it_is_written(name: str) -> None:
    group = step({name: 0.5, "val_acc": 0.25, "tested": 1})
    [outcome] = group.test()
    assert outcome is not None
    assert outcome.metrics == {name: 0.5}


def test_a_mapping_within_the_metrics_is_no_metric() -> None:
    with pytest.raises(TaskError, match=r"yielded test=\{'acc': 1\}; a metric is a number"):
        step({"test": {"acc": 1}})


def test_a_clash_that_only_training_shows_fails_the_trial(user_module: UserModule) -> None:
    task = user_module("def train(config, context):\n    yield {'val_a': 1, config['kind']: 2}\n")
    text = "space: {kind: {grid: [x, kind]}}\nepochs: 1\nseeds: 1\nmetric: {name: val_a, mode: max}\n"
    with pytest.raises(TrialsFailed, match='yielded "kind"'):
        run(request(f"{task}:train", text))
    assert Sweep.open("runs/one").statuses() == ["finished", "failed"]


# ---------------------------------------------------------------- names that are fine


AWKWARD = ("prior_mean", "prior_ci95", "name", "index", "value", "published", "inside", "_x")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    space = ", ".join(f"{name}: {{grid: [1, 2]}}" for name in AWKWARD[:2])
    fixed = ", ".join(f"{name}: 7" for name in AWKWARD[2:])
    text = f"task: a:b\nspace: {{{space}}}\nfixed: {{{fixed}}}\nepochs: 2\nseeds: 2\n"
    ended = {i: Ended(steady(0.5 + i / 100, 0.6 + i / 100)) for i in range(1, 5)}
    return record(tmp_path_factory.mktemp("runs"), text, ended)


def test_names_that_look_like_columns_keep_their_values(frames: Frames) -> None:
    assert frames.metrics == ["val_accuracy"]
    for frame in (frames.trials, frames.seeds, frames.curves):
        assert frame.columns.is_unique
    assert frames.trials["prior_mean"].tolist() == [1, 1, 2, 2]
    assert set(frames.trials["published"]) == {7}
    written = report.write(frames, frames.sweep.paths.report)
    assert written
    assert terminal.best(frames, json_views.best(frames)).count("prior_ci95") == 1


def test_the_best_of_a_run_without_parameters_is_shown(tmp_path: Path) -> None:
    frames = record(tmp_path, "task: a:b\nepochs: 2\nseeds: 2\n", {1: Ended(steady(0.5, 0.6))})
    assert "val_accuracy" in terminal.best(frames, json_views.best(frames))


def test_an_export_takes_parameters_for_no_metrics(frames: Frames) -> None:
    assert b"prior_mean" in export(frames, "csv", TableOptions(columns=["prior_mean"]))
    with pytest.raises(ReportError, match='no column "prior"'):
        export(frames, "csv", TableOptions(columns=["prior"]))
    assert export(frames, "optuna")
