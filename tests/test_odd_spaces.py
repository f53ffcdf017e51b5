"""Spaces as people write them: odd names and values, from the file to every form of the results."""

from __future__ import annotations

import io
import json
import re
import textwrap
from pathlib import Path

import optuna
import pandas as pd
import pytest
from small_task import extend, request, run

from tune_app import report, results, space
from tune_app.report import figures
from tune_app.results import Frames, json_views
from tune_app.session import lifecycle
from tune_app.sweep import Sweep

#: Names of parameters: as files, some would lie elsewhere, and some would be each other.
ODD = ["../x", "a/b", "a-b", "a.b", "größe", "学習率", "n" * 60, "_", "net.depth", "net.width"]
TEXT = (
    "space:\n"
    + "".join(f'  "{name}": {{grid: [1, 2]}}\n' for name in ODD[:3])
    + "fixed: {"
    + ", ".join(f'"{name}": {i}' for i, name in enumerate(ODD[3:]))
    + "}\nepochs: 2\nseeds: 2\nmetric: {name: val/../größe-1, mode: min}\n"
)
TASK = """
    def train(config, context):
        assert config["net"] == {"depth": config["net.depth"], "width": config["net.width"]}
        assert config["a"] == {"b": config["a.b"]}
        for epoch in range(context.epochs):
            value = config["../x"] + 2 * config["a/b"] + config["a-b"] / 8 + context.replicate / 100
            yield {"val/../größe-1": value, "train/../größe-1": value, "test/../größe-1": value}
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_names.py").write_text(textwrap.dedent(TASK), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        sweep = run(request("odd_names:train", TEXT, runs_dir=folder / "runs"))
        found = results.load(sweep)
        assert report.write_results(found) is None
        report.write(found, sweep.paths.report)
    return results.load(sweep)


def test_tables_for_programs_have_the_names_as_they_are(frames: Frames) -> None:
    paths = frames.sweep.paths
    written = [pd.read_csv(path) for path in (paths.results, paths.seeds)]
    exported = pd.read_csv(io.BytesIO(report.export(frames, "csv")))
    parquet = pd.read_parquet(io.BytesIO(report.export(frames, "parquet")))
    rows = pd.DataFrame(json.loads(report.export(frames, "json"))["rows"])
    for table in (*written, exported, parquet, rows):
        assert set(ODD) <= set(table)
        assert sorted(map(tuple, table[ODD[:3]].drop_duplicates().to_numpy().tolist())) == [
            (x, y, z) for x in (1, 2) for y in (1, 2) for z in (1, 2)
        ]
    assert "val/../größe-1" in written[1]
    assert json_views.best(frames)["config"] == dict.fromkeys(ODD[:3], 1) | {
        name: i for i, name in enumerate(ODD[3:])
    }


def test_tables_for_people_escape_the_names(frames: Frames) -> None:
    latex = report.export(frames, "latex").decode()
    assert "../x & a/b & a-b" in latex
    markdown = report.export(frames, "markdown").decode()
    assert "../x" in markdown
    settings = (frames.sweep.paths.report / "table1.tex").read_text(encoding="utf-8")
    assert all(name in settings for name in (r"gr\"{o}{\ss}e".replace(r"{\ss}", r"\ss{}"), "{[}U+5B66{]}"))
    page = (frames.sweep.paths.report / "index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ODD)


def test_files_stay_in_the_folder_of_the_run(frames: Frames) -> None:
    folder = frames.sweep.paths.folder
    names = [path.name for path in folder.parent.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"[A-Za-z0-9_.+=-]+", name) for name in names), names
    assert "panels_gro-e-1.png" in names
    kinds = ("heatmap", "slice", "parallel", "importance")
    drawn = [path for kind in kinds for path in figures.plot(frames, kind)]
    assert {path.parent for path in drawn} == {folder / "report" / "figures"}


def test_a_study_has_the_names(frames: Frames, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(report.export(frames, "optuna"))
    study = optuna.load_study(study_name="one", storage=f"sqlite:///{path}")
    assert study.metric_names == ["val/../größe-1"]
    assert set(study.trials[0].params) == set(ODD[:3])
    assert set(study.user_attrs["fixed"]) == set(ODD[3:])


def test_the_test_metric_is_sealed_and_its_counterpart_named(frames: Frames) -> None:
    summary = json.loads(frames.sweep.paths.summary.read_text(encoding="utf-8"))
    assert "test/../größe-1_mean" in summary["best"]
    sealed = results.sealed(frames)
    assert sealed.trials["test/../größe-1_mean"].notna().sum() <= 1


@pytest.mark.parametrize("name", ODD)
def test_an_override_finds_the_name(name: str) -> None:
    text = f"task: a:b\n{TEXT}"
    assert space.parse(text, [f"{name}=7"]).fixed[name] == 7
    assert space.parse(text, [f"{name}={{grid: [3, 4]}}"]).space[name].args == (3, 4)


def test_the_longest_name_that_is_there_wins() -> None:
    text = "task: a:b\nspace: {stop.lr: {grid: [1]}, a: {grid: [1]}, a.grid: {grid: [2]}}\n"
    parsed = space.parse(
        text, ["stop.lr=3", "stop.scheduler=none", "a.grid={grid: [6]}", "a.grid.grid=[6, 7]"]
    )
    assert dict(parsed.fixed) == {"stop.lr": 3}
    assert {name: sampler.args for name, sampler in parsed.space.items()} == {"a": (1,), "a.grid": (6, 7)}


VALUES = """
space:
  sizes: {grid: [{label: small, value: [32, 32]}, {label: large, value: [256, {dropout: 0.00003}]}, [8]]}
  betas: {grid: [[0.9, 0.999]], when: {sizes: [small, [8]]}}
configs: [{sizes: [8], betas: {label: odd, value: {first: null}}}]
fixed: {net: {depth: 2, act: [relu]}, rate: {label: low, value: 0.1}}
epochs: 3
seeds: 2
metric: {name: val/loss, mode: min}
"""
VALUE_TASK = """
    import json

    def train(config, context):
        config["sizes"].append("mine alone")
        assert config["net"] == {"depth": 2, "act": ["relu"]} and config["rate"] == 0.1
        for epoch in range(context.epochs):
            yield {"val/loss": len(json.dumps(config["sizes"])) + context.replicate / 10}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "odd_values.py").write_text(textwrap.dedent(VALUE_TASK), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_lists_and_mappings_come_back_from_everywhere(folder: Path) -> None:
    asked = request("odd_values:train", VALUES, name="one", runs_dir=folder / "runs")
    frames = results.load(run(asked))
    assert report.write_results(frames) is None
    report.write(frames, frames.sweep.paths.report)
    assert json_views.best(frames)["config"] == {
        "sizes": [8],
        "betas": {"first": None},
        "net": {"depth": 2, "act": ["relu"]},
        "rate": 0.1,
    }
    table = pd.read_csv(frames.sweep.paths.results)
    assert table["sizes"].tolist() == ["[8]", "small", "large", "[8]"]
    assert table["betas"].fillna("").tolist() == ["odd", "[0.9, 0.999]", "", "[0.9, 0.999]"]
    assert table["net"].map(json.loads).tolist() == [{"depth": 2, "act": ["relu"]}] * 4
    assert set(table["rate"]) == {"low"}
    assert frames.name_of(2) == "sizes small, betas [0.9, 0.999]"
    parquet = pd.read_parquet(io.BytesIO(report.export(frames, "parquet")))
    assert sorted(parquet["sizes"]) == sorted(table["sizes"])
    study = folder / "study.db"
    study.write_bytes(report.export(frames, "optuna"))
    trials = optuna.load_study(study_name="one", storage=f"sqlite:///{study}").trials
    assert [trial.params["sizes"] for trial in trials] == [0, 1, 2, 0]
    for kind in ("slice", "parallel", "intervals"):
        assert figures.plot(frames, kind)


def test_lists_survive_what_is_done_with_a_run(folder: Path) -> None:
    asked = request("odd_values:train", VALUES, name="one", runs_dir=folder / "runs")
    sweep = run(asked)
    again = Sweep.open(sweep.paths.folder)
    assert again.space == sweep.space
    assert again.space.labels == sweep.space.labels
    assert run(asked).complete_and_trained()
    wider = space.extend(sweep.space, add=["sizes={label: huge, value: [9, 9]}", "{sizes: [2]}"])
    assert wider.labels["sizes"]["[9,9]"] == "huge"
    assert wider.size() == sweep.space.size() + 2
    loaded = asked.load()
    event, differences = lifecycle.rerun(asked, loaded, again, 2)
    assert (event.differing, differences) == (0, [])
    confirmed = lifecycle.confirmation(asked, again, top=2, seeds=2)
    assert confirmed.space.labels["betas"] == {'{"first":null}': "odd"}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_optuna_suggests_lists(folder: Path, sampler: str) -> None:
    text = (
        VALUES.replace("grid:", "choice:")
        + f"search: {{algorithm: optuna, sampler: {sampler}, samples: 6}}\n"
    )
    sweep = run(request("odd_values:train", text, name="one", runs_dir=folder / "runs"))
    known = {json.dumps(value) for value in ([32, 32], [256, {"dropout": 3e-5}], [8])}
    assert {json.dumps(each.config["sizes"]) for each in sweep.history.configurations.values()} <= known
    assert len(sweep.history.configurations) == 7
    assert Sweep.open(sweep.paths.folder).complete_and_trained()


SPREADS = """
space:
  sizes: {choice: [[1], [2, 3]], p: [0.8, 0.2]}
  a: {normal: [0, 1]}
  b: {lognormal: [-7, 1]}
  c: {qloguniform: [8, 512, 8]}
configs: [{sizes: [1], a: 0.5, b: 0.001, c: 64}]
epochs: 1
seeds: 1
metric: {name: val/loss, mode: min}
"""


@pytest.mark.parametrize(
    "sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "cmaes", "random", "qmc", "nsga2"]
)
def test_every_search_has_the_distributions_that_optuna_lacks(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spreads.py").write_text(
        "def train(c, context):\n"
        "    yield {'val/loss': abs(c['a'] - 1) + c['b'] + c['c'] / 512 + len(c['sizes'])}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def searched(samples: int, name: str) -> list[dict[str, space.Value]]:
        text = f"{SPREADS}search: {{algorithm: optuna, sampler: {sampler}, samples: {samples}}}\n"
        return points(run(request("spreads:train", text, name)))

    def points(sweep: Sweep) -> list[dict[str, space.Value]]:
        return [dict(each.config) for each in sweep.history.configurations.values()]

    whole = searched(14, "whole")
    assert len(whole) == 15
    assert all(float(str(p["c"])) % 8 == 0 and float(str(p["b"])) > 0 for p in whole)
    assert [p["sizes"] for p in whole].count([1]) >= 5
    searched(9, "parts")
    assert points(extend("parts", samples="14")) == whole, "the sampler is restored from the record"
    study = optuna.load_study(study_name="parts", storage="sqlite:///runs/parts/study.db")
    assert [trial.params["c"] for trial in study.trials] == [p["c"] for p in whole]
