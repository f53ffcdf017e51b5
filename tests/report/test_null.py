"""``null`` is a value like any other, and no parameter that is absent."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from itertools import product
from pathlib import Path

import optuna
import pandas as pd
import pytest
from make_run import make
from records import constant

from tune_app import results, space
from tune_app.report import TableOptions, export, tables, terminal
from tune_app.report.figures import draw, heatmap, selection
from tune_app.report.figures.search_figures import KINDS
from tune_app.results import Frames, json_views, verdict

#: Values that are easily taken for null, or for one another; the accuracy depends on them alone.
LEVELS: list[space.Value] = [None, "null", "", "nan", "None", True, "true", 1, "1", 0.12341, 0.12342]

TEXT = f"""
task: mine:train
space:
  cw: {{grid: {json.dumps(LEVELS)}}}
  lr: {{grid: [1, 2]}}
  extra: {{grid: [null, 5], when: {{cw: null}}}}
epochs: 1
seeds: 2
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    folder = tmp_path_factory.mktemp("null")
    file = folder / "s.yaml"
    file.write_text(TEXT)
    place = {space.canonical(value): index for index, value in enumerate(LEVELS)}
    outcomes = {}
    for sample, config in enumerate(space.load(file).planned(), 1):
        reached = 0.9 - 0.05 * place[space.canonical(config["cw"])]
        outcomes[sample] = constant(val=[reached, reached + 0.01], epochs=1)
    return make(folder, TEXT, outcomes, name="null")


def test_each_configuration_has_its_own_name_everywhere(frames: Frames) -> None:
    count = len(frames.trials)
    assert count == 2 * (len(LEVELS) + 1)
    for short in (False, True):
        assert len({frames.name_of(sample, short) for sample in frames.trials["sample"]}) == count
    called = selection.labels(frames, frames.trials["sample"])
    assert len({label.partition(":")[2] for label in called.values()}) == count
    lines = terminal.table(frames).splitlines()[4:]
    rows = [line.split("   ")[1:] for line in lines if line.startswith("  ")]
    assert len({tuple(cell.strip() for cell in row if cell.strip())[:3] for row in rows}) == count
    table = next(each for each in tables(frames, verdict.judge(frames)) if each.name == "results")
    assert len({tuple(row[1:4]) for row in table.rows}) == count


def test_null_is_none_and_an_absent_parameter_is_missing(frames: Frames) -> None:
    for frame in (frames.trials, frames.seeds):
        assert (frame["cw"].map(lambda value: value is None).sum() * (len(LEVELS) + 1)) == len(frame) * 2
        absent = frame["extra"].map(lambda value: value is not None and pd.isna(value))
        assert (absent == frame["sample"].map(lambda sample: "extra" not in frames.config(sample))).all()
    assert frames.varying == ["cw", "lr", "extra"]


@pytest.mark.parametrize("of", ["trials", "seeds"])
def test_files_keep_all_values_apart(frames: Frames, of: str) -> None:
    rows = list(csv.DictReader(io.StringIO(export(frames, "csv", of=of).decode())))
    parquet = pd.read_parquet(io.BytesIO(export(frames, "parquet", of=of)))
    exported = json.loads(export(frames, "json", of=of))["rows"]
    for row, found, plain in zip(rows, parquet.to_dict("records"), exported, strict=True):
        config = frames.config(int(row["sample"]))
        assert (row["cw"] == "null") == (found["cw"] == "null") == (config["cw"] is None)
        assert (row["extra"] == "") == pd.isna(found["extra"]) == ("extra" not in config)
        assert {name: plain[name] for name in ("cw", "lr", "extra") if name in plain} == config
    assert len({row["cw"] for row in rows}) == parquet["cw"].nunique() == len(LEVELS)


def test_the_runs_own_files_say_null(frames: Frames) -> None:
    for path in results.write(frames)[:2]:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        assert {row["extra"] for row in rows if row["cw"] == "null"} == {"null", "5"}
        assert {row["extra"] for row in rows if row["cw"] != "null"} == {""}


def test_json_has_no_key_for_what_does_not_exist(frames: Frames) -> None:
    for row in json_views.run(frames)["trials"]:
        config = frames.config(row["sample"])
        assert {name: row[name] for name in frames.parameters if name in row} == config
    assert json_views.best(frames)["config"] == {"cw": None, "lr": 1, "extra": None}


def test_it_has_a_place_in_the_order(frames: Frames) -> None:
    view = TableOptions(("cw", "extra"), "cw")
    rows = list(csv.DictReader(io.StringIO(export(frames, "csv", view).decode())))
    assert [row["cw"] for row in rows[-4:]] == ["null"] * 4
    rows = list(
        csv.DictReader(io.StringIO(export(frames, "csv", TableOptions(("extra",), "extra:desc")).decode()))
    )
    assert [row["extra"] for row in rows] == ["null"] * 2 + ["5"] * 2 + [""] * (len(rows) - 4)


def test_settings_name_every_value(frames: Frames) -> None:
    table = next(each for each in tables(frames, verdict.judge(frames)) if each.name == "table1")
    shown = {row[1]: row[2] for row in table.rows}
    assert shown["extra"] == "null, 5"
    assert shown["cw"] == 'null, "null", "", "nan", None, true, "true", 1, "1", 0.12341, 0.12342'


def test_a_heat_map_has_a_row_for_each_value(frames: Frames) -> None:
    info = heatmap.heatmap_infos(frames)[0]
    assert len(info.columns) == len(LEVELS)
    assert None in info.columns
    assert all(text for row in info.texts for text in row)


def test_importance_sees_what_decides(frames: Frames) -> None:
    [picture] = draw(frames, "importance")
    shares = dict(re.findall(r"(\w+) (\d\.\d+)", picture.alt))
    assert max(shares, key=lambda name: float(shares[name])) == "cw"


@pytest.mark.parametrize("kind", ["slice", "parallel"])
def test_axes_name_every_value(frames: Frames, kind: str) -> None:
    assert kind in KINDS
    [picture] = draw(frames, kind)
    axes = picture.figure.axes
    ticks = [
        [text.get_text() for text in (each.get_xticklabels() if kind == "slice" else each.get_yticklabels())]
        for each in axes
    ]
    shown = max(ticks, key=lambda texts: sum("null" in text for text in texts))
    assert len(set(shown)) == len(LEVELS)
    assert {"null", '"null"', '""', "true", "1", '"1"'} <= set(shown)


def test_optunas_file_has_it(frames: Frames, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(export(frames, "optuna"))
    with sqlite3.connect(path) as database:
        [name] = database.execute("select study_name from studies").fetchone()
    loaded = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
    assert len(loaded.trials) == len(frames.trials)
    assert len({repr(trial.params["cw"]) for trial in loaded.trials}) == len(LEVELS)


def test_every_pair_of_a_grid_with_null_is_a_configuration(tmp_path: Path) -> None:
    text = "task: mine:train\nspace: {a: {grid: [null, 1]}, b: {grid: [null, x]}}\nepochs: 1\nseeds: 2\n"
    ended = {i + 1: constant(val=[0.5 + i / 10, 0.52 + i / 10], epochs=1) for i in range(4)}
    made = make(tmp_path, text, ended)
    wanted = {f"a {a}, b {b}" for a, b in product(("null", 1), ("null", "x"))}
    assert {made.name_of(sample) for sample in made.trials["sample"]} == wanted


def test_json_for_scripts_keeps_every_digit(tmp_path: Path) -> None:
    text = "task: mine:train\nspace: {a: {grid: [null, 1]}}\nepochs: 1\nseeds: 3\n"
    made = make(tmp_path, text, {1: constant(val=[0.1, 0.7, 0.2], epochs=1)})
    row = json_views.run(made)["trials"][0]
    assert json.loads(json.dumps(row))["val_accuracy_mean"] == made.trials["val_accuracy_mean"][0]
    assert (row["status"], row["n"], row["twin"]) == ("finished", 3, None)
