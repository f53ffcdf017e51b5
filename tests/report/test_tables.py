from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from facts import lacking
from make_run import DEFAULTS, PHANTOM, SAMPLES, SHA, XRAYS, make, write_tables
from records import constant

from tune_app.data.identity import NO_DATA
from tune_app.errors import StorageError

FIVE = {
    1: constant(test=[0.8275, 0.83, 0.8325]),
    2: constant(test=[0.69, 0.70, 0.71]),
    3: constant(test=[0.77, 0.7675, 0.775]),
    4: constant(test=[0.75, 0.7475, 0.7525]),
    5: constant(end="stopped", epochs=9, val=[0.71, 0.72, 0.73]),
}

ONE = "task: pneumonia\nconfigs: [{lr: 3e-6, step_size: 4}]\nseeds: 1\nepochs: 2\n"

CUSTOM = """
task: mine:train
space: {%s: {grid: [0.1, 0.2]}, kind: {grid: ["a_b|c", "größer *und* <mehr>"]}}
epochs: 2
seeds: 2
metric: {name: val_score, mode: min}
"""


def written(files: list[Path]) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_table3_in_markdown(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, SAMPLES, FIVE), tmp_path / "report"))
    # the ranges by hand, sample 2: mean 0.70, sd 0.01, t(2) 4.3027, z 1.96
    # 0.70 ± sqrt(4.3027^2 * 0.01^2 * 4/3 + 1.96^2 * 0.21 / 400) = 0.70 ± 0.067
    text = texts["table3.md"]
    assert (
        [line for line in text.splitlines() if line.startswith("|")]
        == """\
| sample |   lr | step_size | published | mean |  ci95 |   n | inside                           |
| -----: | ---: | --------: | --------: | ---: | ----: | --: | -------------------------------- |
|      1 | 3e-6 |         4 |        83 | 83.0 | ± 0.6 |   3 | yes (79.1 to 86.9)               |
|      2 | 3e-5 |         4 |     80.25 | 70.0 | ± 2.5 |   3 | no (63.3 to 76.7)                |
|      3 | 3e-7 |         4 |        77 | 77.1 | ± 0.9 |   3 | yes (72.5 to 81.6)               |
|      4 | 3e-6 |         8 |     74.75 | 75.0 | ± 0.6 |   3 | yes (70.6 to 79.4)               |
|      5 | 3e-6 |         2 |     75.25 |    – |     – |   0 | not compared: stopped at epoch 9 |
""".splitlines()
    )
    above, below = text.split("| sample")[0], text.rsplit("|\n", 1)[1]
    counts = ["1800 train", "200 validation", "400 test", "9c1f0a000000"]
    assert lacking(above, ["table3-1", "3 seeds", "last epoch", "chest_xray_256", *counts]) == []
    assert lacking(above, ["34 of 200", "1 stopped", "95%"]) == []
    assert lacking(below, ["3 of 4", "n = 1", "95%", "5%"]) == []
    assert re.search(r"\b6 differences\b.*1, 2, 3 and 4.*\b4 survive.*3 seeds", below)
    pairs = re.findall(r"sample (\d) over (\d)", below)
    assert pairs == [("1", "2"), ("1", "3"), ("1", "4"), ("3", "4"), ("3", "2"), ("4", "2")]


def test_table3_in_csv_holds_fractions_and_the_datas_identity(tmp_path: Path) -> None:
    write_tables(make(tmp_path, SAMPLES, FIVE), tmp_path / "report")
    frame = pd.read_csv(tmp_path / "report" / "table3.csv")
    assert [*frame] == "sample lr step_size published mean ci95 n inside data data_sha256".split()  # noqa: SIM905
    assert frame["sample"].tolist() == [1, 2, 3, 4, 5]
    assert frame["lr"].tolist() == [3e-6, 3e-5, 3e-7, 3e-6, 3e-6]
    assert frame["published"].tolist() == [0.83, 0.8025, 0.77, 0.7475, 0.7525]
    assert frame["mean"].tolist()[:4] == pytest.approx([0.83, 0.7, 0.7708333, 0.75])
    assert frame["n"].tolist() == [3, 3, 3, 3, 0]
    assert frame["inside"].fillna("").tolist() == ["yes", "no", "yes", "yes", ""]
    assert frame.loc[4, ["mean", "ci95", "inside"]].isna().all()
    assert set(frame["data"]) == {"chest_xray_256"}
    assert set(frame["data_sha256"]) == {SHA}


def test_table1_sets_every_setting_beside_the_papers(tmp_path: Path) -> None:
    text = SAMPLES.replace("gamma: 0.4", "gamma: 0.5").replace("epochs: 30", "epochs: 3")
    frames = make(tmp_path, text, {}, settings=DEFAULTS | {"weight_decay": 0.01})
    texts = written(write_tables(frames, tmp_path))
    table = texts["table1.md"]
    for line in (
        "|          | image size        | 256 × 256        | 256 × 256           |         |",
        "| learning | training batch    | 128              | 128                 |         |",
        "|          | epochs            | 3                | 30                  | differs |",
        "|          | learning rate     | 3e-6, 3e-5, 3e-7 | 3e-6                | swept   |",
        "|          | gamma             | 0.5              | 0.4                 | differs |",
        "|          | weight decay      | 0.01             | not stated          | differs |",
        "|          | outputs           | 1 for BCE        | 1 for BCE, 2 for CE |         |",
    ):
        assert line in table.splitlines()
    differences = "epochs 3 (paper: 30); gamma 0.5 (paper: 0.4); weight decay 0.01 (paper: not stated)"
    assert differences in texts["table3.md"]
    assert differences in texts["results.md"]
    assert "learning rate" not in texts["table3.md"].split("Differs")[1].split("\n")[0]
    csv = pd.read_csv(tmp_path / "table1.csv").set_index("setting")
    assert csv["value"]["train_images"] == "1800"
    assert csv["published"]["train_images"] == "1800"
    assert csv.loc["weight_decay", "mark"] == "differs"


def test_a_setting_that_no_one_wrote_down_is_said_to_be_unknown(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, SAMPLES, FIVE, settings=None), tmp_path))
    line = next(line for line in texts["table1.md"].splitlines() if "nodes in each" in line)
    assert [cell.strip() for cell in line.split("|")[2:6]] == ["nodes in each", "not recorded", "64", ""]


def test_results_rank_the_finished_and_mark_the_others(tmp_path: Path) -> None:
    outcomes = {
        1: constant(test=[0.8, 0.81, 0.82], val=[0.90, 0.91, 0.92]),
        2: constant(end="diverged", epochs=2),
        3: constant(test=[0.7, 0.71, 0.72], val=[0.95, 0.96, 0.97]),
        4: constant(end="failed", epochs=3),
    }
    texts = written(write_tables(make(tmp_path, SAMPLES, outcomes), tmp_path))
    rows = [line for line in texts["results.md"].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0] == [
        "sample",
        "lr",
        "step_size",
        "status",
        "validation accuracy, %",
        "test accuracy, %",
        "ties",
        "n",
    ]
    # every seed has the same lead of 5 points: seeds play no part
    assert cells[2] == ["3", "3e-7", "4", "finished", "96.0 ± 2.5", "71.0 ± 2.5", "a", "3"]
    assert cells[3] == ["1", "3e-6", "4", "finished", "91.0 ± 2.5", "81.0 ± 2.5", "b", "3"]
    assert [row[0] for row in cells[4:]] == ["2", "4", "5"]
    assert [row[3] for row in cells[4:]] == ["diverged in 1 run, at epoch 2", "failed at epoch 3", "planned"]
    assert "not finished: 1 diverged, 1 failed, 1 planned" in texts["results.md"]
    frame = pd.read_csv(tmp_path / "results.csv")
    assert frame["sample"].tolist() == [3, 1, 2, 4, 5]
    assert frame["val_accuracy_mean"].iloc[0] == pytest.approx(0.96)


@pytest.mark.parametrize("end", ["running", "interrupted", "failed"])
def test_a_run_that_has_not_ended_well_has_a_report(tmp_path: Path, end: str) -> None:
    frames = make(tmp_path, SAMPLES, {i: constant(end=end, epochs=4) for i in range(1, 6)})
    texts = written(write_tables(frames, tmp_path))
    assert f"not compared: {end} at epoch 4" in texts["table3.md"]
    assert lacking(texts["table3.md"], ["two"]) == []
    assert f"not finished: 5 {end}" in texts["results.md"]
    assert pd.read_csv(tmp_path / "table3.csv")["mean"].isna().all()


def test_one_trial_with_one_seed_has_no_interval_and_says_why(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, ONE, {1: constant(test=[0.83], epochs=2)}), tmp_path))
    assert "|      1 | finished |                   83.0 |             83.0 |   1 |" in texts["results.md"]
    assert lacking(texts["results.md"], ["two"]) == []
    assert "83.0 |    – |   1 | not compared: 1 run |" in texts["table3.md"]
    assert lacking(texts["table3.md"], ["two"]) == []
    row = pd.read_csv(tmp_path / "table3.csv").iloc[0]
    assert row["mean"] == 0.83
    assert pd.isna(row["ci95"])
    assert pd.isna(row["inside"])


def test_phantom_results_never_stand_beside_the_papers(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, SAMPLES, FIVE, data=PHANTOM), tmp_path))
    for name in ("table1", "table3"):
        assert "Phantom" in texts[f"{name}.md"]
        assert "Phantom" in texts[f"{name}.tex"]
        assert "published" not in texts[f"{name}.md"] + texts[f"{name}.tex"]
        assert pd.read_csv(tmp_path / f"{name}.csv")["published"].isna().all()
    assert not any(figure in texts["table3.md"] for figure in ("80.25", "74.75", "75.25", "inside"))
    assert pd.read_csv(tmp_path / "table3.csv")["inside"].isna().all()


def test_a_task_of_the_users_own_has_settings_and_results_alone(tmp_path: Path) -> None:
    name = "a_name_of_" + "sixty_" * 8 + "xx"
    assert len(name) == 60
    outcomes = {
        i: constant(val=[0.1, 0.1], epochs=2, metrics={"val_score": [float(5 - i), 5.5 - i]})
        for i in (1, 2, 4)
    }
    frames = make(tmp_path, CUSTOM % name, outcomes, data=NO_DATA, settings=None)
    texts = written(write_tables(frames, tmp_path / "report"))
    assert {Path(file).stem for file in texts} == {"table1", "results"}
    assert "no data" in texts["results.md"]
    assert "paper" not in texts["results.md"] + texts["table1.md"]
    assert r"größer \*und\* \<mehr\> | finished | 1.25 (1.00, 1.50) | a    |   2 |" in texts["results.md"]
    assert r"a_b\|c" in texts["results.md"]
    assert f"| {name} |" in texts["results.md"]
    assert f"| {name} | 0.1, 0.2 " in texts["table1.md"]
    frame = pd.read_csv(tmp_path / "report" / "results.csv")
    assert frame["sample"].tolist() == [4, 2, 1, 3], "least val_score first, the unfinished last"
    assert frame["kind"].iloc[0] == "größer *und* <mehr>"


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    frames = make(tmp_path, SAMPLES, FIVE)
    first = written(write_tables(frames, tmp_path / "report"))
    assert written(write_tables(frames, tmp_path / "report")) == first
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(first)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    frames = make(tmp_path, ONE, {})
    (tmp_path / "report").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageError, match=r"results\.md: "):
        write_tables(frames, tmp_path / "report")


def test_the_data_stands_on_every_table(tmp_path: Path) -> None:
    for file in write_tables(make(tmp_path, SAMPLES, FIVE, data=XRAYS), tmp_path):
        text = file.read_text(encoding="utf-8").replace("\\", "")
        if file.suffix == ".csv":
            assert all(line.endswith(f"chest_xray_256,{SHA}") for line in text.splitlines()[1:])
        else:
            assert "chest_xray_256 (1800 train, 200 validation, 400 test; sha256" in text
            assert "34 of 200" in text
