"""Figures that several processes draw."""

from __future__ import annotations

import pickle
import signal
import subprocess
from collections import deque
from pathlib import Path

from edge_cases import CASES

from tune_app.report import figure_processes, figures
from tune_app.training import stacking_benchmark

KINDS = ("panels", "heatmap", "pareto", "history")


def test_helpers_draw_the_same_bytes_as_this_process(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    here = figure_processes.Helpers(0).draw(frames, KINDS)
    assert list(here) == list(KINDS)
    assert isinstance(here["pareto"], figures.NotDrawn)
    with figure_processes.helpers() as helpers:
        there = helpers.draw(frames, KINDS)
    assert {kind: found for kind, found in there.items() if kind != "pareto"} == {
        kind: found for kind, found in here.items() if kind != "pareto"
    }
    assert str(there["pareto"]) == str(here["pareto"])


def test_a_helper_draws_what_it_is_asked_for(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    with figure_processes.helpers() as helpers:
        [helper] = helpers._all[:1]
        found: figure_processes.Found = {}
        helper.work(pickle.dumps(frames), deque(["history"]), found)
    assert found["history"] == figure_processes.Helpers(0).draw(frames, ["history"])["history"]


def test_a_helper_that_dies_costs_no_figure_and_none_is_left(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    with figure_processes.helpers() as helpers:
        processes = [each._process for each in helpers._all]
        for process in processes:
            process.kill()
        assert list(helpers.draw(frames, KINDS)) == list(KINDS)
    with figure_processes.helpers() as helpers:
        processes += [each._process for each in helpers._all]
    assert all(process.returncode == -signal.SIGKILL for process in processes)


def test_helpers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """Their standard input ends."""
    module, quiet = "tune_app.report.figure_processes", subprocess.DEVNULL
    process = stacking_benchmark.start(module, stdin=subprocess.PIPE, stderr=quiet)
    assert process.stdin
    process.stdin.close()
    assert process.wait(60) != 0
