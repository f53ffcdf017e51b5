"""The table of any sweep: its columns, order, digits and length; and the table of trade-offs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from edge_cases import CASES
from facts import lacking
from hypothesis import given
from hypothesis import strategies as st
from make_run import PHANTOM, SAMPLES, make
from records import TWO_CURVES, TWO_POINTS, Ended, constant, record

from tune_app import report
from tune_app.errors import ReportError
from tune_app.report import TableOptions
from tune_app.report.overview import overview, pareto_table, undominated
from tune_app.report.render import Table, markdown
from tune_app.results import Frames, verdict

FIVE = {
    1: constant(test=[0.8, 0.81, 0.82], val=[0.90, 0.91, 0.92], metrics={"val_loss": [0.2, 0.3, 0.4]}),
    2: constant(end="failed", epochs=3, val=[0.99, 0.99, 0.99], metrics={"val_loss": [0.1, 0.1, 0.1]}),
    3: constant(test=[0.7, 0.71, 0.72], val=[0.95, 0.96, 0.97], metrics={"val_loss": [0.5, 0.5, 0.5]}),
}


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return make(tmp_path, SAMPLES, FIVE)


def table(frames: Frames, *columns: str, sort: str = "", digits: int = 1, top: int | None = None) -> Table:
    return overview(frames, verdict.judge(frames), TableOptions(columns, sort, digits, top))


def samples(made: Table) -> list[int]:
    return [int(value) for value in made.frame["sample"]]


def test_columns_stand_in_the_order_that_they_were_asked_in(frames: Frames) -> None:
    made = table(frames, "step_size", "val_loss", "sample", "status", "epochs", "duration_s", "device")
    assert made.header == ["step_size", "validation loss", "sample", "status", "epochs", "time, s", "device"]
    assert made.rows[1] == ["4", "0.300 ± 0.25", "1", "finished", "30", "45.0", "cpu"]
    assert list(made.frame)[:4] == ["step_size", "val_loss_mean", "val_loss_ci95", "sample"]
    assert list(made.frame)[-2:] == ["data", "data_sha256"]


def test_a_mean_and_its_interval_can_stand_apart(frames: Frames) -> None:
    made = table(frames, "sample", "val_accuracy_mean", "val_accuracy_ci95", "status")
    assert made.header[1:3] == ["validation accuracy, %", "± validation accuracy, %"]
    assert made.rows[0][:3] == ["3", "96.0", "2.5"]


def test_what_has_not_finished_is_marked_though_nobody_asked(frames: Frames) -> None:
    made = table(frames, "sample", "val_accuracy")
    assert made.header == ["sample", "validation accuracy, %", "status"]
    assert [row[-1] for row in made.rows] == [
        "finished",
        "finished",
        "failed at epoch 3",
        "planned",
        "planned",
    ]
    assert table(frames, "sample", top=2).header == ["sample"], "all of these have finished"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", [3, 1, 2, 4, 5]),
        ("val_accuracy", [2, 3, 1, 4, 5]),
        ("val_accuracy:asc", [1, 3, 2, 4, 5]),
        ("val_accuracy_mean:desc", [2, 3, 1, 4, 5]),
        ("val_loss", [2, 1, 3, 4, 5]),
        ("test_accuracy", [1, 3, 2, 4, 5]),
        ("lr", [3, 1, 4, 5, 2]),
        ("step_size:desc", [4, 1, 2, 3, 5]),
        ("sample:desc", [5, 4, 3, 2, 1]),
        ("status", [2, 1, 3, 4, 5]),
    ],
)
def test_rows_are_sorted_and_what_has_no_value_comes_last(
    frames: Frames, sort: str, order: list[int]
) -> None:
    assert samples(table(frames, "sample", sort=sort)) == order


def test_numbers_come_before_words(tmp_path: Path) -> None:
    made = table(CASES["conditional"](tmp_path), "depth", sort="depth")
    assert [row[0] for row in made.rows] == ["1"] * 3 + ["2"] * 3 + ["deep"] * 3


def test_what_does_not_exist_comes_last(tmp_path: Path) -> None:
    made = table(CASES["conditional"](tmp_path), "momentum", sort="momentum:desc")
    assert [row[0] for row in made.rows] == ["0.9"] * 3 + ["0.1"] * 3 + ["–"] * 3


def test_digits_are_decimals_of_a_percentage(frames: Frames) -> None:
    made = table(frames, "val_accuracy", "val_loss", digits=3, top=1)
    assert made.rows == [["96.000 ± 2.484", "0.50000 ± 0"]]
    assert table(frames, "val_accuracy", digits=0, top=1).rows == [["96 ± 2"]]


def test_the_first_rows_alone_are_said_to_be_some(frames: Frames) -> None:
    made = table(frames, top=2)
    assert samples(made) == [3, 1]
    assert any(lacking(line, ["2 of 5"]) == [] for line in made.about)
    assert " of 5" not in markdown(table(frames, top=5))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (
            {"columns": ["lrr"]},
            r'"lrr".*"lr"(.|\n)*sample, lr',
        ),
        ({"columns": ["val_acuracy"]}, '"val_acuracy".*"val_accuracy"'),
        ({"sort": "step"}, 'no column "step"'),
        ({"sort": "lr:up"}, 'asc or desc.*"up"'),
        ({"top": 0}, r"--top 0: .*\b1\b"),
        ({"digits": -1}, r"--digits -1: .*\b0\b"),
    ],
)
def test_what_is_not_there_is_told(frames: Frames, wish: dict[str, object], says: str) -> None:
    with pytest.raises(ReportError, match=says):
        overview(frames, verdict.judge(frames), TableOptions(**wish))  # type: ignore[arg-type]


SPACE = """
task: pneumonia
configs: [{lr: 1}, {lr: 2}, {lr: 3}, {lr: 4}, {lr: 5}, {lr: 6}]
space: {lr: {choice: [1.0]}}
search: {algorithm: random, samples: 1}
seeds: 2
epochs: 1
metric: [{name: val_accuracy, mode: max}, {name: val_loss, mode: min}]
"""


def outcome(accuracy: float, loss: float, end: str = "finished") -> Ended:
    spread = (-0.01, 0.01)
    return constant(
        test=[0.5, 0.5],
        val=[accuracy + each for each in spread],
        end=end,
        epochs=1,
        metrics={"val_loss": [loss + each for each in spread]},
    )


OUTCOMES = {
    1: outcome(0.90, 0.50),
    2: outcome(0.80, 0.20),  # less accurate, with less loss
    3: outcome(0.80, 0.30),  # beaten by 2 in the loss alone
    4: outcome(0.70, 0.60),  # beaten by all
    5: outcome(0.99, 0.10, end="stopped"),  # not finished, so not compared
    6: outcome(0.90, 0.50),  # as good as 1: neither beats the other
}


def test_the_table_has_what_no_other_configuration_beats(tmp_path: Path) -> None:
    frames = make(tmp_path, SPACE, OUTCOMES, PHANTOM, name="two")
    table = pareto_table(frames)
    assert table
    assert [row[0] for row in table.rows] == ["1", "6", "2"], "the seventh repeats the first"
    assert table.header == ["sample", "lr", "validation accuracy, %", "validation loss", "n"]
    assert table.rows[2] == ["2", "2", "80.0 (79.0, 81.0)", "0.200 (0.190, 0.210)", "2"]
    assert len(table.align) == len(table.header)
    [said] = table.below
    assert lacking(said, ["3 of 5", "validation accuracy (max)", "validation loss (min)"]) == []
    assert list(table.frame["val_loss_mean"]) == [0.5, 0.5, 0.2]
    assert {"data", "data_sha256"} <= set(table.frame)


def test_the_report_has_it_where_there_are_several_metrics(tmp_path: Path) -> None:
    frames = make(tmp_path, SPACE, OUTCOMES, PHANTOM, name="two")
    written = {path.name for path in report.write(frames, frames.sweep.paths.report)}
    assert {"pareto.md", "pareto.csv", "pareto.tex"} <= written
    one = make(tmp_path, SPACE.split("metric:")[0], {}, name="one")
    assert pareto_table(one) is None
    assert not [path for path in report.write(one, one.sweep.paths.report) if path.name.startswith("pareto")]


def test_with_nothing_finished_the_table_is_empty_and_says_so(tmp_path: Path) -> None:
    table = pareto_table(make(tmp_path, SPACE, {}, PHANTOM, name="two"))
    assert table
    assert table.rows == []
    assert lacking(table.below[0], ["0 of 0"]) == []


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12),
    st.sampled_from([("max", "min"), ("min", "min"), ("max", "max")]),
)
def test_the_front_is_what_its_definition_says(points: list[tuple[int, int]], modes: tuple[str, str]) -> None:
    def better(a: int, b: int, mode: str) -> bool:
        return a > b if mode == "max" else a < b

    def beats(one: tuple[int, int], other: tuple[int, int]) -> bool:
        worse = any(better(b, a, mode) for a, b, mode in zip(one, other, modes, strict=True))
        return not worse and any(better(a, b, mode) for a, b, mode in zip(one, other, modes, strict=True))

    frame = pd.DataFrame(points, columns=["a", "b"])
    found = undominated(frame, ["a", "b"], modes)
    assert found == [not any(beats(other, point) for other in points) for point in points]
    assert any(found) == bool(points)


def test_a_table_shows_the_epochs_that_choose_and_keeps_the_evaluated_one(tmp_path: Path) -> None:
    made = table(record(tmp_path, f"{TWO_POINTS}choose: {{window: 2}}\n", TWO_CURVES))
    assert "validation accuracy (last 2 epochs), %" in made.header
    assert [row[made.header.index("validation accuracy (last 2 epochs), %")] for row in made.rows] == [
        "80.5 ± 2.2",
        "68.0 ± 1.2",
    ]
    assert made.frame["val_accuracy_choice"].tolist() == pytest.approx([0.805, 0.68])
    assert made.frame["val_accuracy_mean"].tolist() == pytest.approx([0.7, 0.75])


def test_sorted_by_what_chooses_the_best_come_first(tmp_path: Path) -> None:
    text = (
        TWO_POINTS.replace("val_accuracy", "val_loss")
        + "choose: {window: 2}\nmetric: {name: val_loss, mode: min}\n"
    )
    losses = {sample: Ended({"val_loss": each.curves["val_accuracy"]}) for sample, each in TWO_CURVES.items()}
    frames = record(tmp_path, text, losses)
    for sort in ("", "val_loss_choice"):
        assert samples(table(frames, "sample", sort=sort)) == [2, 1]
    assert samples(table(frames, "sample", sort="val_loss")) == [1, 2]


def test_trade_offs_are_of_what_chooses(tmp_path: Path) -> None:
    metrics = "metric: [{name: val_accuracy, mode: max}, {name: val_loss, mode: min}]\n"
    curves = {
        sample: Ended(dict(each.curves) | {"val_loss": [[1.0] * 3] * 3})
        for sample, each in TWO_CURVES.items()
    }
    made = pareto_table(record(tmp_path, f"{TWO_POINTS}{metrics}choose: {{window: 2}}\n", curves))
    assert made is not None
    assert samples(made) == [1]
    assert made.frame["val_accuracy_mean"].tolist() == pytest.approx([0.7])
    assert made.frame["val_accuracy_choice"].tolist() == pytest.approx([0.805])


def test_where_nothing_is_trained_no_column_is_made_up(tmp_path: Path) -> None:
    made = table(record(tmp_path, f"{TWO_POINTS}choose: {{window: 2}}\n", {}))
    names = [str(name) for name in made.frame if str(name).startswith("val_accuracy")]
    assert names == ["val_accuracy_mean", "val_accuracy_ci95", "val_accuracy_choice"]
    assert made.frame[names].isna().all(axis=None)
    assert [row[made.header.index("validation accuracy (last 2 epochs), %")] for row in made.rows] == [
        "–"
    ] * 2
