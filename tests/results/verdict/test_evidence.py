"""What the answers on the test images say, patient by patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from facts import lacking
from judging import grid, on_test, three
from records import Ended, record, right, steady

from tune_app import results, space
from tune_app.errors import RunError
from tune_app.results import verdict
from tune_app.session import lifecycle
from tune_app.session.request import Request


def test_patients_with_several_images_say_less_than_as_many_images(tmp_path: Path) -> None:
    single = on_test(verdict.judge(three(tmp_path)))
    names = [f"p{i // 8}" for i in range(400)]
    grouped = on_test(verdict.judge(three(tmp_path / "grouped", patients=names)))
    assert grouped.patients == 50
    assert [lacking(note, ["400 test images", "50 patients"]) for note in grouped.notes] == [[]]
    assert lacking(single.notes[0], ["400 test images"]) == []
    for a, b in zip(single.pairs, grouped.pairs, strict=True):
        assert a.difference == b.difference
        assert a.seeds == b.seeds
        assert a.patients != b.patients


def test_too_few_wrong_answers_leave_no_interval_over_patients(tmp_path: Path) -> None:
    ended = {1: Ended(steady(0.99, 0.99, 0.98), right(1, [0.99, 0.985, 0.98]))}
    [standing] = on_test(verdict.judge(record(tmp_path, grid(1, seeds=3), ended))).standings
    assert standing.both is None


def test_without_a_list_of_the_images_patients_are_left_open(tmp_path: Path) -> None:
    found = on_test(verdict.judge(three(tmp_path, listed=False)))
    assert found.unanswered == {"patients": "the run holds no list of its test images"}
    assert all(pair.patients is None and pair.seeds for pair in found.pairs)


def test_too_few_patients_stand_for_no_others(tmp_path: Path) -> None:
    names = [f"p{i % 7}" for i in range(400)]
    found = on_test(verdict.judge(three(tmp_path, patients=names)))
    assert found.unanswered == {"patients": "7 patients cannot stand for others: it takes 10"}


def test_a_damaged_list_of_images_is_told(tmp_path: Path) -> None:
    frames = three(tmp_path)
    frames.sweep.paths.test_images.write_text("index,label\n0,x\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"test_images\.csv: "):
        verdict.judge(frames)


def test_labels_in_another_order_are_noticed(tmp_path: Path) -> None:
    frames = three(tmp_path)
    path = frames.sweep.paths.test_images
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    flipped = [row.replace(",0,", ",2,").replace(",1,", ",0,").replace(",2,", ",1,") for row in rows]
    path.write_text("\n".join([head, *flipped]) + "\n", encoding="utf-8")
    found = on_test(verdict.judge(frames))
    assert found.unanswered["patients"] == "the recorded scores do not give the recorded test_accuracy"


OWN_DATA = """
import numpy as np
from tune_app.task import Labelled, Splits
from tune_app.tasks.pneumonia import Pneumonia


class Mine(Pneumonia):
    def splits(self, dataset):
        if dataset is not None:
            test = dataset.test.take(reversed(range(len(dataset.test))))
            return Splits(*(Labelled(each.x, each.y) for each in (dataset.train, dataset.val, test)))
        rng = np.random.default_rng(1)
        y = rng.integers(0, 2, 40)
        x = (rng.integers(0, 60, (40, 4, 4)) + 150 * y[:, None, None]).astype(np.uint8)
        return Splits(*(Labelled(x, y) for _ in range(3)))
"""


@pytest.mark.parametrize("data", [None, "phantom"])
def test_test_images_of_a_task_are_labelled_as_it_gives_them(
    user_module: Callable[[str], str], tmp_path: Path, data: str | None
) -> None:
    text = (
        f"task: {user_module(OWN_DATA)}:Mine\nspace: {{lr: {{grid: [1.0e-4, 1.0e-3]}}}}\nepochs: 2\nseeds: 3"
    )
    request = Request(space.parse(text), data, image_size=8, runs_dir=tmp_path, address="inline")
    sweep = lifecycle.run(request, request.load()).train()
    frames = results.load(sweep)
    found = on_test(verdict.judge(frames))
    assert found.unanswered == {}
    assert found.images == found.patients == (40 if data is None else 400)
    images = frames.test_images()
    assert images is not None
    # in another order than the data's, nobody knows which image is which
    assert set(images["patient"]) == set(images["name"]) == {""}
    sensitive = on_test(verdict.judge(frames, "test_sensitivity"))
    assert sensitive.images == (images["label"] == 1).sum()
