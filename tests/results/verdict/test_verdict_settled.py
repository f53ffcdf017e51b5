"""The verdict after settling, which gave some configurations more seeds than others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from records import constant, record

from benchmarks.recorder import Recorder
from tune_app import results
from tune_app import space as spaces
from tune_app.results import verdict
from tune_app.results.verdict.looks import of_the_set, taken
from tune_app.stats.looks import Look, planned_share, unplanned_share
from tune_app.sweep import Sweep
from tune_app.sweep.events import Batch, Settled

TEXT = "task: mine:train\nspace: {x: {grid: [1, 2, 3]}}\nepochs: 1\nseeds: 5\n"
DRAWN = 0.01 * np.random.default_rng(0).standard_normal((5, 60))
#: The third is behind, the first two are alike; a fourth and a fifth are as good.
MEANS = np.array([0.90, 0.90, 0.80, 0.90, 0.90])
VALUES = (MEANS[:, None] + DRAWN).round(5).tolist()


def begun(folder: Path) -> Sweep:
    ended = {sample: constant(val=VALUES[sample - 1][:5], epochs=1) for sample in (1, 2, 3)}
    return record(folder, TEXT, ended).sweep


def batch(sweep: Sweep, *samples: int, before: int, looks: int = 3) -> None:
    """A batch of five seeds for each."""
    seeds = [5] * len(samples)
    asked = {"among": [1, 2, 3], "before": before, "after": before + 5, "looks": looks, "budget": 30}
    sweep.note(Batch(samples=list(samples), seeds=seeds, **asked))  # type: ignore[arg-type]


def train(sweep: Sweep, sample: int, replicates: range) -> None:
    row = [VALUES[sample - 1][each] for each in replicates]
    Recorder(sweep.note, sweep.history, replicates, 1).train(sample, row)


def best(sweep: Sweep) -> tuple[int, ...]:
    return verdict.judge(results.load(sweep), test=False).best_set


def ranking(sweep: Sweep) -> Sequence[int]:
    return results.ranked(results.load(sweep))["sample"].tolist()


def test_a_batch_that_is_being_trained_changes_nothing(tmp_path: Path) -> None:
    sweep = begun(tmp_path)
    before = best(sweep)
    with sweep.writing():
        batch(sweep, 1, 2, before=5)
        train(sweep, 1, range(5, 10))
        assert (best(sweep), of_the_set(sweep)) == (before, (Look(5),))
        train(sweep, 2, range(5, 10))
        assert of_the_set(sweep) == (Look(5, planned_share(3)), Look(10, planned_share(3)))
        assert sorted(best(sweep)) == [1, 2]


def test_the_pairs_count_the_looks_before_settling_too(tmp_path: Path) -> None:
    sweep = begun(tmp_path)
    before = verdict.judge(results.load(sweep), test=False).chosen.pair(1, 3)
    with sweep.writing():
        batch(sweep, 1, 2, before=5)
        for sample in (1, 2):
            train(sweep, sample, range(5, 10))
        assert taken(sweep) == (Look(5), Look(10, unplanned_share(2)))
        judged = verdict.judge(results.load(sweep), test=False)
    assert before.significant
    assert judged.chosen.pair(1, 3).seeds == before.seeds
    assert judged.looks == taken(sweep)


def test_who_has_left_stays_out_and_is_ranked_behind(tmp_path: Path) -> None:
    sweep = begun(tmp_path)
    with sweep.writing():
        batch(sweep, 1, 2, before=5)
        for sample in (1, 2):
            train(sweep, sample, range(5, 10))
        sweep.note(Settled(why="budget"))
        wider = spaces.extend(sweep.space, seeds="+5", add=["x=4"])
        sweep.extend(wider, "", from_start=False)
        for sample, have in ((1, 10), (2, 10), (3, 5), (4, 0)):
            train(sweep, sample, range(have, max(have + 5, 10)))
        assert not sweep.outstanding()
        assert [look.replicates for look in of_the_set(sweep)] == [5, 10, 15]
        assert of_the_set(sweep)[-1].share == unplanned_share(2)
        assert set(best(sweep)) <= {1, 2, 4}
        assert 4 in best(sweep), "one that came later is compared too"
        assert ranking(sweep)[-1] == 3
    history = sweep.history
    assert [history.left_behind(each) for each in history.configurations.values()] == [
        *(False, False, True, False)
    ]


def test_a_lucky_mean_of_few_seeds_does_not_rank_above_those_that_went_on(tmp_path: Path) -> None:
    sweep = begun(tmp_path)
    with sweep.writing():
        batch(sweep, 2, 3, before=5)
        for sample in (2, 3):
            train(sweep, sample, range(5, 10))
        sweep.note(Settled(why="budget"))
        order = ranking(sweep)
        assert order[-1] == 1
        assert verdict.judge(results.load(sweep), test=False).winner == order[0]
