"""A few of the kills of ``python -m benchmarks.chaos``: sweeps killed -9 end as if nothing had happened."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.forks import Forks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.over_ray import Struck
from benchmarks.chaos.processes import PROC
from benchmarks.chaos.sweeps import CASES
from benchmarks.chaos.watching import Moment

pytestmark = pytest.mark.skipif(
    not (PROC / "self" / "environ").exists(), reason="what a sweep has started is found in /proc"
)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


@pytest.mark.parametrize("name", ["grid", "keep last", "asha", "optuna, asha", "extended"])
def test_a_run_that_dies_at_one_of_its_writes_ends_as_an_undisturbed_one(
    name: str, forks: Forks, tmp_path: Path
) -> None:
    mortal = Mortal(CASES[name], tmp_path, forks)
    rng = random.Random(name)
    deaths = [mortal.die(at, rng.randint(1, len(mortal.steps))) for at in mortal.points(4, rng)]
    assert [death.faults for death in deaths] == [[]] * 4
    assert all(death.steps for death in deaths), "each has died at least once"


@pytest.mark.timeout(900)
def test_a_driver_and_a_worker_are_killed_on_ray() -> None:
    with tempfile.TemporaryDirectory(prefix="c") as folder:  # Ray's sockets bear no long path
        struck = Struck(CASES["grid"], Path(folder))
        for victim in ("driver", "worker"):
            strike = struck.strike(victim, Moment("line", struck.lines // 2))
            assert (strike.hit, strike.faults) == (True, []), victim
