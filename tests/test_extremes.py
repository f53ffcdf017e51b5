"""Metrics from the smallest to beyond the largest: what can be averaged counts, the rest has diverged."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_task import request, run

from tune_app import report, results
from tune_app.report.exporting import FORMATS, export
from tune_app.results import verdict
from tune_app.session import lifecycle
from tune_app.stats.intervals import mean_interval
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import LARGEST, usable

#: Values that a task reports, as Python, by whether they can be averaged.
FINE = ["5e-324", "1e-320", "-0.0", "0.0", "1e100", "-1e100", "7", "10**99", "1.0"]
BEYOND = ["1.7e308", "-1.7e308", "1.01e100", "10**400", "-(10**400)", "float('inf')", "float('nan')"]
SPACE = """
space: {at: {grid: [%s]}}
epochs: 2
seeds: 2
metric: {name: val_loss, mode: min}
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Each value as a configuration of its own, reported by both seeds."""
    folder = tmp_path_factory.mktemp("extremes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        body = f"VALUES = [{', '.join([*FINE, *BEYOND])}]\n\ndef train(config, context):\n    while True:\n"
        body += "        yield {'val_loss': VALUES[config['at']]}\n"
        Path("extreme_values.py").write_text(body)
        places = ", ".join(map(str, range(len(FINE) + len(BEYOND))))
        return run(request("extreme_values:train", SPACE % places, runs_dir=folder / "runs"))


def test_what_cannot_be_averaged_has_diverged(sweep: Sweep) -> None:
    assert sweep.statuses() == ["finished"] * len(FINE) + ["diverged"] * len(BEYOND)
    frames = results.load(sweep)
    assert set(results.ranked(frames)["sample"]) == set(range(1, len(FINE) + 1))


@pytest.mark.filterwarnings("error")
def test_every_table_figure_and_format_is_made(sweep: Sweep) -> None:
    frames = results.load(sweep)
    results.write(frames)
    report.write(frames, sweep.paths.report)
    assert (sweep.paths.report / "index.html").stat().st_size > 0
    assert all(export(frames, form) for form in FORMATS)
    assert verdict.judge(frames).chosen.standings[0].sample == 1 + FINE.index("-1e100")


@pytest.mark.filterwarnings("error")
def test_any_number_may_be_a_parameter(user_module: Callable[[str], str]) -> None:
    body = (
        "def train(config, context):\n    while True:\n        yield {'val_loss': context.replicate + 0.5}\n"
    )
    whole = f"whole: {{grid: [1, {10**30}, {'9' * 400}]}}"
    levels = f"1e308, -1.7e308]}}, {whole}, small: {{grid: [5e-324, 0"
    asked = request(f"{user_module(body)}:train", SPACE % levels)
    frames = results.load(lifecycle.run(asked, asked.load()).train())
    results.write(frames)
    report.write(frames, frames.sweep.paths.report)
    assert all(export(frames, form) for form in FORMATS)
    assert set(frames.trials["status"]) == {"finished"}


@given(st.lists(st.floats(-LARGEST, LARGEST), min_size=1, max_size=9))
def test_usable_values_have_a_finite_mean_and_interval(values: list[float]) -> None:
    assert all(map(usable, values))
    interval = mean_interval(values)
    assert all(math.isfinite(each) for each in (interval.mean, interval.half_width) if each is not None)


@given(st.floats().filter(lambda value: not abs(value) <= LARGEST))
def test_all_beyond_is_not_usable(value: float) -> None:
    assert not usable(value)
