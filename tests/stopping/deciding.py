"""Stoppers of every kind, and the reports of trials that they judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from tune_app import space as spaces
from tune_app import stopping
from tune_app.stopping import Stopper, StoppingDecision
from tune_app.stopping.stopper import Observation
from tune_app.sweep.events import Decision

EPOCHS = 30


SAMPLES = 8


@cache
def parse(text: str, mode: str = "max") -> spaces.SearchSpace:
    return spaces.parse(
        f"task: pneumonia\nspace: {{lr: {{grid: {list(range(SAMPLES))}}}}}\nepochs: {EPOCHS}\n"
        f"metric: {{name: val_accuracy, mode: {mode}}}\nstop: {{{text}}}",
        file="my.yaml",
    )


def made(text: str, mode: str = "max") -> Stopper:
    return stopping.make_stopper(parse(text, mode))


def asha(grace: int = 1, factor: float = 3, mode: str = "max") -> Stopper:
    return made(f"scheduler: asha, grace_period: {grace}, reduction_factor: {factor}", mode)


#: Every stopper keeps the contract.
STOPPERS = {
    "asha": "scheduler: asha",
    "asha, halving after 2": "scheduler: asha, grace_period: 2, reduction_factor: 2",
    "hyperband": "scheduler: hyperband, reduction_factor: 2",
    "hyperband of two brackets": "scheduler: hyperband, brackets: 2, grace_period: 2",
    "median": "scheduler: median",
    "median of one": "scheduler: median, grace_period: 3, min_samples_required: 1",
}


EACH = pytest.mark.parametrize("text", STOPPERS.values(), ids=STOPPERS)


#: For each of the stoppers in turn.
OFTEN = settings(max_examples=40)


# Few values, so that ties occur. Which of the trials reports next, and what.
VALUES = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(-1e3, 1e3)


SAMPLE = st.integers(1, SAMPLES)


ARRIVALS = st.lists(st.tuples(SAMPLE, VALUES), max_size=120)


WITH_DIVERGENCE = st.lists(st.tuples(SAMPLE, VALUES | st.just(None)), max_size=120)


Life = list[tuple[Observation, list[StoppingDecision]]]


def live(stopper: Stopper, arrivals: Iterable[tuple[int, float | None]]) -> Life:
    """Report after report, as an engine makes them: none of a trial that was stopped or is at its end."""
    life: Life = []
    epochs, stopped = Counter[int](), set[int]()
    for sample, value in arrivals:
        if sample in stopped or epochs[sample] == EPOCHS - 1:
            continue
        epochs[sample] += 1
        decisions = stopper.judge(sample, epochs[sample], value)
        life.append((Observation(sample, epochs[sample], value), decisions))
        if any(decision.stop for decision in decisions):
            stopped.add(sample)
    return life


def recorded(life: Life) -> list[Decision]:
    """The decisions as a record gives them back."""
    return [
        Decision(trial="t", sample=seen.sample, epoch=seen.epoch, **vars(decision))
        for seen, decisions in life
        for decision in decisions
    ]
