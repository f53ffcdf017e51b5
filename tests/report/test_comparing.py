"""Sweeps side by side."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from edge_cases import CASES, GRID, XRAYS
from edge_cases import PHANTOM as DRAWN
from facts import lacking
from make_run import PHANTOM, SAMPLES, make, write_tables
from make_run import XRAYS as REAL
from records import TWO_CURVES, TWO_POINTS, Ended, constant, record

from benchmarks.recorder import Recorder
from tune_app import results, space
from tune_app.data.identity import DataIdentity
from tune_app.errors import ReportError
from tune_app.report import compare, tables, terminal
from tune_app.report.comparing import comparison_file, confirmed, luck, why_not_ranked
from tune_app.report.page import gather
from tune_app.results import Frames, verdict
from tune_app.sweep import Sweep


def run(folder: Path, name: str, accuracy: float, data: DataIdentity = REAL, text: str = SAMPLES) -> Frames:
    """A run whose first two samples have finished, the second with this accuracy."""
    values = [accuracy - 0.01, accuracy, accuracy + 0.01]
    outcomes = {
        1: constant(val=[0.2, 0.2, 0.2], test=[0.2, 0.21, 0.22]),
        2: constant(val=values, test=values),
    }
    (folder / name).mkdir()
    return make(folder / name, text, outcomes, data, name=name)


def test_a_narrow_terminal_shows_each_run_as_a_list(tmp_path: Path) -> None:
    runs = [run(tmp_path, "low", 0.5), run(tmp_path, "high", 0.9)]
    narrow, wide = (comparison_file(runs, "text", width).decode() for width in (60, None))
    assert max(map(len, narrow.splitlines())) <= 60
    values = "90.0 ± 2.5"
    assert narrow.count(values) == wide.count(values) == 2
    assert re.search(r"run +high-1$", narrow, re.MULTILINE)


def test_the_best_of_each_is_ranked_on_the_same_data(tmp_path: Path) -> None:
    made = compare([run(tmp_path, "low", 0.5), run(tmp_path, "high", 0.9), run(tmp_path, "near", 0.905)])
    assert [row[0] for row in made.rows] == ["near-1", "high-1", "low-1"]
    assert made.header == [
        "run",
        "best configuration",
        "validation accuracy (last 5 epochs), %",
        "test accuracy, %",
        "n",
        "epochs",
        "finished",
        "data",
    ]
    assert made.rows[1][1:7] == ["lr 3e-5, step_size 4", "90.0 ± 2.5", "90.0 ± 2.5", "3", "30", "2 of 5"]
    assert any(lacking(line, ["validation accuracy", "(max", "last 5 epochs"]) == [] for line in made.about)
    [below] = made.below
    assert lacking(below, ["test accuracy", "3 pairs", "5%"]) == []
    assert re.findall(r"(\S+) is better than (\S+)", below) == [("near-1", "low-1"), ("high-1", "low-1")]
    assert made.frame["sample"].tolist() == [2, 2, 2]
    assert made.frame["data_sha256"].nunique() == 1


def test_runs_of_other_data_are_never_ranked(tmp_path: Path) -> None:
    low, high = run(tmp_path, "low", 0.5), run(tmp_path, "high", 0.9, replace(PHANTOM, fingerprint="ab" * 32))
    made = compare([low, high])
    assert [row[0] for row in made.rows] == ["low-1", "high-1"], "as they were given"
    assert any(lacking(line, ["ot ranked"]) or "data" in line for line in made.about)
    assert made.below == []
    assert "Best first" not in "\n".join(made.about)
    assert any(lacking(line, ["high-1", "phantom"]) == [] for line in made.about)
    assert any(lacking(line, ["low-1", "34 of 200"]) == [] for line in made.about)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (
            "metric: {name: val_loss, mode: min}\n",
            ["val_accuracy (max)", "val_loss (min)"],
        ),
        ("evaluate: best\n", ["last", "best"]),
    ],
)
def test_runs_of_another_measure_are_never_ranked(tmp_path: Path, change: str, facts: list[str]) -> None:
    found = why_not_ranked([run(tmp_path, "a", 0.5), run(tmp_path, "b", 0.9, text=SAMPLES + change)])
    assert [lacking(why, facts) for why in found] == [[]]


def test_images_split_in_another_way_are_never_ranked(tmp_path: Path) -> None:
    other = run(tmp_path, "b", 0.9, replace(REAL, split="patient"))
    assert "by patient" in why_not_ranked([run(tmp_path, "a", 0.5), other])[0]


def test_functions_are_ranked_among_themselves_alone(tmp_path: Path) -> None:
    one = CASES["function_task"](tmp_path / "a")
    assert why_not_ranked([one, CASES["function_task"](tmp_path / "b")]) == []
    assert (
        "computes its metrics in its own way"
        in why_not_ranked(
            [one, record(tmp_path / "d", "task: other:f\nspace: {a: {grid: [1, 2]}}\n", {}, one.sweep.data)]
        )[0]
    )


def test_a_run_without_a_result_comes_last(tmp_path: Path) -> None:
    nothing = record(tmp_path / "x", GRID, {1: Ended(end="failed")}, XRAYS)
    made = compare([nothing, record(tmp_path / "y", GRID, {}, XRAYS), CASES["finished"](tmp_path / "z")])
    assert made.rows[0][1].startswith("lr ")
    assert made.rows[1][1:5] == ["none has finished", "–", "–", "0"]
    assert "does not say which differences" in made.below[0]


def test_two_runs_and_no_run_twice(tmp_path: Path) -> None:
    one = CASES["finished"](tmp_path)
    with pytest.raises(ReportError, match="two runs"):
        compare([one])
    with pytest.raises(ReportError, match="run"):
        compare([one, one])


@pytest.mark.parametrize("form", ["text", "csv", "latex", "markdown"])
def test_the_formats_of_a_comparison(tmp_path: Path, form: str) -> None:
    sweeps = [CASES["finished"](tmp_path / "a"), record(tmp_path / "b", GRID, {}, DRAWN, name="drawn")]
    text = comparison_file(sweeps, form).decode()
    if form == "csv":
        frame = pd.read_csv(io.StringIO(text))
        assert frame["run"].tolist() == ["run", "drawn"]
        assert frame["data"].tolist() == [XRAYS.source, "phantom"]
    else:
        assert "the data differ" in text
        assert "phantom" in text
    with pytest.raises(ReportError, match=r"--format txt: .*text, csv"):
        comparison_file(sweeps, "txt")


TWO = "task: pneumonia\nconfigs: [{lr: 1e-5}, {lr: 1e-4}]\nfixed: {step_size: 4}\nepochs: 2\nseeds: 3\n"


def confirming(folder: Path, first: list[float], second: list[float], original: str = "first-1") -> Frames:
    folder.mkdir()
    made = make(folder, TWO, {1: constant(val=[0.9] * 3), 2: constant(val=[0.88] * 3)}, PHANTOM, name="first")
    assert made.sweep.name == "first-1"
    again = space.changed(made.sweep.space, {"first_replicate": 3, "seeds": len(first)}, "again")
    sweep = Sweep.create(again, PHANTOM, folder / "runs", "second", confirms=original)
    with sweep.writing():
        for sample, values in ((1, first), (2, second)):
            Recorder.of(sweep).train(sample, values, test={"test_accuracy": [each - 0.1 for each in values]})
    return results.load(sweep)


def said(frames: Frames) -> str:
    return " ".join(luck(frames, verdict.judge(frames)))


def test_a_lead_that_lasts_one_that_does_not_and_one_that_turns(tmp_path: Path) -> None:
    # seed by seed 0.11, 0.10, 0.09, 0.10: sd 0.00816, t(3) 3.182, n 4
    lasting = confirming(tmp_path / "a", [0.91, 0.91, 0.91, 0.91], [0.80, 0.81, 0.82, 0.81])
    assert re.search(r"\bfirst-1\b.* 2\.0 points.*\b4 new seeds\b.* 10\.0 ± 1\.3 points", said(lasting))
    gone = confirming(tmp_path / "b", [0.90, 0.80, 0.92, 0.82], [0.80, 0.91, 0.82, 0.89])
    assert " 0.5 ±" in said(gone)
    turned = confirming(tmp_path / "c", [0.80, 0.81, 0.82], [0.91, 0.90, 0.92])
    assert re.search(r"second leads.* 10\.0 ± ", said(turned))


def test_the_test_mean_to_print_is_that_of_the_configuration_that_was_chosen(tmp_path: Path) -> None:
    turned = confirming(tmp_path / "c", [0.80, 0.81, 0.82], [0.91, 0.90, 0.92])
    judged = verdict.judge(turned)
    assert judged.winner == 2
    luck_, print_ = luck(turned, judged)
    assert lacking(print_, ["test accuracy", "71.0% ± 2.5", "3 new seeds", "sample 1", "first-1"]) == []
    page = gather(turned, judged, (), tables(turned, judged), {})
    assert list(page.verdict[:2]) == [luck_, print_]
    assert terminal.summary(turned).splitlines()[:2] == [luck_, print_]


def test_the_table_shows_both(tmp_path: Path) -> None:
    frames = confirming(tmp_path / "a", [0.90, 0.91, 0.92, 0.91], [0.80, 0.81, 0.82, 0.81])
    table = confirmed(frames)
    assert table
    assert [row[0] for row in table.rows] == ["1", "2"]
    assert table.rows[0][-4:] == ["90.0 ± 0.0", "3", "91.0 ± 1.3", "4"]
    assert list(table.frame["chosen_n"]) == [3, 3]
    assert {path.name for path in write_tables(frames, tmp_path / "report")} >= {
        "confirmed.md",
        "confirmed.tex",
    }


def test_what_cannot_be_said_is_not(tmp_path: Path) -> None:
    assert "±" not in said(confirming(tmp_path / "a", [0.9], [0.8]))
    alike = confirming(tmp_path / "c", [0.9, 0.91], [0.89, 0.9])
    assert " 1.0 points" in said(alike)
    lost = confirming(tmp_path / "b", [0.9, 0.8], [0.8, 0.7], original="elsewhere")
    assert lacking(said(lost), ["elsewhere"]) == []
    table = confirmed(lost)
    assert table
    assert [row[-4] for row in table.rows] == ["–", "–"]


def test_other_runs_have_no_such_table(tmp_path: Path) -> None:
    frames = make(tmp_path, TWO, {1: constant(val=[0.9] * 3)}, PHANTOM, name="first")
    assert confirmed(frames) is None
    assert said(frames) == ""


def test_each_run_is_ranked_by_what_it_chose_by(tmp_path: Path) -> None:
    one = record(tmp_path, f"{TWO_POINTS}choose: {{window: 1}}\n", TWO_CURVES, name="one")
    two = record(tmp_path, f"{TWO_POINTS}choose: {{window: 2}}\n", TWO_CURVES, name="two")
    made = compare([one, two])
    assert [row[0] for row in made.rows] == ["two", "one"]
    column = made.header.index("validation accuracy, %")
    assert [row[column].split()[0] for row in made.rows] == ["80.5", "75.0"]
    assert made.frame["val_accuracy_choice"].tolist() == pytest.approx([0.805, 0.75])
    assert any(lacking(line, ["two", "mean of the last 2 epochs"]) == [] for line in made.about)
    assert any(lacking(line, ["one", "validation accuracy"]) == [] for line in made.about)
