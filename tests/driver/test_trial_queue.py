from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app import stopping
from tune_app.driver.trial_queue import Searcher, TrialQueue
from tune_app.errors import SpaceError
from tune_app.space import Value
from tune_app.sweep import Sweep
from tune_app.sweep.events import Event, Saved
from tune_app.sweep.history import History
from tune_app.sweep.trial_spec import TrialSpec

GRID = "space: {lr: {grid: [1, 2, 3, 4, 5]}}"
ASHA = f"{GRID}\nstop: {{scheduler: asha}}"
SEARCH = "space: {lr: {uniform: [0, 9]}}\nsearch: {algorithm: optuna, samples: 3}"


class Suggesting:
    """Suggests these rates in turn, then nothing."""

    def __init__(self, *rates: float) -> None:
        self._rates = iter(rates)

    def ask(self, sample: int) -> dict[str, Value]:
        if (rate := next(self._rates, None)) is None:
            raise SpaceError("no more ideas")
        return {"lr": rate}

    def observe(self, event: Event, history: History) -> None: ...


@contextmanager
def queued(
    folder: Path, text: str, searcher: Searcher | None = None, slots: int = 1
) -> Iterator[tuple[Sweep, TrialQueue]]:
    space = spaces.parse(f"task: pneumonia\nseeds: 4\nepochs: 9\n{text}", file="my.yaml", name="my")
    with Sweep.create(space, runs_dir=folder).writing() as sweep:
        yield sweep, TrialQueue(sweep, stopping.make_stopper(space), searcher, sweep.note, slots)


def rest(queue: TrialQueue) -> list[TrialSpec]:
    return list(iter(queue.pop, None))


def start(sweep: Sweep, spec: TrialSpec) -> str:
    return Recorder.of(sweep).start(spec.sample, *spec.replicates)


@pytest.mark.parametrize("text", [GRID, ASHA])
def test_all_that_a_sweep_lacks_waits_and_its_order_is_drawn_where_it_matters(
    tmp_path: Path, text: str
) -> None:
    orders = []
    for _ in range(2):
        with queued(tmp_path, text) as (sweep, queue):
            assert (queue.total, queue.ask()) == (5, False)
            orders.append([spec.sample for spec in rest(queue)])
            assert sorted(orders[-1]) == [spec.sample for spec in sweep.lacking()] == [1, 2, 3, 4, 5]
    assert orders[0] == orders[1]
    assert (orders[0] == [1, 2, 3, 4, 5]) == (text == GRID)


def test_slots_that_would_stay_empty_get_a_share_of_the_replicates(tmp_path: Path) -> None:
    with queued(tmp_path, GRID, slots=2) as (_, queue):
        parts = [(spec.sample, spec.replicates) for spec in rest(queue)]
        assert parts[-2:] == [(5, (0, 1)), (5, (2, 3))]
        assert queue.total == len(parts) == 6


@pytest.mark.parametrize("text", [GRID, ASHA])
def test_what_failed_is_tried_again_and_keeps_its_place_where_that_matters(tmp_path: Path, text: str) -> None:
    with queued(tmp_path, text) as (sweep, queue):
        first = queue.pop()
        assert first
        trial = start(sweep, first)
        Recorder.of(sweep).fail(trial, final=False)
        queue.retry(first)
        samples = [spec.sample for spec in rest(queue)]
        assert samples.index(first.sample) == (0 if text == ASHA else 4)
        assert sorted(samples) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("whole", [True, False])
def test_a_trial_resumes_from_a_checkpoint_that_is_whole(tmp_path: Path, whole: bool) -> None:
    with queued(tmp_path, GRID) as (sweep, queue):
        first = queue.pop()
        assert first
        trial = start(sweep, first)
        saved = Saved(1, "1-0-000001-state.pt", 0, 0)
        Recorder.of(sweep).save(trial, saved)
        Recorder.of(sweep).fail(trial, final=False)
        sweep.paths.checkpoints.mkdir(exist_ok=True)
        (sweep.paths.checkpoints / saved.file).write_bytes(b"" if whole else b"damaged")
        queue.retry(first)
        assert rest(queue)[-1].start == (saved if whole else None)


def test_followers_wait_for_the_trial_that_early_stopping_judges(tmp_path: Path) -> None:
    with queued(tmp_path, ASHA) as (sweep, _):
        leader = sweep.lacking()[0].only((0, 1))
        trial = start(sweep, leader)
        saved = Saved(1, "1-0-000001-state.pt", 0, 0)
        Recorder.of(sweep).save(trial, saved)
        queue = TrialQueue(sweep, stopping.make_stopper(sweep.space), None, sweep.note, 1)
        waiting = [(spec.sample, spec.replicates) for spec in rest(queue)]
        assert [part for part in waiting if part[0] == 1] == [(1, (0, 1))]
        for _ in range(9):
            Recorder.of(sweep).epoch(trial, [0.5])
        Recorder.of(sweep).finish(trial)
        queue.release_followers(leader)
        assert [(spec.sample, spec.replicates, spec.follows) for spec in rest(queue)] == [(1, (2, 3), True)]


def test_a_searcher_is_asked_for_as_many_samples_as_the_space_wants(tmp_path: Path) -> None:
    with queued(tmp_path, SEARCH, Suggesting(1, 1, 2, 3)) as (sweep, queue):
        assert (queue.total, queue.pop()) == (3, None)
        waiting = []
        while queue.ask():
            waiting.append([spec.sample for spec in rest(queue)])
        assert waiting == [[1], [], [3]], "the second point is the first again, and trains nothing"
        assert [each.duplicate_of for each in sweep.history.configurations.values()] == [None, 1, None]
        assert queue.search_error is None


def test_a_searcher_that_suggests_nothing_says_why(tmp_path: Path) -> None:
    with queued(tmp_path, SEARCH, Suggesting(1)) as (_, queue):
        assert [queue.ask(), queue.ask()] == [True, False]
        assert str(queue.search_error) == "no more ideas"
