"""The search is Optuna's own: a small part of what ``benchmarks.search_parity`` measures."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import search_parity
from benchmarks.functions import BRANIN, CONDITIONAL, HARTMANN, PROBLEMS, Problem


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "qmc", "nsga2"])
def test_one_at_a_time_every_sample_is_optunas(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(search_parity.SAMPLES, "gp", 12)
    line = search_parity.one_at_a_time(CONDITIONAL if sampler != "gp" else BRANIN, sampler, range(1, 2))
    assert line.kept, line.cells


def test_four_at_a_time_every_sample_is_optunas_where_trials_end_in_the_same_order() -> None:
    taking = search_parity.times(7, 0)
    mine, theirs = search_parity.ours, search_parity.plain_in_flight
    same = search_parity.alike(mine(HARTMANN, "tpe", 7, taking), theirs(HARTMANN, "tpe", 7, taking))
    assert same == 60
    other = theirs(HARTMANN, "tpe", 7, search_parity.times(7, 1))
    assert search_parity.alike(mine(HARTMANN, "tpe", 7, taking), other) < 60, "the order matters"


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_least_values_are_the_functions_own(problem: Problem) -> None:
    six = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    adam = {"optimizer": "adam", "beta": 0.95, "amsgrad": False, "decay": 0.1}
    at: dict[str, dict[str, Any]] = {
        "branin": {"x": 3.141593, "y": 2.275},
        "hartmann": {f"x{index}": value for index, value in enumerate(six)},
        "conditional": {**adam, "lr": 10**-2.5, "width": 128, "batch": 64},
    }
    assert problem.value(at[problem.name]) == pytest.approx(problem.least, abs=1e-5)


def test_the_table_says_what_was_kept() -> None:
    kept = search_parity.Line(["branin", "tpe", "5", "300 of 300"], True)
    broken = search_parity.Line(["branin", "gp", "5", "299 of 300"], False)
    text = search_parity.markdown([(search_parity.ONE, kept), (search_parity.ONE, broken)], 12.3)
    assert "| branin | tpe | 5 | 300 of 300 | yes |" in text
    assert "| branin | gp | 5 | 299 of 300 | NO |" in text


def test_the_margin_is_held_against_the_upper_end_of_the_interval() -> None:
    assert search_parity.upper([0.1, 0.1, 0.1]) == pytest.approx(0.1)
    assert search_parity.upper([0.0, 0.2]) == pytest.approx(0.1 + 6.313752 * 0.1)
