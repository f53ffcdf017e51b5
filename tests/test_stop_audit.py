"""Sweeps that are killed anywhere and gone on with: each recorded decision follows from what is before it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tune_app import space as spaces
from tune_app import stop
from tune_app.driver import Driver
from tune_app.history import History
from tune_app.messages import Report, Sealed
from tune_app.record import Event
from tune_app.stop import recompute
from tune_app.sweep import NO_DATA, Job, Sweep

EPOCHS, SAMPLES = 7, 8
SEALED = Sealed({}, [], b"", ())

STOPPERS = (
    "scheduler: asha",
    "scheduler: asha, reduction_factor: 2, patience: 2",
    "scheduler: hyperband, reduction_factor: 2",
    "scheduler: median, min_samples_required: 1",
    "scheduler: median, grace_period: 2, patience: 3",
    "scheduler: none, patience: 2, min_delta: 0.1",
    "scheduler: none",
)
ANY = st.sampled_from(STOPPERS)
#: The first example of a stopper parses its space.
SLOW_TO_START = settings(deadline=None)


@cache
def parse(text: str, epochs: int = EPOCHS) -> spaces.SearchSpace:
    levels = list(range(SAMPLES))
    return spaces.parse(
        f"task: pneumonia\nspace: {{lr: {{grid: {levels}}}}}\nepochs: {epochs}\nseeds: 2\nstop: {{{text}}}"
    )


class Killed(BaseException):
    """The process is no more."""


class Memory:
    """A record that is in no file; the process dies once it holds ``last`` events."""

    def __init__(self, events: list[Event], last: int | None = None) -> None:
        self.events, self.last = events, last

    def append(self, event: str, *, durable: bool = False, **fields: Any) -> Event:
        entry: Event = json.loads(json.dumps({"event": event, "t": 0.0, **fields}, allow_nan=False))
        self.events.append(entry)
        if len(self.events) == self.last:
            raise Killed
        return entry


def plan(space: spaces.SearchSpace) -> list[Event]:
    return [
        {"event": "planned", "t": 0.0, "sample": n, "fingerprint": str(n), "config": config, "twin": None}
        for n, config in enumerate(space.planned(), start=1)
    ]


def sitting(
    space: spaces.SearchSpace,
    events: list[Event],
    world: int,
    slots: int = 1,
    choose: Callable[[int], int] = lambda count: 0,
    last: int | None = None,
) -> Sweep:
    """Train what lacks with the driver itself, ``slots`` trials at a time, in a world of its own values."""
    history = History()
    for event in events:
        history.apply(event)
    header = {"data": asdict(NO_DATA), "numerics": {}}
    sweep = Sweep(Path("nowhere"), space, header, history, 0)
    sweep._record = Memory(events, last)  # type: ignore[assignment]
    sweep.note("opened")
    driver = Driver(sweep, stop.make(space))
    running: list[tuple[str, Job, int]] = []
    while driver.waiting or running:
        while driver.waiting and len(running) < slots:
            job = driver.next_job()
            assert job
            running.append((driver.start(job), job, 0))
        trial, job, epoch = running.pop(choose(len(running)))
        if driver.report(trial, report(world, job, epoch + 1), "cpu"):
            running.append((trial, job, epoch + 1))
    return sweep


def report(world: int, job: Job, epoch: int) -> Report:
    """What a trial reports, the same whenever it is trained: of few values; some replicates diverge."""
    values: list[float | None] = []
    for replicate in job.replicates:
        rng = random.Random(f"{world} {job.sample} {replicate}")
        ends = rng.choice([EPOCHS + 1] * 9 + [rng.randint(1, EPOCHS)])
        rng = random.Random(f"{world} {job.sample} {replicate} {epoch}")
        values.append(None if epoch >= ends else round(rng.random() + epoch / 10, 1))
    whole = [value for value in values if value is not None]
    diverged = [r for r, value in zip(job.replicates, values, strict=True) if value is None]
    done = epoch == job.epochs or not whole
    value = float(np.mean(whole)) if not diverged else None
    metrics = {"val_accuracy": values}
    return Report(epoch, value, metrics, [0.0] * len(values), diverged, done, SEALED if done else None)


def killed_sweep(
    space: spaces.SearchSpace, world: int, slots: int, rng: random.Random, deaths: list[int]
) -> tuple[list[Event], Sweep]:
    """Its record, after it was killed so many events into each sitting and at last ended by itself."""
    events = plan(space)
    for lived in deaths:
        with suppress(Killed):
            sitting(space, events, world, slots, rng.randrange, len(events) + lived)
    return events, sitting(space, events, world, slots, rng.randrange)


def decisions(events: list[Event]) -> list[dict[str, Any]]:
    found = [event for event in events if event["event"] == "decision"]
    return [{k: v for k, v in event.items() if k not in ("trial", "t")} for event in found]


DEATHS = st.lists(st.integers(1, 60), max_size=4)
WORLDS = st.integers(0, 10**6)


@SLOW_TO_START
@given(ANY, WORLDS, st.integers(1, 4), st.randoms(use_true_random=False), DEATHS)
def test_whatever_the_order_and_the_kills_each_decision_follows_from_the_record(
    text: str, world: int, slots: int, rng: random.Random, deaths: list[int]
) -> None:
    space = parse(text)
    events, sweep = killed_sweep(space, world, slots, rng, deaths)
    assert recompute(events, space) == []
    ends = {sweep.history.status(c, space.seeds, live=False) for c in sweep.history.configurations.values()}
    assert ends <= {"finished", "stopped", "diverged"}
    assert sweep.lacking() == []


@SLOW_TO_START
@given(ANY, WORLDS, st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_one_trial_at_a_time_a_killed_sweep_decides_as_one_that_never_was(
    text: str, world: int, deaths: list[int]
) -> None:
    space = parse(text)
    whole, _ = killed_sweep(space, world, 1, random.Random(0), [])
    killed, _ = killed_sweep(space, world, 1, random.Random(0), deaths)
    assert decisions(killed) == decisions(whole)


@SLOW_TO_START
@given(ANY.filter(lambda text: "hyperband" not in text), WORLDS, st.integers(1, 4))
def test_when_epochs_are_added_what_was_decided_still_follows(text: str, world: int, slots: int) -> None:
    """Not so for hyperband: with a further rung it has a further bracket."""
    events, _ = killed_sweep(parse(text), world, slots, random.Random(world), [10])
    assert recompute(events, parse(text, 2 * EPOCHS)) == []


SPOILT = {
    "verdict": lambda event: {**event, "stop": not event["stop"]},
    "value": lambda event: {**event, "value": (event["value"] or 0) + 1e-9},
    "threshold": lambda event: {**event, "threshold": (event["threshold"] or 0) + 1e-9},
    "rung": lambda event: {**event, "rung": event["rung"] + 1},
    "rule": lambda event: {**event, "rule": "luck"},
    "bracket": lambda event: {**event, "bracket": 9},
}


@pytest.mark.parametrize("what", [*SPOILT, "lost", "twice", "out of nowhere", "after its stop"])
@settings(SLOW_TO_START, max_examples=40)
@given(text=st.sampled_from(STOPPERS[:-1]), world=WORLDS, rng=st.randoms(use_true_random=False))
def test_a_record_that_was_tampered_with_is_told(
    what: str, text: str, world: int, rng: random.Random
) -> None:
    space = parse(text)
    events, _ = killed_sweep(space, world, 2, rng, [20])
    places = [place for place, event in enumerate(events[:-1]) if event["event"] == "decision"]
    if what == "after its stop":
        places = [place for place in places if events[place]["stop"]]
    if what == "lost":  # before a new sitting a decision may be lacking, whose trial will then come by again
        places = [place for place in places if events[place + 1]["event"] != "opened"]
    assume(places)
    place = rng.choice(places)
    event = events[place]
    match what:
        case "lost":
            del events[place]
        case "twice":
            events.insert(place, event)
        case "out of nowhere":
            started = next(i for i, each in enumerate(events) if each.get("trial") == event["trial"])
            events.insert(started + 1, event)
        case "after its stop":
            epochs = [each for each in events[:place] if each["event"] == "epoch"]
            last = next(each for each in reversed(epochs) if each["trial"] == event["trial"])
            events.insert(place + 1, {**last, "epoch": last["epoch"] + 1})
        case _:
            events[place] = SPOILT[what](event)
    faults = recompute(events, space)
    assert faults
    assert f"trial {event['trial']}: " in "\n".join(faults)


def test_a_fault_is_told_in_a_sentence() -> None:
    space = parse("scheduler: asha")
    events, _ = killed_sweep(space, 1, 1, random.Random(0), [])
    place = next(i for i, event in enumerate(events) if event["event"] == "decision" and event["stop"])
    event = events[place] = {**events[place], "value": 0.75, "threshold": 0.5}
    [told] = recompute(events, space)
    assert told.startswith(
        f"trial {event['trial']}: recorded: stop by asha at epoch 1 (value 0.75, threshold 0.5); "
        "what follows from before: stop by asha at epoch 1 (value "
    )
