"""Verdicts between which seeds were added, and what they leave for the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from judging import grid
from numpy.typing import NDArray
from records import Ended, record, steady

from benchmarks.recorder import Recorder
from tune_app import results, space
from tune_app.results import Frames, verdict
from tune_app.results.verdict.looks import taken
from tune_app.stats import best_set
from tune_app.stats.looks import Look, pairs, unplanned_share
from tune_app.sweep.events import Extended, Undone

Floats = NDArray[np.float64]

SEEDS = 5


def drawn(*means: float, seeds: int = 20, seed: int = 0) -> Floats:
    noise = np.random.default_rng(seed).standard_normal((len(means), seeds))
    return np.asarray(means)[:, None] + 0.01 * noise


def first(folder: Path, values: Floats, seeds: int = SEEDS) -> Frames:
    ended = {sample: Ended(steady(*row[:seeds])) for sample, row in enumerate(values, 1)}
    return record(folder, grid(len(values), seeds), ended)


def more(frames: Frames, values: Floats, seeds: int) -> Frames:
    """The run after an extension to ``seeds``."""
    sweep, before = frames.sweep, frames.sweep.space.seeds
    wider = space.parse(grid(len(values), seeds), file="my.yaml", name="my")
    with sweep.writing():
        sweep.extend(wider, f"--seeds {seeds}", from_start=False)
        for sample, row in enumerate(values, 1):
            recorder = Recorder(sweep.note, sweep.history, range(before, seeds), 2)
            recorder.train(sample, {"val_accuracy": row[before:seeds].tolist()})
    return results.load(sweep)


def counts(looks: Sequence[Look]) -> list[int]:
    return [look.replicates for look in looks]


def test_each_extension_that_adds_seeds_is_a_look_and_printing_is_none(tmp_path: Path) -> None:
    values = drawn(0.9, 0.9, 0.9)
    frames = first(tmp_path, values)
    for _ in range(3):
        assert verdict.judge(frames).looks == (Look(5),)
    assert not any("look" in note for note in verdict.judge(frames).notes)
    frames = more(frames, values, 10)
    frames = more(frames, values, 20)
    looks = verdict.judge(frames).looks
    assert counts(looks) == [5, 10, 20]
    assert [look.share for look in looks] == [unplanned_share(number) for number in (1, 2, 3)]
    assert any("look 3" in note for note in verdict.judge(frames).notes)


def test_other_epochs_and_configurations_are_no_look(tmp_path: Path) -> None:
    frames = first(tmp_path, drawn(0.9, 0.9))
    sweep = frames.sweep
    with sweep.writing():
        for text in (grid(3), grid(3).replace("epochs: 2", "epochs: 4")):
            sweep.extend(space.parse(text, file="my.yaml", name="my"), "more", from_start=False)
    assert taken(sweep) == (Look(5),)


def test_an_extension_that_was_undone_is_no_look(tmp_path: Path) -> None:
    frames = first(tmp_path, drawn(0.9, 0.9))
    sweep, text = frames.sweep, frames.sweep.header.yaml
    with sweep.writing():
        sweep.note(Extended(space=text.replace("seeds: 5", "seeds: 9"), asked="--seeds 9", from_start=False))
        sweep.note(Undone(space=text, keeps=2, trials=[]))
    assert taken(sweep) == (Look(5),)


def test_one_seed_is_no_look(tmp_path: Path) -> None:
    values = drawn(0.9, 0.9)
    frames = first(tmp_path, values, seeds=1)
    assert taken(frames.sweep) == ()
    assert taken(more(frames, values, 5).sweep) == (Look(5),)


def test_what_left_the_set_stays_out_and_the_best_mean_is_always_in(tmp_path: Path) -> None:
    values = drawn(0.9, 0.9, 0.9, 0.9)
    values[1:, :5] -= 0.03
    frames = first(tmp_path, values)
    before = verdict.judge(frames).best_set
    assert len(before) < 4
    gone = next(sample for sample in (2, 3, 4) if sample not in before)
    values[gone - 1, 5:] += 0.2
    frames = more(frames, values, 20)
    judged = verdict.judge(frames)
    assert judged.winner == gone
    assert set(judged.best_set) <= {*before, gone}
    assert judged.winner in judged.best_set


def test_a_pair_that_differed_stays_so_and_a_new_difference_has_to_be_clearer(tmp_path: Path) -> None:
    values = drawn(0.9, 0.86, 0.86)
    frames = first(tmp_path, values)
    assert verdict.judge(frames).chosen.pair(1, 2).significant
    values[1, 5:] += 0.04
    judged = verdict.judge(more(frames, values, 10)).chosen
    assert judged.pair(1, 2).significant
    rest = judged.pair(2, 3).seeds
    assert rest is not None
    by_hand = pairs(values[:, :10], [Look(5), Look(10, unplanned_share(2))])
    assert rest.adjusted == pytest.approx(by_hand.adjusted[2], abs=1e-6)
    assert rest.adjusted >= min(pairs(values[:, :10], [Look(10)]).adjusted[2], 1)


def test_one_look_is_the_set_without_looks(tmp_path: Path) -> None:
    values = drawn(0.9, 0.89, 0.85)
    judged = verdict.judge(first(tmp_path, values))
    inside = best_set.over_seeds(values[:, :5])
    assert sorted(judged.best_set) == [sample for sample in (1, 2, 3) if inside[sample - 1]]
