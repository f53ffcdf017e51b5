"""The settings of a run beside the paper's."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from make_run import DEFAULTS, FIVE, SAMPLES, make, write_tables, written
from records import constant

from tune_app.data.identity import NO_DATA

CUSTOM = """
task: mine:train
space: {%s: {grid: [0.1, 0.2]}, kind: {grid: ["a_b|c", "größer *und* <mehr>"]}}
epochs: 2
seeds: 2
metric: {name: val_score, mode: min}
"""


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
