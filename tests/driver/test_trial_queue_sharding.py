from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import make_spec

from tune_app import results, stopping
from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.driver.trial_queue import parts, shard
from tune_app.engines import inline
from tune_app.report import narrative
from tune_app.sweep import Sweep
from tune_app.sweep.trial_spec import TrialSpec

SIZES = st.lists(st.integers(1, 12), max_size=20)


def trials(sizes: list[int]) -> list[TrialSpec]:
    return [make_spec({}, range(size), sample=sample) for sample, size in enumerate(sizes, start=1)]


def finish(dealt: list[TrialSpec], slots: int) -> int:
    """When the last slot ends, each replicate taking as long as any other and trials being taken in order."""
    ends = [0] * slots
    for spec in dealt:
        ends[ends.index(min(ends))] += len(spec.replicates)
    return max(ends)


@given(SIZES, st.integers(1, 16))
def test_every_replicate_is_dealt_once_and_in_order(sizes: list[int], slots: int) -> None:
    dealt = shard(trials(sizes), slots)
    assert [(j.sample, r) for j in dealt for r in j.replicates] == [
        (j.sample, r) for j in trials(sizes) for r in j.replicates
    ]
    assert all(j.follows == (j.replicates[0] > 0) for j in dealt)
    assert len(dealt) <= math.ceil(len(sizes) / slots) * slots


@given(SIZES, st.integers(1, 16))
def test_what_fills_all_slots_stays_whole(sizes: list[int], slots: int) -> None:
    whole = len(sizes) - len(sizes) % slots
    assert shard(trials(sizes), slots)[:whole] == trials(sizes)[:whole]


@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 16))
def test_dealing_never_takes_longer(configurations: int, seeds: int, slots: int) -> None:
    whole = trials([seeds] * configurations)
    assert finish(shard(whole, slots), slots) <= finish(whole, slots)


@pytest.mark.parametrize(
    ("configurations", "seeds", "slots", "longest"),
    [(5, 2, 2, 5), (5, 10, 2, 25), (5, 10, 8, 10), (1, 8, 8, 1), (3, 8, 8, 4), (9, 5, 1, 45)],
)
def test_the_slots_end_at_about_the_same_time(
    configurations: int, seeds: int, slots: int, longest: int
) -> None:
    assert finish(shard(trials([seeds] * configurations), slots), slots) == longest


SAMPLED = "search: {algorithm: random, samples: 4}"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (SAMPLED, 4),
        (f"{SAMPLED}\nstop: {{scheduler: asha}}", 1),
        (f"{SAMPLED}\nstop: {{scheduler: none, patience: 3}}", 4),
        (f"{SAMPLED}\nreplicates: stacked", 1),
        ("search: {algorithm: optuna, samples: 4}", 1),
    ],
)
def test_what_goes_by_the_mean_of_all_replicates_is_not_dealt(lines: str, found: int) -> None:
    space = "task: pneumonia\nspace: {lr: {uniform: [0.1, 1]}}\nseeds: 4\nepochs: 9\n"
    assert parts(spaces.parse(space + lines)) == found


TASK = """
import pathlib

def task(config, context):
    for epoch in range(context.epochs):
        doomed = (config["level"], context.replicate, epoch) == (3, 3, 1)
        if doomed and not pathlib.Path("met").exists():
            pathlib.Path("met").touch()
            raise ValueError("once")
        value = config["level"] + context.seed % 1000 / 1000 + epoch
        yield {"val_accuracy": value, "test_accuracy": value / 2}
"""


def sit(text: str, slots: int, name: str) -> Sweep:
    with Sweep.create(spaces.parse(text), runs_dir="runs", name=name).writing() as sweep:
        inline.run(Driver(sweep, stopping.make_stopper(sweep.space), slots=slots), None)
    return Sweep.open(sweep.paths.folder)


def test_the_record_puts_together_what_was_dealt(user_module: Callable[[str], str]) -> None:
    """A part that fails is tried again by itself, and what comes out is what comes out of whole trials."""
    module = user_module(TASK)
    text = (
        f"task: {module}:task\nspace: {{level: {{grid: [1, 2, 3]}}}}\nepochs: 3\nseeds: 4\nmax_failures: 1\n"
    )
    dealt = sit(text, 2, "dealt")
    tried = [(a.trial, a.replicates, a.end) for a in dealt.history.attempts.values() if a.sample == 3]
    assert tried == [
        ("3.1", (0, 1), "finished"),
        ("3.2", (2, 3), "interrupted"),
        ("3.3", (2, 3), "finished"),
    ]
    whole = results.load(sit(text, 1, "whole"))
    together = results.load(dealt)
    assert list(together.trials["status"]) == ["finished"] * 3
    for frame in ("trials", "seeds", "curves"):
        one, other = (
            getattr(each, frame).drop(columns="duration_s", errors="ignore") for each in (whole, together)
        )
        pd.testing.assert_frame_equal(one, other)


def test_a_part_that_has_failed_is_what_is_said_of_its_configuration(
    user_module: Callable[[str], str],
) -> None:
    module = user_module(TASK)
    text = f"task: {module}:task\nspace: {{level: {{grid: [3]}}}}\nepochs: 3\nseeds: 6\nmax_failures: 0\n"
    sweep = sit(text, 3, "failed")
    assert [a.end for a in sweep.history.attempts.values()] == ["finished", "failed", "finished"]
    assert sweep.statuses() == ["failed"]
    assert narrative.failures(results.load(sweep)) == [
        "Sample 1 failed at epoch 1: ValueError: once (logs/1.2.log)"
    ]
