"""The paper's tables measured again."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from facts import lacking
from make_run import FIVE, PHANTOM, SAMPLES, SHA, XRAYS, make, write_tables, written
from records import Ended, constant

from tune_app.report.paper_tables import SAMPLES as PUBLISHED
from tune_app.space import Value


def verdict(tmp_path: Path, outcomes: dict[int, Ended]) -> str:
    seeds = len(outcomes[1].test["test_accuracy"])
    text = SAMPLES.replace("seeds: 3", f"seeds: {seeds}")
    write_tables(make(tmp_path, text, outcomes), tmp_path / "report")
    return (tmp_path / "report" / "table3.md").read_text(encoding="utf-8").split("|\n\n")[1]


def around(*means: float, seeds: int = 3, spread: float = 0.0025) -> dict[int, Ended]:
    """Equal spreads in an order of its own for each, so that replicates of two are not alike."""
    half = (seeds - 1) / 2
    return {
        i: constant(test=[mean + spread * (k - half) for k in random.Random(i).sample(range(seeds), seeds)])
        for i, mean in enumerate(means, start=1)
    }


def pairs(text: str) -> list[tuple[int, int]]:
    """Which row is named as better than which other one."""
    return [(int(a), int(b)) for a, b in re.findall(r"row (\d) over (\d)", text)]


def test_table3_in_markdown(tmp_path: Path) -> None:
    texts = written(write_tables(make(tmp_path, SAMPLES, FIVE), tmp_path / "report"))
    # the ranges by hand, sample 2: mean 0.70, sd 0.01, t(2) 4.3027, z 1.96
    # 0.70 ± sqrt(4.3027^2 * 0.01^2 * 4/3 + 1.96^2 * 0.21 / 400) = 0.70 ± 0.067
    text = texts["table3.md"]
    assert (
        [line for line in text.splitlines() if line.startswith("|")]
        == """\
| paper's row |   lr | step_size | published | mean |  ci95 |   n | inside                           |
| ----------: | ---: | --------: | --------: | ---: | ----: | --: | -------------------------------- |
|           1 | 3e-6 |         4 |        83 | 83.0 | ± 0.6 |   3 | yes (79.1 to 86.9)               |
|           2 | 3e-5 |         4 |     80.25 | 70.0 | ± 2.5 |   3 | no (63.3 to 76.7)                |
|           3 | 3e-7 |         4 |        77 | 77.1 | ± 0.9 |   3 | yes (72.5 to 81.6)               |
|           4 | 3e-6 |         8 |     74.75 | 75.0 | ± 0.6 |   3 | yes (70.6 to 79.4)               |
|           5 | 3e-6 |         2 |     75.25 |    – |     – |   0 | not compared: stopped at epoch 9 |
""".splitlines()
    )
    above, below = text.split("| paper's row")[0], text.rsplit("|\n", 1)[1]
    counts = ["1800 train", "200 validation", "400 test", "9c1f0a000000"]
    assert lacking(above, ["table3-1", "3 seeds", "last epoch", "chest_xray_256", *counts]) == []
    assert lacking(above, ["34 of 200", "1 stopped", "95%"]) == []
    assert lacking(below, ["3 of 4", "n = 1", "95%", "5%"]) == []
    assert re.search(r"\b6 differences\b.*1, 2, 3 and 4.*\b4 survive.*3 seeds", below)
    pairs = re.findall(r"row (\d) over (\d)", below)
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


def test_one_difference_survives(tmp_path: Path) -> None:
    found = verdict(tmp_path, around(0.78, 0.77, 0.77, 0.762, 0.77, seeds=10, spread=0.003))
    assert re.search(r"\b10 differences\b.*\b1 survives\b.*\b10 seeds\b", found)
    assert pairs(found) == [(1, 4)]
    assert re.search(r"\bHolm\b.*\b10 pairs\b", found)


def test_a_difference_the_other_way_round_does_not_survive(tmp_path: Path) -> None:
    found = verdict(tmp_path, around(0.762, 0.77, 0.77, 0.78, 0.77, seeds=10, spread=0.003))
    assert re.search(r"\bnone survives\b.*\b10 seeds\b", found)
    assert pairs(found) == [(4, 1)]


def test_several_are_listed(tmp_path: Path) -> None:
    found = verdict(tmp_path, around(0.90, 0.80, 0.80, 0.80, 0.80, seeds=10, spread=0.003))
    assert re.search(r"\b4 survive\b.*\b10 seeds\b", found)
    assert pairs(found) == [(1, 2), (1, 3), (1, 4), (1, 5)]


def test_none_survives_where_all_are_alike(tmp_path: Path) -> None:
    found = verdict(tmp_path, around(*[0.77] * 5))
    assert re.search(r"\b10 differences\b.*\bnone survives\b.*\b3 seeds\b", found)
    assert pairs(found) == []


def test_only_what_is_there_is_compared(tmp_path: Path) -> None:
    found = verdict(tmp_path, {k: v for k, v in around(0.83, 0.80, 0.77, 0.75).items() if k in (1, 4)})
    assert lacking(found, ["2 of 2"]) == []
    assert re.search(r"\b1 difference\b.*\b1 and 4\b.*\b1 survives\b.*\b3 seeds\b", found)
    assert pairs(found) == [(1, 4)]


def test_a_single_figure_has_no_differences(tmp_path: Path) -> None:
    found = verdict(tmp_path, around(0.5))
    assert lacking(found, ["0 of 1"]) == []
    assert "differences" not in found


def test_few_test_images_widen_the_range(tmp_path: Path) -> None:
    few = replace(XRAYS, counts={"train": 90, "val": 10, "test": 40})
    write_tables(make(tmp_path, SAMPLES, around(0.70), data=few), tmp_path)
    assert pd.read_csv(tmp_path / "table3.csv")["inside"][0] == "yes"
    (tmp_path / "all").mkdir()
    write_tables(make(tmp_path / "all", SAMPLES, around(0.70)), tmp_path / "all")
    assert pd.read_csv(tmp_path / "all" / "table3.csv")["inside"][0] == "no"


def test_a_range_that_is_wider_than_the_paper_shows_no_agreement(tmp_path: Path) -> None:
    found = verdict(tmp_path / "a", around(0.83, 0.80, 0.97, seeds=4, spread=0.03))
    assert re.search(r"\b3 of 3 ranges are \d\d to \d\d points\b.* 8\.3 points", found)
    assert "wide" not in verdict(tmp_path / "b", around(0.97, 0.96, seeds=10, spread=0.001))


def test_of_several_gammas_the_papers_own_is_taken(tmp_path: Path) -> None:
    text = "task: pneumonia\nspace: {gamma: {grid: [0.9, 0.4]}}\nfixed: {lr: 3e-6, step_size: 4}\nseeds: 3\n"
    outcomes = {1: constant(test=[0.5, 0.6, 0.7]), 2: constant(test=[0.8, 0.8, 0.83])}
    write_tables(make(tmp_path, text, outcomes), tmp_path)
    assert pd.read_csv(tmp_path / "table3.csv")["mean"].tolist() == pytest.approx([0.81])
    assert "gamma" not in (tmp_path / "table3.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fixed", ["lr: 1e-5, step_size: 4", "lr: 3e-6, step_size: 4, loss: ce", "lr: 3e-6"])
def test_no_table3_without_a_sample_of_the_papers(tmp_path: Path, fixed: str) -> None:
    text = f"task: pneumonia\nspace: {{nodes: {{grid: [32, 64]}}}}\nfixed: {{{fixed}}}\n"
    names = {path.name for path in write_tables(make(tmp_path, text, {}), tmp_path)}
    assert {name.split(".")[0] for name in names} == {"table1", "results"}


LOSSES = """
task: pneumonia
space:
  gamma: {grid: [0.9, 0.4]}
  loss: {grid: [ce, bce]}
fixed: {lr: 3e-6, step_size: 4}
epochs: 3
seeds: 2
"""


def losses(n: float) -> dict[str, list[float]]:
    return {"train_accuracy": [0.94, n], "train_loss": [0.2, 0.3], "val_loss": [0.37, 0.37]}


def test_the_loss_table_takes_the_pair_that_is_as_the_paper(tmp_path: Path) -> None:
    outcomes = {
        3: constant(test=[0.8, 0.82], val=[0.87, 0.89], epochs=3, metrics=losses(0.92)),
        4: constant(test=[0.83, 0.83], val=[0.9, 0.9], epochs=3, metrics=losses(0.94)),
    }
    write_tables(make(tmp_path, LOSSES, outcomes), tmp_path)
    text = (tmp_path / "loss_table.md").read_text(encoding="utf-8")
    lines = text[text.index("| quantity") :].splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in [lines[0], *lines[2:]]] == [
        ["quantity", "BCE measured (n=2)", "BCE published", "CE measured (n=2)", "CE published"],
        ["training accuracy, %", "94.0 (94.0, 94.0)", "94", "93.0 (94.0, 92.0)", "92"],
        ["training loss", "0.250 (0.200, 0.300)", "0.37", "0.250 (0.200, 0.300)", "0.37"],
        ["validation accuracy, %", "90.0 (90.0, 90.0)", "90", "88.0 (87.0, 89.0)", "87"],
        ["validation loss", "0.370 (0.370, 0.370)", "0.37", "0.370 (0.370, 0.370)", "0.35"],
        ["test accuracy, %", "83.0 (83.0, 83.0)", "83", "81.0 (80.0, 82.0)", "82.25"],
    ]
    frame = pd.read_csv(tmp_path / "loss_table.csv").set_index("quantity")
    assert frame.loc["test_accuracy", "ce_mean"] == pytest.approx(0.81)
    assert frame.loc["test_accuracy", "ce_published"] == 0.8225
    assert frame.loc["val_loss", "bce_published"] == 0.37


def test_the_loss_table_of_phantoms_has_no_published_columns(tmp_path: Path) -> None:
    write_tables(make(tmp_path, LOSSES, {}, data=PHANTOM), tmp_path)
    text = (tmp_path / "loss_table.md").read_text(encoding="utf-8")
    assert "published" not in text.split("| quantity")[1]
    assert "BCE: planned, not measured" in text
    assert pd.read_csv(tmp_path / "loss_table.csv")["ce_published"].isna().all()


def test_losses_are_compared_only_where_all_else_is_equal(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{loss: bce, lr: 3e-6}, {loss: ce, lr: 1e-6}]\n"
    names = [path.name for path in write_tables(make(tmp_path, text, {}), tmp_path)]
    assert "loss_table.md" not in names


def test_every_sample_of_the_paper_is_found_by_its_settings() -> None:
    def found(config: dict[str, Value]) -> list[int]:
        return [sample.number for sample in PUBLISHED if sample.matches(config)]

    for sample in PUBLISHED:
        config: dict[str, Value] = {"lr": sample.lr, "step_size": sample.step_size, "gamma": 0.4}
        assert found(config) == found(config | {"loss": "bce"}) == [sample.number]
        assert found(config | {"loss": "ce"}) == found(config | {"lr": sample.lr * 1.01}) == []
        assert found(config | {"step_size": float(sample.step_size)}) == [sample.number]
    assert found({"step_size": 4}) == []


def test_the_published_differences_are_those_of_the_published_figures() -> None:
    assert len({sample.accuracy for sample in PUBLISHED}) == 5, "every pair has a sign"
