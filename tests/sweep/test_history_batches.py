"""Batches of seeds: how many replicates each configuration has, and which of them count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.sweep.events import (
    Batch,
    Event,
    EventError,
    Extended,
    Opened,
    Planned,
    Settled,
    Undone,
)
from tune_app.sweep.history import MOST_ADDED, History

SEEDS = 2


def space(seeds: int = SEEDS, first: int = 3) -> spaces.SearchSpace:
    text = "task: m:T\nspace: {lr: {grid: [1, 2, 3, 4]}}\nepochs: 1\n"
    return spaces.parse(f"{text}seeds: {seeds}\nfirst_replicate: {first}\n", file="my.yaml", name="my")


def noted(history: History) -> Callable[[Event], object]:
    """Checks an event against those before it, and applies it."""

    def note(event: Event) -> None:
        history.check(event)
        history.apply(event)

    return note


def sweep(*samples: int) -> tuple[History, Callable[[Event], object]]:
    """Three configurations and a fourth that repeats the first; the samples named are trained."""
    history = History()
    note = noted(history)
    note(Opened())
    for sample in (1, 2, 3):
        note(Planned(sample=sample, fingerprint=str(sample), config={"lr": sample}, duplicate_of=None))
    note(Planned(sample=4, fingerprint="1", config={"lr": 1}, duplicate_of=1))
    for sample in samples:
        train(history, note, sample, *range(3, 3 + SEEDS))
    return history, note


def train(history: History, note: Callable[[Event], object], sample: int, *replicates: int) -> None:
    recorder = Recorder(note, history, replicates, 1)
    recorder.train(sample, (0.5,))


def counts(history: History, wanted: spaces.SearchSpace) -> list[int]:
    return [len(each.replicates(wanted)) for each in history.configurations.values()]


def counted(history: History, wanted: spaces.SearchSpace) -> list[int]:
    return [len(history.counted(each, wanted)) for each in history.configurations.values()]


def batch(*samples: int, seeds: int | list[int] = 2) -> Batch:
    added = [seeds] * len(samples) if isinstance(seeds, int) else seeds
    return Batch(
        samples=list(samples), seeds=added, among=[1, 2, 3, *samples], before=2, after=4, looks=2, budget=10
    )


def test_without_batches_all_have_the_replicates_of_the_space() -> None:
    history, _ = sweep()
    assert {each.replicates(space()) for each in history.configurations.values()} == {range(3, 5)}


def test_a_batch_counts_once_it_is_trained_for_all_that_are_in_it() -> None:
    history, note = sweep(1, 2, 3)
    note(batch(1, 2))
    assert counts(history, space()) == [4, 4, 2, 4]
    assert counted(history, space()) == [2, 2, 2, 2]
    train(history, note, 1, 5, 6)
    assert counted(history, space()) == [2, 2, 2, 2]
    train(history, note, 2, 5)
    assert not history.batch_is_trained(space())
    train(history, note, 2, 6)
    assert counted(history, space()) == [4, 4, 2, 4]
    note(batch(2))
    assert (history.settling, history.settlings[-1].spent) == (history.settlings[0], 6)
    note(Settled(why="one"))
    assert (history.settling, len(history.settlings)) == (None, 1)


def test_a_batch_may_add_none_to_one_that_is_ahead() -> None:
    history, note = sweep(1, 2)
    note(batch(1, 2, seeds=[2, 0]))
    assert counts(history, space()) == [4, 2, 2, 4]
    train(history, note, 1, 5, 6)
    assert counted(history, space()) == [4, 2, 2, 4]


def test_a_batch_does_not_count_while_one_of_its_configurations_has_failed() -> None:
    history, note = sweep(1, 2)
    note(batch(1))
    recorder = Recorder(note, history, (5, 6), 1)
    recorder.fail(recorder.start(1))
    assert not history.batch_is_trained(space())
    train(history, note, 1, 5, 6)
    assert counted(history, space()) == [4, 2, 2, 4]


def test_one_that_diverges_does_not_keep_the_others_waiting() -> None:
    history, note = sweep(1, 2)
    note(batch(1, 2))
    recorder = Recorder(note, history, (5, 6), 1)
    trial = recorder.start(1)
    recorder.epoch(trial, (None,))
    recorder.diverge(trial, 5, 6)
    assert not history.batch_is_trained(space())
    train(history, note, 2, 5, 6)
    assert history.batch_is_trained(space())
    assert [each.sample for each, _ in history.ranked(space())] == [2]


def test_seeds_of_a_batch_that_is_given_up_are_not_wanted() -> None:
    history, note = sweep(1, 2)
    note(batch(1))
    note(Settled(why="undone"))
    assert counts(history, space()) == counted(history, space()) == [2, 2, 2, 2]
    assert history.settlings[-1].spent == 0


def test_more_seeds_for_each_are_added_to_its_own_number_and_a_number_of_all_is_a_minimum() -> None:
    history, note = sweep(1, 2, 3)
    note(batch(1, seeds=4))
    with pytest.raises(EventError, match="being settled"):
        note(Extended(space=space(7).dump(), asked="", from_start=False))
    note(Settled(why="budget"))
    note(Extended(space=space(7).dump(), asked="--seeds +5", from_start=False))
    assert counts(history, space(7)) == [11, 7, 7, 11]
    note(Undone(space="", keeps=4, trials=[]))
    note(Extended(space=space(5).dump(), asked="--seeds 5", from_start=False, absorbs=3))
    assert counts(history, space(5)) == [6, 5, 5, 6]
    note(Undone(space=space(4).dump(), keeps=4, trials=[], absorbs=2))
    assert counts(history, space(4)) == [6, 4, 4, 6]
    note(Undone(space="", keeps=4, trials=[]))
    assert counts(history, space()) == [6, 2, 2, 6]


def test_a_point_drawn_again_has_the_replicates_of_the_first() -> None:
    history, note = sweep(1)
    note(batch(1))
    note(Planned(sample=5, fingerprint="1", config={"lr": 1}, duplicate_of=1))
    assert counts(history, space())[-1] == 4


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (batch(9), "no configuration 9"),
        (batch(1, 4), "configuration 4 repeats 1"),
        (batch(1, seeds=MOST_ADDED + 1), "more than"),
        (batch(1, 2, seeds=[1]), "one number of seeds for each"),
        (batch(1, 1), "one number of seeds for each"),
        (Settled(why="one"), "not being settled"),
    ],
    ids=str,
)
def test_what_cannot_follow_is_refused(event: Event, why: str) -> None:
    _, note = sweep(1)
    with pytest.raises(EventError, match=why):
        note(event)


def test_an_extension_before_a_batch_cannot_be_undone() -> None:
    _, note = sweep(1)
    note(Extended(space=space(3).dump(), asked="--seeds +1", from_start=False))
    note(batch(1))
    note(Settled(why="budget"))
    with pytest.raises(EventError, match="seeds were added"):
        note(Undone(space="", keeps=4, trials=[]))


STEPS = st.lists(
    st.tuples(
        st.sets(st.integers(1, 3), min_size=1), st.integers(1, 3), st.sampled_from(["batch", "+", "="])
    ),
    max_size=8,
)


@given(STEPS)
def test_each_has_what_the_space_gives_and_what_the_batches_added(
    steps: list[tuple[set[int], int, str]],
) -> None:
    history, note = sweep(1, 2, 3)
    own, seeds = {1: SEEDS, 2: SEEDS, 3: SEEDS}, SEEDS
    for samples, more, kind in steps:
        if kind == "batch":
            note(batch(*samples, seeds=more))
            own |= {sample: own[sample] + more for sample in samples}
            note(Settled(why="budget"))
            continue
        seeds += more
        own = {sample: n + more if kind == "+" else max(n, seeds) for sample, n in own.items()}
        absorbs = more if kind == "=" else 0
        note(Extended(space=space(seeds).dump(), asked=kind, from_start=False, absorbs=absorbs))
    assert counts(history, space(seeds)) == [own[1], own[2], own[3], own[1]]
    for sample, n in own.items():
        assert history.configurations[sample].replicates(space(seeds)) == range(3, 3 + n)
