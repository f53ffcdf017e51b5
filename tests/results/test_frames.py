from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edge_cases import CASES
from facts import lacking
from lines import read
from records import TWO_CURVES, TWO_POINTS, constant, record

from benchmarks.recorder import Recorder
from tune_app import results, stopping
from tune_app import space as spaces
from tune_app.data import Dataset
from tune_app.data.identity import DataIdentity
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.errors import SpaceError, StorageError
from tune_app.report import terminal
from tune_app.report.render import csv
from tune_app.report.rung_table import rung_table
from tune_app.results import COLUMNS, Frames, json_views, verdict
from tune_app.space import rules
from tune_app.sweep import Sweep
from tune_app.sweep.events import Ended
from tune_app.tasks.pneumonia import Pneumonia

GOLDEN = Path(__file__).parents[1] / "golden"
DATA = DataIdentity("xrays", "folder", "c0ffee" * 10, 64, "image", {"train": 8, "val": 2, "test": 4})

#: One configuration for each way to end; the seventh is drawn as the first again.
SPACE = """
task: pneumonia
configs:
- {lr: 1, nodes: 1}
- {lr: 2, nodes: 2}
- {lr: 3, nodes: 3}
- {lr: 4, nodes: 4}
- {lr: 5, nodes: 5}
- {lr: 6, nodes: 6}
space: {lr: {choice: [1.0]}, nodes: {choice: [1]}}
fixed: {loss: bce}
search: {algorithm: random, samples: 1}
seeds: 2
epochs: 2
choose: {window: 2}
stop: {scheduler: asha}
"""


def epoch(recorder: Recorder, trial: str, accuracy: list[float | None], device: str = "") -> None:
    loss = [None if value is None else round(1 - value, 3) for value in accuracy]
    recorder.epoch(trial, {"val_accuracy": accuracy, "train_loss": loss}, device, duration_s=0.25)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """A recorded sweep, written by hand, with one configuration of each status."""
    made = Sweep.create(spaces.parse(SPACE, name="my"), DATA, tmp_path)
    with made.writing():
        recorder = Recorder.of(made)
        one, two, three, four = map(recorder.start, (1, 2, 3, 4))
        epoch(recorder, one, [0.5, 0.7], "cuda:0")
        epoch(recorder, one, [0.6, 0.9])
        recorder.finish(one, {"test_accuracy": [0.55, 0.65]})
        epoch(recorder, two, [0.2, 0.3], "cuda:1")
        recorder.decide(two, 0.25, 0.4, stop=True)
        epoch(recorder, three, [None, 0.4], "cuda:0")
        recorder.diverge(three)
        epoch(recorder, three, [None, 0.5])
        recorder.finish(three, {"test_accuracy": [None, 0.45]})
        epoch(recorder, four, [0.1, 0.1], "cpu")
        recorder.fail(four, "ValueError: no", "logs/4.1.log")
        five = recorder.start(5)
        epoch(recorder, five, [0.11, 0.12], "cpu")
        epoch(recorder, five, [0.21, 0.22])
        recorder.interrupt()
        again = recorder.start(5)
        epoch(recorder, again, [0.31, 0.33], "cuda:1")
    return Sweep.open(made.paths.folder)


@pytest.fixture
def frames(sweep: Sweep) -> Frames:
    return results.load(sweep)


def row(frame: pd.DataFrame, sample: int, **where: Any) -> dict[str, Any]:
    chosen = frame[frame["sample"] == sample]
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    [found] = chosen.to_dict("records")
    return {str(name): value for name, value in found.items()}


# ---------------------------------------------------------------- files


def cell(text: str) -> Any:
    """A cell as it is written; of a long fraction, all but the digits that libraries round differently."""
    return f"{float(text):.12g}" if re.fullmatch(r"\d+\.\d{9,}", text) else text


@pytest.mark.parametrize("name", ["results.csv", "seeds.csv", "curves.csv"])
def test_the_files_are_as_they_always_were(frames: Frames, name: str) -> None:
    written = {path.name: path.read_text().splitlines() for path in results.write(frames)}[name]
    golden = (GOLDEN / name).read_text().splitlines()
    assert written[0] == golden[0]
    assert [[cell(text) for text in line.split(",")] for line in written] == [
        [cell(text) for text in line.split(",")] for line in golden
    ]
    assert not list(frames.sweep.paths.folder.glob("*.part"))


def test_the_files_and_lines_of_configurations_that_wait_are_as_they_always_were(tmp_path: Path) -> None:
    frames, golden = CASES["waiting"](tmp_path), GOLDEN / "waiting"
    made = rung_table(frames)
    assert made
    found = {path.name: path.read_text(encoding="utf-8") for path in results.write(frames)}
    found["rungs.csv"] = csv(made)
    for name, content in found.items():
        expected = (golden / name).read_text(encoding="utf-8")
        lines = zip(content.splitlines(), expected.splitlines(), strict=True)
        for written, line in lines:
            assert list(map(cell, written.split(","))) == list(map(cell, line.split(","))), name
    kinds = ("paused", "promoted", "decision")
    events = [event for _, event in read(frames.sweep.paths.record) if event["event"] in kinds]
    for event in events:
        del event["t"], event["crc"]
    assert events == [json.loads(line) for line in (golden / "record.jsonl").read_text().splitlines()]


def test_every_column_is_documented(frames: Frames) -> None:
    metrics = {"val_accuracy", "train_loss", "test_accuracy"}
    known = {*COLUMNS, *frames.parameters}
    for frame in (frames.trials, frames.seeds, frames.curves):
        named = {re.sub(f"^({'|'.join(metrics)})", "<metric>", str(column)) for column in frame}
        assert named <= known
    assert {n for n in COLUMNS if "<" not in n} <= {
        str(column) for frame in (frames.trials, frames.seeds, frames.curves) for column in frame
    }


@pytest.mark.parametrize("name", [name for name in COLUMNS if "<" not in name])
@pytest.mark.parametrize(
    "place", ["space: {{{0}: {{grid: [1]}}}}", "fixed: {{{0}: 1}}", "configs: [{{{0}: 1}}]"]
)
def test_a_parameter_cannot_hide_a_column(name: str, place: str) -> None:
    with pytest.raises(SpaceError, match=f'my.yaml:2: .*"{name}" is a column of'):
        spaces.parse(f"task: pneumonia\n{place.format(name)}", file="my.yaml")


def test_a_disk_that_refuses_leaves_no_half_file(frames: Frames) -> None:
    frames.sweep.paths.seeds.mkdir()
    with pytest.raises(StorageError, match=r"seeds\.csv: cannot be written: Is a directory"):
        results.write(frames)
    assert not list(frames.sweep.paths.folder.glob("*.part"))


# ---------------------------------------------------------------- rows


def test_each_status_is_shown(frames: Frames) -> None:
    assert frames.trials["status"].tolist() == [
        "finished",
        "stopped",
        "diverged",
        "failed",
        "interrupted",
        "planned",
        "finished",
    ]
    assert frames.trials["n"].tolist() == [2, 2, 1, 2, 2, 0, 2]
    assert frames.trials["n_diverged"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert frames.trials["epochs"].tolist() == [2, 1, 2, 1, 1, 0, 2]
    assert frames.seeds[frames.seeds["sample"] == 3]["status"].tolist() == ["diverged", "finished"]


def test_means_and_intervals_are_over_the_replicates(frames: Frames) -> None:
    found = row(frames.trials, 1)
    assert found["val_accuracy_mean"] == 0.75
    # t(1) at 97.5% is 12.706; the sd of 0.6 and 0.9 is 0.3 / sqrt(2)
    assert found["val_accuracy_ci95"] == pytest.approx(12.7062 * 0.3 / 2, rel=1e-5)
    assert found["test_accuracy_mean"] == pytest.approx(0.6)
    alone = row(frames.trials, 3)
    assert (alone["val_accuracy_mean"], alone["test_accuracy_mean"]) == (0.5, 0.45)
    assert np.isnan(alone["val_accuracy_ci95"])


def test_a_stopped_configuration_shows_its_last_epoch_and_no_test(frames: Frames) -> None:
    found = row(frames.trials, 2)
    assert found["val_accuracy_mean"] == 0.25
    assert np.isnan(found["test_accuracy_mean"])


def test_what_was_trained_again_replaces_what_came_before(frames: Frames) -> None:
    curve = frames.curves[(frames.curves["sample"] == 5) & (frames.curves["replicate"] == 1)]
    assert curve["epoch"].tolist() == [1]
    assert curve["val_accuracy"].tolist() == [0.33]
    found = row(frames.seeds, 5, replicate=1)
    assert (found["device"], found["epochs"], found["duration_s"]) == ("cpu+cuda:1", 1, 0.25)


def test_a_duplicate_repeats_the_outcome_of_its_original(frames: Frames) -> None:
    first, twin = row(frames.trials, 1), row(frames.trials, 7)
    assert twin.pop("twin") == 1
    assert pd.isna(first.pop("twin"))
    assert {**twin, "sample": 1} == first
    assert 7 not in frames.seeds["sample"].tolist()
    assert 7 not in frames.curves["sample"].tolist()


def test_only_finished_configurations_are_ranked_best_first(frames: Frames) -> None:
    assert results.ranked(frames)["sample"].tolist() == [1, 7]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_ranking_follows_the_metrics_mode(tmp_path: Path, mode: str) -> None:
    text = (
        "task: pneumonia\nspace: {lr: {grid: [1, 2, 3]}}\nseeds: 1\nmetric: {name: val_accuracy, mode: max}"
    )
    made = Sweep.create(spaces.parse(text, [f"metric.mode={mode}"]), DATA, tmp_path)
    assert results.ranked(results.load(made)).empty
    with made.writing():
        for sample, value in ((1, 0.5), (2, 0.9), (3, 0.1)):
            Recorder.of(made).train(sample, [value], test={"test_accuracy": [0.5]})
    order = results.ranked(results.load(made))["sample"].tolist()
    assert order == ([2, 1, 3] if mode == "max" else [3, 1, 2])


def test_parameters_that_vary_are_told_from_those_that_do_not(frames: Frames, tmp_path: Path) -> None:
    assert frames.parameters == ["lr", "nodes", "loss"]
    assert frames.varying == ["lr", "nodes"]
    text = "task: pneumonia\nconfigs: [{lr: 4.0, nodes: 1}, {lr: 4, nodes: 2}]"
    made = Sweep.create(spaces.parse(text), DATA, tmp_path / "other")
    assert results.load(made).varying == ["nodes"]


def test_an_empty_record_has_empty_frames(tmp_path: Path) -> None:
    text = "task: pneumonia\nspace: {lr: {uniform: [0.1, 1]}}\nsearch: {algorithm: optuna, samples: 3}"
    empty = results.load(Sweep.create(spaces.parse(text), DATA, tmp_path))
    assert [len(frame) for frame in (empty.trials, empty.seeds, empty.curves)] == [0, 0, 0]
    assert [path.stat().st_size > 0 for path in results.write(empty)] == [True] * 3


# ---------------------------------------------------------------- against a trained sweep


@pytest.mark.parametrize("evaluate", ["last", "best"])
def test_a_trained_sweep_shows_the_epoch_that_was_evaluated(
    tiny: Dataset, tmp_path: Path, evaluate: str
) -> None:
    text = (
        "task: pneumonia\nconfigs: [{lr: 0.05}]\nfixed: {nodes: 8, batch_size: 8, gamma: 1.0}\nepochs: 6\n"
        f"seeds: 3\nevaluate: {evaluate}\nmetric: {{name: val_loss, mode: min}}"
    )
    space = spaces.parse(text)
    with Sweep.create(space, tiny.identity, tmp_path).writing() as sweep:
        inline.run(Driver(sweep, stopping.make_stopper(space)), Pneumonia().splits(tiny))
    frames = results.load(Sweep.open(sweep.paths.folder))
    attempt = sweep.history.attempts["1.1"]
    assert frames.seeds["evaluated"].tolist() == attempt.evaluated
    if evaluate == "last":
        assert attempt.evaluated == [6, 6, 6]
    for replicate, curve in frames.curves.groupby("replicate"):
        found = row(frames.seeds, 1, replicate=replicate)
        losses = dict(zip(curve["epoch"], curve["val_loss"], strict=True))
        assert found["val_loss"] == (min(losses.values()) if evaluate == "best" else losses[6])
        assert found["val_loss"] == losses[found["evaluated"]]
    assert frames.seeds["test_accuracy"].tolist() == attempt.test["test_accuracy"]
    scores = frames.scores(1)
    assert scores.shape == (3, 10)
    assert ((scores > 0) == tiny.test.y).mean(axis=1).tolist() == attempt.test["test_accuracy"]


def test_scores_follow_the_replicates_over_several_trials(sweep: Sweep) -> None:
    with sweep.writing():
        recorder = Recorder.of(sweep)
        for replicate, values in ((1, [[3, 4]]), (0, [[1, 2]])):
            rows = np.array(values, "<f4")
            place = sweep.scores.append(rows.tobytes(), rows.shape)
            trial = recorder.start(6, replicate)
            recorder.epoch(trial, [0.5])
            recorder.finish(trial, {"test_accuracy": [0.5]}, place)
    frames = results.load(sweep)
    assert frames.scores(6).tolist() == [[1, 2], [3, 4]]
    assert frames.scores(1).shape == (0,)


def test_a_diverged_replicate_that_has_not_begun_again_has_no_evaluated_epoch(tmp_path: Path) -> None:
    text = "task: pneumonia\nspace: {lr: {grid: [1]}}\nseeds: 2\nepochs: 2\nevaluate: best"
    space = spaces.parse(text, file="my.yaml", name="my")
    with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
        recorder = Recorder.of(sweep)
        trial = recorder.start(1)
        recorder.epoch(trial, [None, 0.5])
        recorder.diverge(trial, 0, why="val_accuracy was nan")
        recorder.interrupt()
        recorder.start(1, epoch=1)
    frames = results.load(Sweep.open(sweep.paths.folder))
    assert frames.seeds["val_accuracy"].isna().tolist() == [True, False]
    assert frames.seeds["epochs"].tolist() == [1, 1]


def test_the_ranking_has_the_rows_of_the_frame(frames: Frames) -> None:
    ranked = results.ranked(frames)
    pd.testing.assert_frame_equal(ranked, frames.trials.loc[ranked.index])


def test_replicates_that_both_have_are_paired(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{lr: 1}, {lr: 2}]\nepochs: 1\nseeds: 3\n"
    test: dict[int, list[float | None]] = {1: [0.5, 0.6, 0.9], 2: [0.4, 0.45, None]}
    ended = {sample: constant(test=values, val=[0.5] * 3, epochs=1) for sample, values in test.items()}
    frames = record(tmp_path, text, ended)
    found = frames.paired("test_accuracy", 1, 2)
    assert found is not None
    assert found.difference == pytest.approx(0.125)
    assert frames.paired("test_auc", 1, 2) is None


def test_a_run_is_summed_up(tmp_path: Path) -> None:
    text = "task: pneumonia\nspace: {lr: {grid: [1, 2, 3]}}\nepochs: 1\nseeds: 1\n"
    frames = record(tmp_path, text, {1: constant(epochs=1), 2: constant(epochs=1)})
    assert frames.states() == ["2 finished", "1 planned"]
    assert frames.states("finished") == ["1 planned"]
    assert frames.finished["sample"].tolist() == [1, 2]
    assert frames.row(3)["status"] == "planned"
    assert frames.identity == {"data": "xrays", "data_sha256": "c0ffee" * 10}
    assert frames.provenance == {}


@pytest.mark.parametrize(("window", "order"), [(1, [2, 1]), (2, [1, 2])])
def test_configurations_are_ranked_by_the_mean_of_the_epochs_that_choose(
    tmp_path: Path, window: int, order: list[int]
) -> None:
    frames = record(tmp_path, f"{TWO_POINTS}choose: {{window: {window}}}\n", TWO_CURVES)
    assert results.ranked(frames)["sample"].tolist() == order
    assert frames.choice_of("val_accuracy") == "val_accuracy_choice"
    assert frames.row(1)["val_accuracy_mean"] == pytest.approx(0.7)
    chosen = {1: [0.7, 0.71, 0.69], 2: [0.8, 0.815, 0.8]}[window]
    assert frames.replicates(1, "val_accuracy_choice").tolist() == pytest.approx(chosen)
    assert frames.measured(1, "val_accuracy_choice") == pytest.approx(chosen)
    assert frames.row(1)["val_accuracy_choice"] == pytest.approx(sum(chosen) / 3)
    assert frames.metrics == ["val_accuracy"]
    found = frames.paired("val_accuracy", *order)
    assert found is not None
    assert found.difference > 0, "of what they are ranked by"


def test_replicates_that_ended_early_are_chosen_by_their_own_last_epochs(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{lr: 1}]\nepochs: 4\nseeds: 2\nchoose: {window: 2}\n"
    with Sweep.create(spaces.parse(text), DATA, tmp_path, "run").writing() as sweep:
        recorder = Recorder.of(sweep)
        trial = recorder.start(1)
        for number, value in enumerate((0.25, 0.5, 0.75, 1.0), start=1):
            recorder.epoch(trial, [value, value])
            if number == 3:
                sweep.note(Ended(trial=trial, epoch=3, replicates=[0], by="patience"))
        recorder.finish(trial)
        frames = results.load(sweep)
    assert frames.seeds["val_accuracy_choice"].tolist() == [0.625, 0.875]
    assert frames.row(1)["val_accuracy_choice"] == 0.75


def test_names_that_an_earlier_version_allowed_are_no_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TWO_POINTS.replace("lr: 1e-6", "lr: 1e-6, val_accuracy_choice: 7").replace(
        "lr: 2e-6", "lr: 2e-6, val_accuracy_choice: 7"
    )
    with monkeypatch.context() as earlier:
        earlier.setattr(rules, "metric_columns", lambda metric: ())
        frames = record(tmp_path, f"{text}choose: {{window: 1}}\n", TWO_CURVES)
    assert frames.trials["val_accuracy_choice"].tolist() == [7, 7]
    assert frames.choice_of("val_accuracy") == "val_accuracy"
    assert results.ranked(frames)["sample"].tolist() == [2, 1]
    assert verdict.judge(frames).winner == 2
    assert lacking(terminal.best(frames, json_views.best(frames)), ["val_accuracy", "75.0%"]) == []
