"""The sections of a file: their keys and values, and the rungs of early stopping."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parsing import TASK, Case, cases, check_refused, one, parse
from ray.tune.schedulers.async_hyperband import _Bracket

from tune_app import space
from tune_app import space as spaces
from tune_app.errors import SpaceError
from tune_app.space.model import WINDOW

FOUR = f"{TASK}space: {{lr: {{grid: [1, 2, 3, 4]}}}}\n"


@pytest.mark.parametrize("grace", [1, 2, 3, 5])
@pytest.mark.parametrize("factor", [2, 2.5, 3, 4])
@pytest.mark.parametrize("epochs", [6, 27, 30, 100])
def test_the_rungs_are_those_at_which_rays_asha_decides(grace: int, factor: float, epochs: int) -> None:
    class Trial:
        trial_id = "one"

    bracket = _Bracket(grace, epochs, factor, 0)
    decided = []
    for epoch in range(1, epochs):
        before = sum(len(recorded) for _, recorded in bracket._rungs)
        bracket.on_result(Trial(), epoch, 1.0)  # type: ignore[arg-type, unused-ignore]
        if sum(len(recorded) for _, recorded in bracket._rungs) > before:
            decided.append(epoch)
    stop = space.Stop(scheduler="asha", grace_period=grace, reduction_factor=factor)
    assert stop.rungs(epochs) == decided


@pytest.mark.timeout(20)
def test_a_factor_close_to_1_costs_no_time() -> None:
    for factor in (1.0000001, 1.000002, 1.0001):
        stop = space.Stop(scheduler="asha", grace_period=1, reduction_factor=factor)
        assert stop.rungs(1_000_000)[:3] == [1, 2, 3]


@given(st.integers(1, 50), st.floats(1, 1e6, exclude_min=True), st.integers(1, 200))
@example(1, 1.0000000000000002, 200)
@example(1, 1.1, 30)
def test_rungs_ascend_below_the_last_epoch(grace: int, factor: float, epochs: int) -> None:
    rungs = space.Stop(scheduler="asha", grace_period=grace, reduction_factor=factor).rungs(epochs)
    assert rungs == sorted(set(rungs))
    assert all(grace <= rung < epochs for rung in rungs)
    assert bool(rungs) == (grace < epochs)
    brackets = space.Stop(
        scheduler="hyperband", grace_period=grace, reduction_factor=factor
    ).rungs_by_bracket(epochs)
    assert [bracket[0] for bracket in brackets] == rungs, "a bracket for each rung, and none without"
    assert all(later == bracket[1:] for bracket, later in itertools.pairwise(brackets))


@pytest.mark.parametrize(
    ("text", "brackets"),
    [
        ("{scheduler: none}", []),
        ("{scheduler: none, brackets: 2}", []),
        ("{scheduler: median}", []),
        ("{scheduler: asha}", [[1, 3, 9, 27]]),
        ("{scheduler: asha, brackets: 1}", [[1, 3, 9, 27]]),
        ("{scheduler: hyperband}", [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27]]),
        ("{scheduler: hyperband, brackets: 2, grace_period: 2}", [[2, 6, 18], [6, 18]]),
        ("{scheduler: hyperband, brackets: 1}", [[1, 3, 9, 27]]),
    ],
)
def test_the_brackets_of_each_scheduler(text: str, brackets: list[list[int]]) -> None:
    assert parse(f"{FOUR}stop: {text}\n").stop.rungs_by_bracket(30) == brackets


def test_one_flag_changes_the_scheduler_of_a_file_whatever_keys_it_has() -> None:
    text = f"{FOUR}stop: {{scheduler: hyperband, brackets: 2, min_samples_required: 9}}\n"
    for scheduler in ("none", "hyperband"):
        assert parse(text, f"stop.scheduler={scheduler}").stop.scheduler == scheduler


def test_patience_goes_beside_any_scheduler() -> None:
    for scheduler in ("none", "asha", "hyperband", "median"):
        found = parse(f"{FOUR}stop: {{scheduler: {scheduler}, patience: 28}}\n").stop
        assert (found.patience, found.min_delta) == (28, 0)
        assert parse(f"{FOUR}stop: {{scheduler: {scheduler}}}\n").stop.patience is None


def test_only_halving_has_rungs() -> None:
    assert space.Stop(scheduler="median").rungs(30) == space.Stop(scheduler="none").rungs(30) == []


@given(st.integers(2, 400), st.sampled_from(["scheduler: halving", "scheduler: asha, type: promotion"]))
def test_where_trials_wait_a_tenth_of_the_epochs_is_before_the_first_rung(epochs: int, stop: str) -> None:
    text = f"{FOUR}stop: {{{stop}}}\n"
    found = parse(text, f"epochs={epochs}")
    assert found.stop.grace_period == max(1, epochs // 10)
    assert parse(found.dump()) == found
    assert parse(text, f"epochs={epochs}", "stop.grace_period=1").stop.grace_period == 1
    assert parse(f"{FOUR}stop: {{scheduler: asha}}\n", f"epochs={epochs}").stop.grace_period == 1


@given(st.integers(1, 400))
@example(7)
@example(8)
@example(20)
def test_a_file_that_does_not_say_chooses_by_a_few_epochs_of_a_quarter_at_most(epochs: int) -> None:
    found = parse(f"{TASK}epochs: {epochs}\n").choose.window
    assert found == parse(TASK, f"epochs={epochs}").choose.window
    assert found == (WINDOW if epochs >= 4 * WINDOW else max(1, epochs // 4))


def test_the_epochs_that_choose_are_written_down_and_stay_when_others_are_added() -> None:
    written = parse(f"{TASK}epochs: 12\nseeds: 2\n")
    assert written.plain()["choose"] == {"window": 3}
    assert spaces.extend(written, epochs="40").choose.window == 3
    assert spaces.parse(written.dump()) == written
    assert parse(f"{TASK}epochs: 12\nchoose: {{window: 12}}\n").choose.window == 12
    assert parse(f"{TASK}epochs: 3\n", "choose.window=2").choose.window == 2


def test_a_record_that_does_not_say_chose_by_one_epoch() -> None:
    earlier = spaces.parse(f"{TASK}epochs: 30\n", recorded=True)
    assert earlier.choose.window == 1
    assert spaces.extend(earlier, epochs="60").choose.window == 1


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("choose: {window: 1}", "auc", "auc"),
        ("choose: {window: 5}", "auc (last 5 epochs)", "auc (mean of the last 5 epochs)"),
        (
            "choose: {window: 3}\nevaluate: best",
            "auc (3 epochs up to the best)",
            "auc (mean of the 3 epochs up to the best)",
        ),
    ],
)
def test_what_chooses_is_named_with_its_epochs(text: str, short: str, long: str) -> None:
    found = parse(f"{TASK}{text}\n")
    assert (found.chosen_by("auc", short=True), found.chosen_by("auc")) == (short, long)


MALFORMED: list[Case] = [
    ("no task", "epochs: 3\n", ["my.yaml:1: task: ", "missing", "task: pneumonia"]),
    ("unknown key", f"{TASK}epoch: 3\n", ["my.yaml:2: ", '"epoch"', '"epochs"']),
    ("parameter at the top", f"{TASK}lr: 3\n", ["my.yaml:2: ", '"lr"', "fixed"]),
    (
        "unknown inner key",
        f"{TASK}stop:\n  scheduler: asha\n  grace_perid: 3\n",
        ["my.yaml:4: stop: ", '"grace_perid"', '"grace_period"'],
    ),
    ("far inner key", f"{TASK}stop: {{scheduler: asha, zzz: 3}}\n", ["scheduler"]),
    (
        "missing inner key",
        f"{TASK}metric:\n  name: auc\n",
        ["my.yaml:2: metric.mode: ", "mode: max"],
    ),
    ("empty section", f"{TASK}fixed:\nepochs: 3\n", ["my.yaml:2: fixed: ", "{}"]),
    ("section is a word", f"{TASK}stop: asha\n", ["my.yaml:2: stop: ", '"asha"', "mapping"]),
    ("task is no name", "task: a b\n", ["my.yaml:1: task: ", '"a b"', "module:attribute"]),
    ("task is a number", "task: 3\n", ["my.yaml:1: task: ", "3", "text"]),
    ("quoted epochs", f'{TASK}epochs: "3"\n', ["my.yaml:2: epochs: ", '"3"', "remove the quotes"]),
    ("true epochs", f"{TASK}epochs: true\n", ["my.yaml:2: epochs: ", "true"]),
    ("float epochs", f"{TASK}epochs: 4.0\n", ["my.yaml:2: epochs: ", "4.0"]),
    ("no epochs", f"{TASK}epochs: 0\n", ["my.yaml:2: epochs: ", "0", "1"]),
    ("no seeds", f"{TASK}seeds: 0\n", ["my.yaml:2: seeds: ", "0", "1"]),
    ("negative seed", f"{TASK}seed: -1\n", ["my.yaml:2: seed: ", "-1", "0"]),
    ("huge seed", f"{TASK}seed: 4294967296\n", ["my.yaml:2: seed: ", "4294967296", "4294967295"]),
    (
        "mode",
        f"{TASK}metric: {{name: auc, mode: maxx}}\n",
        ["metric.mode: ", "max", "min", '"max"?'],
    ),
    ("sealed", f"{TASK}metric: {{name: test_auc, mode: max}}\n", ["metric.name: ", "sealed", "val_auc"]),
    ("metric name", f"{TASK}metric: {{name: a b, mode: max}}\n", ["metric.name: ", " _"]),
    (
        "no metrics",
        f"{TASK}metric: []\n",
        ["my.yaml:2: metric: ", "empty", "list", "{name: val_accuracy, mode: max}"],
    ),
    ("metrics of words", f"{TASK}metric: [auc]\n", ["my.yaml:2: metric[0]: ", '"auc"', "mapping"]),
    (
        "a second metric",
        f"{TASK}metric:\n  - {{name: auc, mode: max}}\n  - {{name: loss, mode: low}}\n",
        ["my.yaml:4: metric[1].mode: ", '"low"', "max", "min"],
    ),
    (
        "a second metric's key",
        f"{TASK}metric: [{{name: auc, mode: max}}, {{name: loss, mode: min, goal: 3}}]\n",
        ["my.yaml:2: metric[1]: ", '"goal"'],
    ),
    (
        "a second sealed metric",
        f"{TASK}metric: [{{name: auc, mode: max}}, {{name: test_loss, mode: min}}]\n",
        ["my.yaml:2: metric[1].name: ", "sealed", "val_loss"],
    ),
    (
        "stop by a test metric",
        f"{TASK}stop: {{scheduler: asha, metric: test_auc}}\n",
        ["stop.metric: ", "sealed"],
    ),
    ("evaluate", f"{TASK}evaluate: lst\n", ["my.yaml:2: evaluate: ", '"lst"', '"last"?']),
    ("no window", f"{TASK}choose: {{}}\n", ["my.yaml:2: choose.window: ", "missing", "window: 5"]),
    ("empty window", f"{TASK}choose: {{window: 0}}\n", ["my.yaml:2: choose.window: ", "0", "1"]),
    (
        "window of more epochs than there are",
        f"{TASK}epochs: 3\nchoose: {{window: 4}}\n",
        ["my.yaml:3: choose.window: ", "4", "epochs", "3"],
    ),
    ("scheduler", f"{TASK}stop: {{scheduler: asah}}\n", ["stop.scheduler: ", '"asha"']),
    ("no reduction", f"{TASK}stop: {{scheduler: asha, reduction_factor: 1}}\n", ["1"]),
    ("infinite reduction", f"{TASK}stop: {{scheduler: asha, reduction_factor: .inf}}\n", ["not finite"]),
    ("no patience", f"{TASK}stop: {{scheduler: none, patience: 0}}\n", ["stop.patience: ", "0", "1"]),
    (
        "negative delta",
        f"{TASK}stop: {{scheduler: none, min_delta: -1}}\n",
        ["stop.min_delta: ", "-1", "0"],
    ),
    ("no CPU", f"{TASK}resources: {{cpus_per_trial: 0}}\n", ["resources.cpus_per_trial: ", "0"]),
    ("GPU and a half", f"{TASK}resources: {{gpus_per_trial: 1.5}}\n", ["1.5", "2"]),
    ("quoted GPU", f"{TASK}resources: {{gpus_per_trial: '1'}}\n", ['"1"', "remove the quotes"]),
    ("no trial", f"{TASK}resources: {{max_concurrent: 0}}\n", ["resources.max_concurrent: ", "0"]),
    ("algorithm", f"{TASK}search: {{algorithm: rndom, samples: 1}}\n", ["search.algorithm: ", '"random"?']),
    ("samples of a grid", f"{TASK}search: {{algorithm: grid, samples: 3}}\n", ["search.samples: ", "leave"]),
    ("no samples", f"{TASK}search:\n  algorithm: random\n", ["my.yaml:2: search.samples: ", "missing"]),
    (
        "sampler of random",
        one("a: {randint: [1, 3]}").replace("random", "random, sampler: tpe"),
        ["my.yaml:4"],
    ),
    (
        "optuna's sampler",
        one("a: {randint: [1, 3]}").replace("random", "optuna, sampler: tpa"),
        ["my.yaml:4: search.sampler: ", '"tpa"', "tpe", "gp", '"tpe"'],
    ),
    (
        "sampler in fixed",
        f"{TASK}fixed: {{lr: {{grid: [1]}}}}\n",
        ["2: fixed.lr: ", "grid", "space:"],
    ),
    (
        "nan in a list",
        f"{TASK}fixed: {{lr: [1, {{a: .nan}}]}}\n",
        ["2: fixed.lr: ", ".nan", "finite"],
    ),
    ("value in fixed", f"{TASK}fixed: {{lr: {{value: 1}}}}\n", ["2: fixed.lr: ", "space:"]),
    ("nan in fixed", f"{TASK}fixed: {{lr: .nan}}\n", ["fixed.lr: ", ".nan", "finite"]),
    ("half a character", f'{TASK}fixed: {{lr: "\\ud800"}}\n', ['"\\ud800"']),
    ("configs is a mapping", f"{TASK}configs: {{lr: 1}}\n", ["my.yaml:2: configs: ", "{lr: 1}", "list"]),
    ("a point is a number", f"{TASK}configs:\n  - 3\n", ["my.yaml:3: configs[0]: ", "3", "mapping"]),
    ("a point's sampler", f"{TASK}configs:\n  - {{lr: {{choice: [3]}}}}\n", ["my.yaml:3: configs[0].lr: "]),
]


@pytest.mark.parametrize(("text", "facts"), cases(MALFORMED))
def test_a_wrong_key_or_value_is_refused(text: str, facts: list[str]) -> None:
    check_refused(text, facts)


@pytest.mark.parametrize("written", ["val_loss", "{name: val_loss}"])
def test_a_direction_that_is_not_said_is_not_guessed(written: str) -> None:
    with pytest.raises(SpaceError, match=r"mode: min.* if less of it is better, else mode: max"):
        spaces.parse(f"task: a:b\nmetric: {written}\n")
