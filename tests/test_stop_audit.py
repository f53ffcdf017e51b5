"""Sweeps that are killed anywhere and gone on with: each recorded decision follows from what is before it."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tune_app import space as spaces
from tune_app import stop
from tune_app.driver import Driver
from tune_app.folders import RunPaths
from tune_app.history import PATIENCE, TASK, History
from tune_app.messages import Report, Sealed
from tune_app.opened_folder import OpenedFolder
from tune_app.record import Event
from tune_app.stop import recompute
from tune_app.sweep import NO_DATA, Job, Sweep

EPOCHS, SAMPLES = 7, 8
SEALED = Sealed({}, [], b"", ())

STOPPERS = (
    "scheduler: asha",
    "scheduler: asha, reduction_factor: 2",
    "scheduler: hyperband, reduction_factor: 2",
    "scheduler: median, min_samples_required: 1",
    "scheduler: median, grace_period: 2",
    "scheduler: none",
)
ANY = st.sampled_from(STOPPERS)
#: The first example of a stopper parses its space.
SLOW_TO_START = settings(deadline=None)


@cache
def parse(text: str, epochs: int = EPOCHS, seeds: int = 2) -> spaces.SearchSpace:
    levels = list(range(SAMPLES))
    return spaces.parse(
        f"task: pneumonia\nspace: {{lr: {{grid: {levels}}}}}\nepochs: {epochs}\nseeds: {seeds}\n"
        f"stop: {{{text}}}"
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


def resumed(space: spaces.SearchSpace, events: list[Event], last: int | None = None) -> Sweep:
    history = History()
    for event in events:
        history.apply(event)
    header = {"data": asdict(NO_DATA), "numerics": {}}
    sweep = Sweep(OpenedFolder(RunPaths(Path("nowhere"))), space, header, history, 0)
    sweep._record = Memory(events, last)  # type: ignore[assignment]
    return sweep


def sitting(sweep: Sweep, world: World) -> Sweep:
    """Train what lacks with the driver itself."""
    sweep.note("opened")
    driver = Driver(sweep, stop.make(sweep.space))
    running: list[tuple[str, Job, int]] = []
    while True:
        while len(running) < world.slots and (job := driver.next_job()):
            running.append((driver.start(job), job, 0))
        if not running:
            return sweep
        trial, job, epoch = running.pop(world.rng.randrange(len(running)))
        if world.rng.random() < world.stopping:
            driver._to_stop.add(job.sample)
        if driver.report(trial, world.report(job, epoch + 1), "cpu"):
            running.append((trial, job, epoch + 1))


@dataclass
class World:
    """What trials report, the same whenever they are trained: of few values; some replicates diverge or end.

    ``slots`` trials run at a time; ``rng`` says which of them is next, and whether a person stops it.
    """

    seed: int
    slots: int = 1
    stopping: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def report(self, job: Job, epoch: int) -> Report:
        values: list[float | None] = []
        diverged, ended = {}, {}
        for replicate in job.replicates:
            draw = random.Random(f"{self.seed} {job.sample} {replicate}")
            never, at = 2 * EPOCHS + 1, draw.randint(1, EPOCHS)
            gone, last = draw.choice([(never, never)] * 8 + [(at, never), (never, at)])
            by = draw.choice([PATIENCE, TASK])
            draw = random.Random(f"{self.seed} {job.sample} {replicate} {epoch}")
            values.append(None if epoch >= gone or epoch > last else round(draw.random() + epoch / 10, 1))
            if epoch >= gone:
                diverged[replicate] = gone
            elif epoch >= last and epoch < job.epochs:
                ended[replicate] = (last, by)
        done = epoch == job.epochs or len(diverged) + len(ended) == len(values)
        metrics = {"val_accuracy": values}
        sealed = SEALED if done and job.tested else None
        nothing = [0.0] * len(values)
        return Report(epoch, metrics, nothing, diverged, ended=ended, done=done, sealed=sealed)


def killed_sweep(
    space: spaces.SearchSpace, world: World, deaths: list[int], *wider: tuple[spaces.SearchSpace, bool]
) -> tuple[list[Event], Sweep]:
    """Its record, after it was killed so many events into each sitting and at last ended by itself.

    Then once more for each wider space, with whether all begins anew with it, perhaps before that end.
    """
    events = plan(space)
    for more, from_start in [(space, None), *wider]:
        if from_start is not None:
            resumed(space, events).note("extended", space=more.dump(), asked="more", from_start=from_start)
        for lived in deaths:
            with suppress(Killed):
                sitting(resumed(more, events, len(events) + lived), world)
        if world.rng.random() < 0.5:
            sitting(resumed(more, events), world)
        space = more
    return events, sitting(resumed(space, events), world)


def decisions(events: list[Event]) -> list[dict[str, Any]]:
    found = [event for event in events if event["event"] == "decision"]
    return [{k: v for k, v in event.items() if k not in ("trial", "t")} for event in found]


DEATHS = st.lists(st.integers(1, 60), max_size=4)
SEEDS = st.integers(0, 10**6)
WORLDS = st.builds(
    World, SEEDS, st.integers(1, 4), st.sampled_from([0.0, 0.02]), st.randoms(use_true_random=False)
)


@SLOW_TO_START
@given(ANY, WORLDS, DEATHS)
def test_whatever_the_order_and_the_kills_each_decision_follows_from_the_record(
    text: str, world: World, deaths: list[int]
) -> None:
    space = parse(text)
    events, sweep = killed_sweep(space, world, deaths)
    assert recompute(events, space) == []
    assert set(sweep.statuses()) <= {"finished", "stopped", "diverged"}
    assert sweep.lacking() == []


@SLOW_TO_START
@given(ANY, SEEDS, st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_one_trial_at_a_time_a_killed_sweep_decides_as_one_that_never_was(
    text: str, seed: int, deaths: list[int]
) -> None:
    whole, _ = killed_sweep(parse(text), World(seed), [])
    killed, _ = killed_sweep(parse(text), World(seed), deaths)
    assert decisions(killed) == decisions(whole)


@SLOW_TO_START
@given(ANY, WORLDS, DEATHS, st.booleans(), st.booleans())
def test_when_more_is_wanted_each_decision_still_follows(
    text: str, world: World, deaths: list[int], seeds_first: bool, from_start: bool
) -> None:
    both = parse(text, 2 * EPOCHS, seeds=3)
    steps = [(parse(text, 2 * EPOCHS), from_start), (both, False)]
    if seeds_first:
        steps = [(parse(text, seeds=3), False), (both, from_start)]
    events, sweep = killed_sweep(parse(text), world, deaths, *steps)
    assert recompute(events, parse(text)) == []
    assert sweep.lacking() == []


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
@given(text=st.sampled_from(STOPPERS[:-1]), seed=SEEDS, rng=st.randoms(use_true_random=False))
def test_a_record_that_was_tampered_with_is_told(what: str, text: str, seed: int, rng: random.Random) -> None:
    space = parse(text)
    events, _ = killed_sweep(space, World(seed, slots=2), [20])
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
    events, _ = killed_sweep(space, World(1), [])
    place = next(i for i, event in enumerate(events) if event["event"] == "decision" and event["stop"])
    event = events[place] = {**events[place], "value": 0.75, "threshold": 0.5}
    [told] = recompute(events, space)
    assert told.startswith(
        f"trial {event['trial']}: recorded: stop by asha at epoch 1 (value 0.75, threshold 0.5); "
        "what follows from before: stop by asha at epoch 1 (value "
    )
