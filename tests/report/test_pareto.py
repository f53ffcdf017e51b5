"""The table of trade-offs: what no other configuration beats in every metric."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from facts import lacking
from hypothesis import given
from hypothesis import strategies as st
from make_run import PHANTOM, make
from records import Ended, constant

from tune_app import report
from tune_app.report import pareto

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
    table = pareto.pareto_table(frames)
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
    assert pareto.pareto_table(one) is None
    assert not [path for path in report.write(one, one.sweep.paths.report) if path.name.startswith("pareto")]


def test_with_nothing_finished_the_table_is_empty_and_says_so(tmp_path: Path) -> None:
    table = pareto.pareto_table(make(tmp_path, SPACE, {}, PHANTOM, name="two"))
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
    found = pareto.undominated(frame, ["a", "b"], modes)
    assert found == [not any(beats(other, point) for other in points) for point in points]
    assert any(found) == bool(points)
