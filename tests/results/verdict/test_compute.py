"""Which configuration is chosen, and which may be as good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import scipy.stats
from facts import lacking
from judging import grid, on_test, three
from records import DATA, TWO_CURVES, TWO_POINTS, Ended, record, right, steady

from tune_app import results, space
from tune_app.errors import RunError
from tune_app.results import json_views, verdict
from tune_app.session import lifecycle
from tune_app.session.request import Request
from tune_app.stats.intervals import wilson
from tune_app.stats.multiple_testing import holm


def test_the_winner_is_chosen_by_validation_and_the_set_that_holds_the_best_is_named(tmp_path: Path) -> None:
    judged = verdict.judge(three(tmp_path))
    assert judged.winner == 1
    assert judged.best_set == (1, 2)
    assert judged.chosen.candidates == 3
    assert [standing.sample for standing in judged.chosen.standings] == [1, 2, 3]
    assert [standing.letters["seeds"] for standing in judged.chosen.standings] == ["a", "a", "b"]
    assert judged.chosen.metric == "val_accuracy"
    assert judged.chosen.unanswered == {
        "patients": "predictions of single images are recorded only for the test set"
    }
    assert judged.notes == ()


def test_both_questions_are_answered_on_the_test_set(tmp_path: Path) -> None:
    frames = three(tmp_path)
    found = on_test(verdict.judge(frames))
    assert found.metric == "test_accuracy"
    assert found.unanswered == {}
    assert (found.images, found.patients) == (400, 400)
    seeds = [frames.replicates(sample, "test_accuracy").to_numpy() for sample in (1, 2, 3)]
    p_values = [scipy.stats.ttest_rel(a, b).pvalue for a, b in combinations(seeds, 2)]
    for pair, p, adjusted in zip(found.pairs, p_values, holm(p_values), strict=True):
        assert pair.seeds is not None
        assert pair.seeds.p == pytest.approx(p)
        assert pair.seeds.adjusted == pytest.approx(adjusted)
    near, far = found.pair(2, 1), found.pair(1, 3)
    assert near.difference == pytest.approx(-0.01, abs=1e-9)
    assert near.patients is not None
    assert far.patients is not None
    assert far.seeds is not None
    assert not near.significant
    assert far.significant
    assert far.patients.significant
    assert far.patients.half_width is not None
    assert far.difference - far.patients.half_width > 0
    assert far.seeds.needed is None
    assert near.patients.needed is not None
    assert near.patients.needed > 400


def test_what_has_not_finished_is_never_compared(tmp_path: Path) -> None:
    best = Ended(steady(0.99, 0.99, 0.99), right(7, [0.99, 0.98, 0.97]))
    ended = {
        1: Ended(steady(0.7, 0.71, 0.72), right(1, [0.7, 0.71, 0.72])),
        2: replace(best, end="stopped"),
        3: replace(best, end="failed"),
        4: replace(best, end="diverged"),
        5: Ended(steady(0.6, 0.61, 0.63), right(2, [0.6, 0.61, 0.62])),
    }
    judged = verdict.judge(record(tmp_path, grid(6, seeds=3), ended))
    assert judged.winner == 1
    assert {standing.sample for standing in judged.chosen.standings} == {1, 5}
    assert {standing.sample for standing in on_test(judged).standings} == {1, 5}
    assert judged.best_set == (1,)
    assert judged.notes == ()


def test_one_seed_has_no_interval_and_says_why(tmp_path: Path) -> None:
    ended = {
        1: Ended(steady(0.9), right(1, [0.9])),
        2: Ended(steady(0.6), right(2, [0.6])),
    }
    judged = verdict.judge(record(tmp_path, grid(2, seeds=1), ended))
    assert (judged.winner, judged.best_set, judged.expected) == (1, (), None)
    assert judged.chosen.pairs == ()
    found = on_test(judged)
    assert "one seed" in found.unanswered["seeds"]
    pair = found.pair(1, 2)
    assert pair.seeds is None
    assert pair.patients is not None
    assert pair.significant
    for standing in found.standings:
        assert (standing.half_width, standing.both) == (None, None)
        assert standing.images == wilson(round(400 * standing.mean), 400)
        assert set(standing.letters) == {"patients"}


def test_two_seeds_have_an_interval_over_seeds_alone(tmp_path: Path) -> None:
    ended = {1: Ended(steady(0.9, 0.92), right(1, [0.9, 0.92]))}
    [standing] = on_test(verdict.judge(record(tmp_path, grid(1, seeds=2), ended))).standings
    assert standing.half_width is not None
    assert standing.both is None
    assert standing.letters == {}


def test_nothing_finished_is_no_verdict(tmp_path: Path) -> None:
    judged = verdict.judge(record(tmp_path, grid(2), {}))
    assert (judged.winner, judged.best_set, judged.test) == (None, (), None)
    assert (judged.chosen.standings, judged.chosen.pairs) == ((), ())
    assert judged.notes == ()


def test_the_same_point_twice_is_compared_once(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{lr: 1.0e-6}, {lr: 2.0e-6}]\nspace: {lr: {choice: [1.0e-6]}}\n"
    text += "search: {algorithm: random, samples: 1}\nepochs: 2\nseeds: 3\n"
    ended = {
        1: Ended(steady(0.9, 0.91, 0.92), right(1, [0.9, 0.91, 0.92])),
        2: Ended(steady(0.8, 0.82, 0.83), right(3, [0.8, 0.82, 0.83])),
    }
    judged = verdict.judge(record(tmp_path, text, ended))
    assert [standing.sample for standing in judged.chosen.standings] == [1, 2]
    assert [lacking(note, ["1 configuration"]) for note in judged.notes] == [[]]


def test_of_many_the_best_are_compared(tmp_path: Path) -> None:
    count = verdict.MOST + 3
    ended = {i: Ended(steady(0.5 + i / 100, 0.505 + i / 100, 0.5 + i / 99)) for i in range(1, count + 1)}
    judged = verdict.judge(record(tmp_path, grid(count, seeds=3), ended))
    assert [standing.sample for standing in judged.chosen.standings] == list(range(count, 3, -1))
    assert [lacking(note, [str(count), "20"]) for note in judged.notes] == [[]]
    assert judged.test is None


def test_where_less_is_better_the_least_wins(tmp_path: Path) -> None:
    text = grid(2, seeds=3) + "metric: {name: val_loss, mode: min}\n"
    ended = {
        1: Ended(steady(0.9, 0.9, 0.9, val_loss=[0.5, 0.51, 0.52]), right(1, [0.9, 0.9, 0.91])),
        2: Ended(steady(0.8, 0.8, 0.8, val_loss=[0.4, 0.41, 0.43]), right(2, [0.8, 0.81, 0.82])),
    }
    judged = verdict.judge(record(tmp_path, text, ended))
    assert judged.winner == 2
    # the recorded loss is not that of the scores, so it is left alone
    assert on_test(judged).metric == "test_loss"
    assert on_test(judged).unanswered["patients"] == "the recorded scores do not give the recorded test_loss"


@pytest.mark.parametrize(
    ("metric", "images"),
    [("test_auc", 400), ("test_sensitivity", 200), ("test_specificity", 200)],
)
def test_other_metrics_of_the_test_set(tmp_path: Path, metric: str, images: int) -> None:
    frames = three(tmp_path)
    found = on_test(verdict.judge(frames, metric))
    assert (found.metric, found.images) == (metric, images)
    assert found.standing(1).mean == pytest.approx(frames.replicates(1, metric).mean())
    assert all(pair.seeds and pair.patients for pair in found.pairs)
    assert found.pair(1, 3).significant


def test_a_function_task_has_no_images(tmp_path: Path) -> None:
    text = grid(2, seeds=3).replace("pneumonia", "mine:train")
    ended = {i: Ended(steady(0.8 + i / 100, 0.81, 0.82)) for i in (1, 2)}
    judged = verdict.judge(record(tmp_path, text, ended, data=replace(DATA, kind="none", fingerprint="")))
    assert judged.test is None
    assert judged.winner == 2


def test_configurations_that_seeds_never_change_are_told_apart(tmp_path: Path) -> None:
    ended = {
        1: Ended(steady(0.9, 0.9, 0.9)),
        2: Ended(steady(0.8, 0.8, 0.8)),
        3: Ended(steady(0.8, 0.8, 0.8)),
    }
    judged = verdict.judge(record(tmp_path, grid(3, seeds=3), ended))
    one, same = judged.chosen.pair(1, 2).seeds, judged.chosen.pair(2, 3).seeds
    assert one is not None
    assert same is not None
    assert (one.half_width, one.p, one.needed) == (None, 0.0, None)
    assert (same.half_width, same.p, same.needed) == (None, 1.0, -1)
    assert judged.best_set == (1,)
    assert judged.chosen.seedless
    assert judged.chosen.pair(2, 3).same


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
    assert found.unanswered == {"patients": "the run has no list of its test images"}
    assert all(pair.patients is None and pair.seeds for pair in found.pairs)


def test_too_few_patients_stand_for_no_others(tmp_path: Path) -> None:
    names = [f"p{i % 7}" for i in range(400)]
    found = on_test(verdict.judge(three(tmp_path, patients=names)))
    assert found.unanswered == {
        "patients": "7 patients are too few to stand for others: at least 10 are needed"
    }


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


def test_on_the_test_set_there_is_a_set_for_each_question(tmp_path: Path) -> None:
    found = on_test(verdict.judge(three(tmp_path)))
    assert set(found.best_sets) == {"seeds", "patients"}
    assert 3 not in found.best_sets["patients"]
    assert {1, 2} <= set(found.best_sets["patients"])


def test_where_less_is_better_the_set_and_the_estimate_turn_round(tmp_path: Path) -> None:
    text = grid(3, seeds=3) + "metric: {name: val_loss, mode: min}\n"
    losses = {1: [0.50, 0.51, 0.53], 2: [0.41, 0.40, 0.42], 3: [0.38, 0.42, 0.44]}
    ended = {
        sample: Ended(steady(0.8, 0.8, 0.8, val_loss=values), right(sample, [0.8, 0.81, 0.82]))
        for sample, values in losses.items()
    }
    judged = verdict.judge(record(tmp_path, text, ended))
    assert judged.winner == 2
    assert judged.best_set == (2, 3)
    assert judged.expected is not None
    # without seed 1 or 2 the third is chosen, and does worse on the seed that was left out
    assert judged.expected.mean > judged.chosen.standing(2).mean


@pytest.mark.parametrize(("margin", "shown"), [(0.2, ()), (1.0, (2,)), (1.9, (2,)), (5.0, (2, 3))], ids=str)
def test_only_what_is_shown_to_be_within_the_margin_is_named(
    tmp_path: Path, margin: float, shown: tuple[int, ...]
) -> None:
    values = {1: [0.90, 0.91, 0.92, 0.91], 2: [0.899, 0.911, 0.92, 0.908], 3: [0.88, 0.89, 0.905, 0.89]}
    frames = record(tmp_path, grid(3, seeds=4), {i: Ended(steady(*each)) for i, each in values.items()})
    found = verdict.judge(frames, margin=margin).equivalence
    assert found is not None
    assert (found.margin, found.shown, found.others) == (margin, shown, 2)
    assert verdict.judge(frames).equivalence is None
    assert json_views.best(frames, margin)["within"] == {"margin": margin, "samples": list(shown)}
    assert "within" not in json_views.best(frames)


def test_a_margin_has_the_unit_that_is_shown(tmp_path: Path) -> None:
    text = grid(2, seeds=3) + "metric: {name: val_loss, mode: min}\n"
    losses = {1: [0.50, 0.51, 0.53], 2: [0.51, 0.52, 0.541]}
    ended = {i: Ended(steady(0.8, 0.8, 0.8, val_loss=values)) for i, values in losses.items()}
    frames = record(tmp_path, text, ended)
    for margin, shown in ((0.009, ()), (0.02, (2,))):
        found = verdict.judge(frames, margin=margin).equivalence
        assert found is not None
        assert found.shown == shown


def test_one_seed_shows_no_configuration_to_be_within_a_margin(tmp_path: Path) -> None:
    ended = {1: Ended(steady(0.9)), 2: Ended(steady(0.9))}
    frames = record(tmp_path, grid(2, seeds=1), ended)
    assert verdict.judge(frames, margin=50).equivalence is None


def test_the_set_is_found_among_more_than_are_compared_in_pairs(tmp_path: Path) -> None:
    count = verdict.MOST + 5
    ended = {i: Ended(steady(*(0.9 + (i * r % 7) / 100 for r in range(1, 4)))) for i in range(1, count + 1)}
    judged = verdict.judge(record(tmp_path, grid(count, seeds=3), ended))
    assert judged.chosen.candidates == count
    assert len(judged.best_set) > verdict.MOST
    assert len(judged.chosen.standings) == verdict.MOST


def test_damaged_test_scores_do_not_hide_the_best(tmp_path: Path) -> None:
    frames = three(tmp_path)
    whole = json_views.best(frames)
    frames.sweep.paths.scores.write_bytes(b"damaged")
    with pytest.raises(RunError, match="test scores"):
        verdict.judge(frames)
    assert json_views.best(frames) == whole
    assert verdict.judge(frames, test=False).best_set == (1, 2)


def test_the_choice_is_judged_by_what_it_is_chosen_by(tmp_path: Path) -> None:
    frames = record(tmp_path, f"{TWO_POINTS}choose: {{window: 2}}\n", TWO_CURVES)
    judged = verdict.judge(frames)
    assert judged.winner == 1
    assert [each.mean for each in judged.chosen.standings] == pytest.approx([0.805, 0.68])
    [pair] = judged.chosen.pairs
    assert pair.difference == pytest.approx(0.125)
    assert judged.expected is not None
    assert judged.expected.mean == pytest.approx(0.805, abs=0.01)
