"""What is said at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from facts import lacking
from records import TWO_CURVES, TWO_POINTS, Ended, record, right, steady

from tune_app.report import terminal
from tune_app.results import Frames, json_views

SPACE = "task: pneumonia\nconfigs: [%s]\nepochs: 2\nseeds: %d\n"


def summary(frames: Frames) -> list[str]:
    return terminal.summary(frames).splitlines()


def run(folder: Path, *accuracies: list[float], seeds: int = 5, **more: str) -> list[str]:
    points = ", ".join(f"{{lr: {i}.0e-6, step_size: 4}}" for i in range(1, len(accuracies) + 1))
    ended = {i: Ended(steady(*values)) for i, values in enumerate(accuracies, start=1)}
    return summary(record(folder, SPACE % (points, seeds), ended, **more))  # type: ignore[arg-type]


BEST = [0.936, 0.934, 0.938, 0.935, 0.937]
NEAR = [0.934, 0.937, 0.935, 0.938, 0.935]
FAR = [0.711, 0.703, 0.705, 0.708, 0.701]


def test_a_tie_is_named(tmp_path: Path) -> None:
    lines = run(tmp_path, FAR, BEST, NEAR)
    assert lacking(lines[0], ["val_accuracy", "lr 2e-6", "93.6% ± 0.2", "n=5"]) == []
    assert lacking(lines[1], ["lr 3e-6", "5 seeds"]) == []
    assert "tune-app settle run" in lines[-1]


def test_a_clear_winner_is_told_apart(tmp_path: Path) -> None:
    lines = run(tmp_path, FAR, BEST)
    assert lacking(lines[1], ["5 seeds"]) == []
    assert "tune-app show run" in lines[-1]
    lines = run(tmp_path / "three", FAR, BEST, [value - 0.1 for value in FAR[::-1]])
    assert lacking(lines[1], ["these 3", "5 seeds"]) == []


def test_of_many_ties_some_are_named(tmp_path: Path) -> None:
    alike = [NEAR[i:] + NEAR[:i] for i in range(5)]
    assert lacking(run(tmp_path, BEST, *alike[:3])[1], ["each of the 4", "5 seeds"]) == []
    lines = run(tmp_path / "more", BEST, *alike, FAR)
    assert lacking(lines[1], ["lr 1e-6; lr 2e-6; lr 3e-6", "3 more", "5 seeds"]) == []
    assert "tune-app settle run" in lines[-1]


def test_a_confirmation_is_not_confirmed_again(tmp_path: Path) -> None:
    lines = run(tmp_path, BEST, NEAR, confirms="other")
    assert "each of the 2 may be the best" in lines[2]
    assert "tune-app show run" in lines[-1]


def test_one_seed_has_runners_up_and_no_ties(tmp_path: Path) -> None:
    lines = run(tmp_path, [0.90], [0.95], [0.80], seeds=1)
    facts = [["val_accuracy", "lr 2e-6", "95.0%", "n=1"], ["lr 1e-6", "90.0%"], ["lr 3e-6", "80.0%"]]
    assert [lacking(line, each) for line, each in zip(lines[:3], facts, strict=True)] == [[], [], []]
    assert any("note: " in line and "--seeds 5" in line for line in lines)


def test_at_most_three_notes(tmp_path: Path) -> None:
    rising = {"val_accuracy": [[0.5 + e / 50] for e in range(12)], "train_accuracy": [[0.99]] * 12}
    text = (SPACE % ("{lr: 1.0e-6}, {lr: 2.0e-6}, {lr: 3.0e-6}", 1)).replace("epochs: 2", "epochs: 12")
    record(tmp_path, text, {1: Ended(rising)}, name="other")
    frames = record(tmp_path, text, {1: Ended(rising), 2: Ended(steady(0.70, epochs=12))})
    assert sum(line.startswith("  note: ") for line in summary(frames)) == 3


def test_the_test_set_is_shown_and_nothing_finished_is_said(tmp_path: Path) -> None:
    scores = right(1, [0.8, 0.81, 0.82])
    text = SPACE % ("{lr: 1.0e-6}", 3)
    lines = summary(record(tmp_path, text, {1: Ended(steady(0.9, 0.91, 0.92), scores)}))
    assert any(lacking(line, ["test", "accuracy", "81.0% ± 2.5"]) == [] for line in lines)
    assert "95% confidence" not in "\n".join(lines)
    assert summary(record(tmp_path / "none", text, {}))[0].startswith("no ")


def test_a_mean_of_epochs_is_told_wherever_it_ranks(tmp_path: Path) -> None:
    frames = record(tmp_path, f"{TWO_POINTS}choose: {{window: 2}}\n", TWO_CURVES)
    facts = ["val_accuracy", "mean of the last 2 epochs", "80.5%"]
    assert lacking(summary(frames)[0], [*facts, "lr 1e-6"]) == []
    assert lacking(terminal.table(frames), facts) == []
    assert (
        lacking(terminal.best(frames, json_views.best(frames)), [*facts, "70.0%", "at the last epoch"]) == []
    )
    one = record(tmp_path / "one", f"{TWO_POINTS}choose: {{window: 1}}\n", TWO_CURVES)
    for text in (terminal.summary(one), terminal.table(one), terminal.best(one, json_views.best(one))):
        assert "mean of" not in text


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_a_table_has_the_same_metrics_at_every_width_and_names_the_best_last(
    tmp_path: Path, width: int | None
) -> None:
    points = "{lr: 1.0e-6, step_size: 4}, {lr: 2.0e-6, step_size: 4}"
    ended = {1: Ended(steady(0.9, 0.91)), 2: Ended(steady(0.8, 0.82))}
    lines = terminal.table(record(tmp_path, SPACE % (points, 2), ended), width).splitlines()
    header, *rows = [line for line in lines if line.startswith("  ")]
    assert max(map(len, rows)) <= (width or 1000)
    assert ("device" in header) == (width != 60)
    assert [lacking(row, wanted) for row, wanted in zip(rows, (["90.5%"], ["81.0%"]), strict=True)] == [
        [],
        [],
    ]
    assert lacking(lines[-1], ["lr 1e-6", "90.5% (90.0, 91.0)", "n=2"]) == []
