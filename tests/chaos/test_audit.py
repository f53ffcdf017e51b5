"""Sweeps that are killed anywhere and resumed: each recorded decision follows from the events before it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.chaos.audit import recompute
from tune_app import space as spaces
from tune_app import stopping as stop
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.sweep import Sweep, event_lines
from tune_app.sweep.configurations import PATIENCE, TASK
from tune_app.sweep.events import (
    Created,
    Decision,
    Epoch,
    Event,
    Extended,
    Numerics,
    Opened,
    Planned,
    Started,
)
from tune_app.sweep.history import History
from tune_app.sweep.opened_folder import OpenedFolder
from tune_app.sweep.paths import RunPaths
from tune_app.sweep.record import START
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.training.protocol import EpochReport, TestOutcome

EPOCHS, SAMPLES = 7, 8

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
        self.position = START

    def append(self, event: Event, *, durable: bool = False) -> Event:
        entry = event_lines.parse(
            json.loads(json.dumps(event_lines.plain(event), allow_nan=False)) | {"t": 0.0}
        )
        self.events.append(entry)
        if len(self.events) == self.last:
            raise Killed
        return entry


def plan(space: spaces.SearchSpace) -> list[Event]:
    return [
        Planned(sample=n, fingerprint=str(n), config=dict(config), duplicate_of=None)
        for n, config in enumerate(space.planned(), start=1)
    ]


def resumed(space: spaces.SearchSpace, recorded: list[Event], last: int | None = None) -> Sweep:
    history = History()
    for event in recorded:
        history.apply(event)
    more: dict[str, Any] = {"data": NO_DATA, "numerics": Numerics(), "version": 2, "seed": 0}
    header = Created(space="my", task=space.task, yaml="", **more)
    sweep = Sweep(OpenedFolder(RunPaths(Path("nowhere"))), space, header, history, START, "none")
    sweep._record = Memory(recorded, last)  # type: ignore[assignment]
    return sweep


def session(sweep: Sweep, world: World) -> Sweep:
    """Train what lacks with the driver itself."""
    sweep.note(Opened())
    driver = Driver(sweep, stop.make_stopper(sweep.space))
    running: list[tuple[str, TrialSpec, int]] = []
    while True:
        while len(running) < world.slots and (spec := driver.next_trial()):
            running.append((driver.start(spec), spec, 0))
        if not running:
            return sweep
        trial, spec, epoch = running.pop(world.rng.randrange(len(running)))
        if world.rng.random() < world.stopping:
            driver._to_stop.add(spec.sample)
        if driver.report(trial, world.report(spec, epoch + 1), "cpu"):
            running.append((trial, spec, epoch + 1))


@dataclass
class World:
    """What trials report, the same whenever they are trained: of few values; some replicates diverge or end.

    ``slots`` trials run at a time; ``rng`` says which of them is next, and whether a person stops it.
    """

    seed: int
    slots: int = 1
    stopping: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def report(self, spec: TrialSpec, epoch: int) -> EpochReport:
        values: list[float | None] = []
        diverged, ended = {}, {}
        for replicate in spec.replicates:
            draw = random.Random(f"{self.seed} {spec.sample} {replicate}")
            never, at = 2 * EPOCHS + 1, draw.randint(1, EPOCHS)
            gone, last = draw.choice([(never, never)] * 8 + [(at, never), (never, at)])
            by = draw.choice([PATIENCE, TASK])
            draw = random.Random(f"{self.seed} {spec.sample} {replicate} {epoch}")
            values.append(None if epoch >= gone or epoch > last else round(draw.random() + epoch / 10, 1))
            if epoch >= gone:
                diverged[replicate] = gone
            elif epoch >= last and epoch < spec.target:
                ended[replicate] = (last, by)
        done = epoch == spec.target or len(diverged) + len(ended) == len(values)
        metrics = {"val_accuracy": values}
        test = TestOutcome({}, [epoch] * len(values), b"", ()) if done and spec.tested else None
        nothing = [0.0] * len(values)
        return EpochReport(epoch, metrics, nothing, diverged, ended=ended, done=done, test=test)


def killed_sweep(
    space: spaces.SearchSpace, world: World, deaths: list[int], *wider: tuple[spaces.SearchSpace, bool]
) -> tuple[list[Event], Sweep]:
    """Its record, after it was killed so many events into each session and at last ended by itself.

    Then once more for each wider space, with whether all begins anew with it, perhaps before that end.
    """
    found = plan(space)
    for more, from_start in [(space, None), *wider]:
        if from_start is not None:
            resumed(space, found).note(Extended(space=more.dump(), asked="more", from_start=from_start))
        for lived in deaths:
            with suppress(Killed):
                session(resumed(more, found, len(found) + lived), world)
        if world.rng.random() < 0.5:
            session(resumed(more, found), world)
        space = more
    return found, session(resumed(space, found), world)


def decisions(recorded: list[Event]) -> list[Event]:
    return [replace(event, trial="", t=0.0) for event in recorded if isinstance(event, Decision)]


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
    found, sweep = killed_sweep(space, world, deaths)
    assert recompute(found, space) == []
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
    found, sweep = killed_sweep(parse(text), world, deaths, *steps)
    assert recompute(found, parse(text)) == []
    assert sweep.lacking() == []


SPOILT: dict[str, Callable[[Decision], Decision]] = {
    "verdict": lambda event: replace(event, stop=not event.stop),
    "value": lambda event: replace(event, value=(event.value or 0) + 1e-9),
    "threshold": lambda event: replace(event, threshold=(event.threshold or 0) + 1e-9),
    "rung": lambda event: replace(event, rung=event.rung + 1),
    "rule": lambda event: replace(event, rule="luck"),
    "bracket": lambda event: replace(event, bracket=9),
}


@pytest.mark.parametrize("what", [*SPOILT, "lost", "twice", "out of nowhere", "after its stop"])
@settings(SLOW_TO_START, max_examples=40)
@given(text=st.sampled_from(STOPPERS[:-1]), seed=SEEDS, rng=st.randoms(use_true_random=False))
def test_a_record_that_was_tampered_with_is_told(what: str, text: str, seed: int, rng: random.Random) -> None:
    space = parse(text)
    found, _ = killed_sweep(space, World(seed, slots=2), [20])
    places = {at: event for at, event in enumerate(found[:-1]) if isinstance(event, Decision)}
    if what == "after its stop":
        places = {at: event for at, event in places.items() if event.stop}
    if what == "lost":  # before a new session a decision may be lacking, whose trial will then come by again
        places = {at: event for at, event in places.items() if not isinstance(found[at + 1], Opened)}
    assume(places)
    place, event = rng.choice(list(places.items()))
    match what:
        case "lost":
            del found[place]
        case "twice":
            found.insert(place, event)
        case "out of nowhere":
            started = next(
                i for i, each in enumerate(found) if isinstance(each, Started) and each.trial == event.trial
            )
            found.insert(started + 1, event)
        case "after its stop":
            epochs = [e for e in found[:place] if isinstance(e, Epoch) and e.trial == event.trial]
            found.insert(place + 1, replace(epochs[-1], epoch=epochs[-1].epoch + 1))
        case _:
            found[place] = SPOILT[what](event)
    faults = recompute(found, space)
    assert faults
    assert f"trial {event.trial}: " in "\n".join(faults)


def test_a_fault_is_told_in_a_sentence() -> None:
    space = parse("scheduler: asha")
    found, _ = killed_sweep(space, World(1), [])
    stops = ((at, event) for at, event in enumerate(found) if isinstance(event, Decision) and event.stop)
    place, event = next(stops)
    found[place] = replace(event, value=0.75, threshold=0.5)
    [told] = recompute(found, space)
    assert told.startswith(
        f"trial {event.trial}: recorded: stop by asha at epoch 1 (value 0.75, threshold 0.5); "
        "what follows from before: stop by asha at epoch 1 (value "
    )
