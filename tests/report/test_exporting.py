"""Results in other programs' formats."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from edge_cases import CASES
from hypothesis import given
from hypothesis import strategies as st

from tune_app.errors import ReportError, StorageError
from tune_app.report import TableOptions, export
from tune_app.report.exporting import FORMATS, FRAMES, deliver
from tune_app.results import Frames


@pytest.fixture(
    scope="module", params=["finished", "running", "all_failed", "nothing", "conditional", "awkward"]
)
def frames(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES[request.param](tmp_path_factory.mktemp(request.param))


def read(content: bytes, form: str) -> pd.DataFrame:
    if form == "csv":
        return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
    if form == "parquet":
        return pd.read_parquet(io.BytesIO(content))
    rows = json.loads(content)
    return pd.DataFrame(rows["rows"], columns=rows["columns"])


@pytest.mark.parametrize("of", FRAMES)
@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_frames_come_back_with_every_digit(frames: Frames, form: str, of: str) -> None:
    found = read(export(frames, form, of=of), form)
    frame = getattr(frames, of)
    assert len(found) == len(frame)
    assert set(frame) <= set(found)
    assert list(found)[-2:] == ["data", "data_sha256"]
    for name in ("val_accuracy_mean", "val_accuracy"):
        if name in frame:
            wanted = frame[name].astype(float).sort_values().tolist()
            assert found[name].astype(float).sort_values().tolist() == pytest.approx(
                wanted, rel=0, nan_ok=True
            )
    assert set(found["data"].dropna()) <= {frames.sweep.data.source}


def test_configurations_come_best_first_and_replicates_as_recorded(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    means = read(export(frames, "csv"), "csv")["val_accuracy_mean"]
    assert means.is_monotonic_decreasing
    seeds = read(export(frames, "csv", of="seeds"), "csv")
    assert seeds["sample"].is_monotonic_increasing


def test_columns_order_and_number_of_rows(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    view = TableOptions(("lr", "val_accuracy"), "lr:desc", top=2)
    found = read(export(frames, "csv", view), "csv")
    assert list(found) == ["lr", "val_accuracy_mean", "val_accuracy_ci95", "data", "data_sha256"]
    assert found["lr"].tolist() == [3e-5, 3e-5]
    curves = read(
        export(frames, "json", TableOptions(("epoch", "val_loss"), "val_loss", top=3), of="curves"), "json"
    )
    assert list(curves)[:2] == ["epoch", "val_loss"]
    assert curves["val_loss"].tolist() == sorted(frames.curves["val_loss"])[:3]


def test_json_names_run_metric_and_data(tmp_path: Path) -> None:
    found = json.loads(export(CASES["function_task"](tmp_path), "json"))
    assert found["run"] == "run"
    assert found["metric"] == {"name": "val_loss", "mode": "min"}
    assert found["data"]["kind"] == "none"
    assert {row["kind"] for row in found["rows"]} == {"größer $x$", "中文"}


def test_a_column_of_numbers_and_words_is_text_in_parquet(tmp_path: Path) -> None:
    found = read(export(CASES["conditional"](tmp_path), "parquet"), "parquet")
    assert set(found["depth"]) == {"1", "2", "deep"}
    assert found["momentum"].dropna().tolist().count(0.9) == 3


@pytest.mark.parametrize("form", ["latex", "markdown"])
def test_the_table_for_people(frames: Frames, form: str) -> None:
    text = export(frames, form, TableOptions(digits=2)).decode()
    assert ("\\begin{tabular}" if form == "latex" else "| sample |") in text
    assert "Data" in text


@given(st.sampled_from(FORMATS), st.sampled_from(["", "csvv", "excel", "Csv"]))
def test_a_format_that_there_is_not_is_told(form: str, other: str) -> None:
    with pytest.raises(ReportError, match=f"--format {other}: .*{form}"):
        export(None, other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "of", "view", "says"),
    [
        ("latex", "seeds", TableOptions(), "latex.*csv, parquet or json"),
        ("csv", "trial", TableOptions(), '--of trial: .*"trials"'),
        ("csv", "trials", TableOptions(digits=3), "--digits 3: csv .*latex or markdown"),
        ("json", "seeds", TableOptions(("speed",)), 'no column "speed"'),
    ],
)
def test_what_does_not_go_together_is_told(
    tmp_path: Path, form: str, of: str, view: TableOptions, says: str
) -> None:
    with pytest.raises(ReportError, match=says):
        export(CASES["finished"](tmp_path), form, view, of)


def test_delivery_to_a_file_or_the_terminal(tmp_path: Path) -> None:
    terminal = io.BytesIO()
    deliver(b"text", "csv", None, terminal)
    assert terminal.getvalue() == b"text"
    deliver(b"bytes", "parquet", tmp_path / "deep" / "x.parquet", terminal)
    assert (tmp_path / "deep" / "x.parquet").read_bytes() == b"bytes"
    with pytest.raises(ReportError, match=r"parquet.*--out"):
        deliver(b"bytes", "parquet", None, terminal)
    with pytest.raises(StorageError, match=r"deep: cannot be written"):
        deliver(b"bytes", "csv", tmp_path / "deep", terminal)
