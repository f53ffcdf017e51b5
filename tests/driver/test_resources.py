from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.driver.resources import Plan, plan, shares
from tune_app.errors import ResourceError
from tune_app.space import Resources

CPUS, GPUS, TRIALS = st.integers(1, 256), st.integers(0, 16), st.integers(0, 5000)


def asked(cpus: float | None = None, gpus: float | None = None, at_most: int | None = None) -> Resources:
    return Resources(cpus_per_trial=cpus, gpus_per_trial=gpus, max_concurrent=at_most)


@pytest.mark.parametrize(
    ("cpus", "gpus", "trials", "expected"),
    [
        (2, 0, 9, Plan(1, 0, 2)),
        (8, 0, 3, Plan(1, 0, 3)),
        (16, 1, 1, Plan(1, 1, 1)),
        (16, 1, 2, Plan(1, 0.5, 2)),
        (16, 1, 9, Plan(1, 0.25, 4)),
        (2, 1, 9, Plan(0.5, 0.25, 4)),
        (16, 4, 4, Plan(1, 1, 4)),
        (16, 4, 9, Plan(1, 0.25, 9)),
        (64, 8, 8, Plan(1, 1, 8)),
        (64, 8, 9, Plan(1, 0.5, 9)),
        (64, 8, 100, Plan(1, 0.25, 32)),
        (24, 8, 100, Plan(0.75, 0.25, 32)),
        (1, 8, 8, Plan(0.12, 1, 8)),
        (2, 0, 0, Plan(1, 0, 1)),
    ],
)
def test_unless_asked_otherwise_every_gpu_or_cpu_is_used(
    cpus: int, gpus: int, trials: int, expected: Plan
) -> None:
    assert plan(asked(), cpus, gpus, trials) == expected


@pytest.mark.parametrize(
    ("wanted", "cpus", "gpus", "expected"),
    [
        (asked(gpus=0), 16, 8, Plan(1, 0, 16)),
        (asked(gpus=0.3), 16, 8, Plan(0.66, 0.3, 24)),
        (asked(gpus=2), 16, 8, Plan(1, 2, 4)),
        (asked(gpus=3), 16, 8, Plan(1, 3, 2)),
        (asked(gpus=0.6), 16, 8, Plan(1, 0.6, 8)),
        (asked(cpus=4), 16, 8, Plan(4, 0.25, 4)),
        (asked(cpus=4), 16, 0, Plan(4, 0, 4)),
        (asked(cpus=0.5), 2, 0, Plan(0.5, 0, 4)),
        (asked(cpus=0.1, gpus=0.1), 1, 1, Plan(0.1, 0.1, 10)),
        (asked(at_most=3), 16, 8, Plan(1, 1, 3)),
        (asked(at_most=12), 16, 8, Plan(1, 0.5, 12)),
        (asked(at_most=99), 2, 0, Plan(1, 0, 2)),
    ],
)
def test_what_is_asked_for_is_kept(wanted: Resources, cpus: int, gpus: int, expected: Plan) -> None:
    assert plan(wanted, cpus, gpus, 1000) == expected


@pytest.mark.parametrize(
    ("wanted", "gpus", "words"),
    [
        (asked(gpus=1), 0, "--gpus-per-trial 1: "),
        (asked(gpus=0.5), 0, r"--gpus-per-trial 0\.5: "),
        (asked(gpus=9), 8, r"--gpus-per-trial 9: .*\b8 GPUs"),
        (asked(cpus=5), 0, r"--cpus-per-trial 5: .*\b4 CPUs"),
        (asked(cpus=5), 8, r"--cpus-per-trial 5: .*\b4 CPUs"),
    ],
)
def test_what_can_never_be_met_is_refused_up_front(wanted: Resources, gpus: int, words: str) -> None:
    with pytest.raises(ResourceError, match=words):
        plan(wanted, 4, gpus, 10)


WHOLE_OR_SHARE = st.none() | st.integers(1, 8).map(float) | st.floats(0.01, 1)


@given(CPUS, GPUS, TRIALS, WHOLE_OR_SHARE, WHOLE_OR_SHARE | st.just(0.0), st.none() | st.integers(1, 99))
def test_what_runs_at_a_time_fits(
    cpus: int, gpus: int, trials: int, cpus_each: float | None, gpus_each: float | None, at_most: int | None
) -> None:
    try:
        found = plan(asked(cpus_each, gpus_each, at_most), cpus, gpus, trials)
    except ResourceError:
        assert (gpus_each or 0) > gpus or (cpus_each or 0) > cpus
        return
    assert 1 <= found.concurrent <= max(trials, 1)
    assert found.concurrent <= (at_most or math.inf)
    assert found.concurrent * found.cpus_per_trial <= cpus + 1e-6
    assert found.concurrent * found.gpus_per_trial <= gpus + 1e-6
    if 0 < found.gpus_per_trial < 1:  # on one device each
        assert found.concurrent <= gpus * math.floor(1 / found.gpus_per_trial + 1e-9)
    assert found.threads >= 1
    assert found.threads <= max(1, found.cpus_per_trial)
    if cpus_each is not None:
        assert found.cpus_per_trial == cpus_each
    if gpus_each is not None:
        assert found.gpus_per_trial == gpus_each


@given(CPUS, st.integers(1, 16), TRIALS)
def test_no_gpu_idles_while_trials_wait(cpus: int, gpus: int, trials: int) -> None:
    found = plan(asked(), cpus, gpus, trials)
    assert found.concurrent == min(max(trials, 1), round(gpus / found.gpus_per_trial))


class Packing:
    """Ray's way with shares of GPUs: the fullest that has room, the first of several; None where none has."""

    def __init__(self, gpus: int) -> None:
        self.free = [10_000] * gpus
        self.trials = [0] * gpus

    def take(self, share: float) -> int | None:
        wanted = round(share * 10_000)
        fitting = [(free, gpu) for gpu, free in enumerate(self.free) if free >= wanted]
        if not fitting:
            return None
        gpu = min(fitting)[1]
        self.free[gpu] -= wanted
        self.trials[gpu] += 1
        return gpu

    def give(self, gpu: int, share: float) -> None:
        self.free[gpu] += round(share * 10_000)
        self.trials[gpu] -= 1


@given(
    st.integers(1, 9),
    st.integers(1, 50),
    st.floats(0.05, 0.99) | st.integers(2, 20).map(lambda together: 1 / together),
    st.data(),
)
def test_trials_that_share_gpus_are_spread_over_them(
    gpus: int, trials: int, each: float, data: st.DataObject
) -> None:
    """Also when one dies, and another takes its place."""
    planned = plan(asked(gpus=each), 256, gpus, trials)
    found = shares(planned, gpus)
    assert len(found) == planned.concurrent
    assert min(found) > each - 1e-4
    ray = Packing(gpus)
    placed = [(ray.take(share), share) for share in found]
    assert max(ray.trials) - min(ray.trials) <= 1
    for index in data.draw(st.lists(st.sampled_from(range(len(placed))), max_size=9)):
        gpu, share = placed[index]
        assert gpu is not None
        ray.give(gpu, share)
        placed[index] = (ray.take(share), share)
        assert max(ray.trials) - min(ray.trials) <= 1


@pytest.mark.parametrize(
    ("planned", "gpus", "expected"),
    [
        (Plan(1, 0, 3), 4, [0, 0, 0]),
        (Plan(1, 1, 4), 4, [1, 1, 1, 1]),
        (Plan(1, 2, 2), 4, [2, 2]),
        (Plan(1, 0.25, 4), 4, [1, 1, 1, 1]),
        (Plan(1, 0.25, 6), 4, [0.5, 0.5, 0.5, 0.5, 1, 1]),
        (Plan(1, 0.25, 16), 4, [0.25] * 16),
        (Plan(1, 0.25, 4), 1, [0.25] * 4),
        (Plan(1, 0.3, 3), 1, [0.3333] * 3),
        (Plan(1, 0.25, 8), 0, [0.25] * 8),
        (Plan(1, 0.25, 8), 1, [0.25] * 8),  # most of the GPUs are at other work
    ],
)
def test_what_a_trial_reserves(planned: Plan, gpus: int, expected: list[float]) -> None:
    assert shares(planned, gpus) == expected
