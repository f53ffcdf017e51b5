"""A few cases of ``python -m benchmarks.chaos ends``: a full disk, a dead Ray, a lost terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.chaos.ends import kill_servers, take_terminals
from benchmarks.chaos.inline import Mortal

pytestmark = pytest.mark.slow

Make = Callable[[str], Mortal]


@pytest.mark.usefixtures("proc")
def test_a_sweep_whose_gcs_dies_says_how_to_go_on_and_leaves_nothing_of_ray(mortal: Make) -> None:
    [outcome] = kill_servers(mortal("grid"), 1, 0)
    assert (outcome.ended, outcome.faults) == ("exit code 1", ())


@pytest.mark.usefixtures("proc")
def test_a_sweep_on_ray_outlives_its_terminal(mortal: Make) -> None:
    [outcome] = take_terminals(mortal("grid"), 1, 0, lambda _: False)
    assert (outcome.ended, outcome.faults) == ("exit code 0", ())


def test_a_full_disk_loses_nothing_that_is_recorded() -> None:
    asked = ["ends", "--disk", "2", "--servers", "0", "--terminal", "0", "--seed", "1"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *asked],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if "no disk was filled" in ran.stdout:
        pytest.skip("filling a disk takes root on Linux")
    assert ran.returncode == 0, ran.stdout + ran.stderr
