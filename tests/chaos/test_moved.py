"""A few of the cases of ``python -m benchmarks.chaos moved``, without Ray."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.moved import Case


@pytest.mark.parametrize("act", ["swapped", "lock removed"])
def test_a_folder_that_changes_ends_its_sweep_and_no_other(act: str, mortal: Callable[[str], Mortal]) -> None:
    runs, instant = mortal("grid"), random.Random(act).uniform(0.1, 0.9)
    outcome = Case(runs, runs.forks, None, f"run-{act[0]}", act, "inline", instant).carry_out()
    assert outcome.faults == ()
    assert outcome.seen, "it ended with exit code 1"
