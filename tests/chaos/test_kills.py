"""A few of the kills of ``python -m benchmarks.chaos kills``: sweeps end as if nothing had happened."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.chaos import checks
from benchmarks.chaos.inline import Mortal
from benchmarks.chaos.over_ray import Plan, Runs, Strike
from benchmarks.chaos.processes import Session
from benchmarks.chaos.sweeps import CASES, PAUSE, Case
from benchmarks.chaos.watching import RECORD, whole_lines
from tune_app.cli import cli

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        *("grid", "keep last", "asha, diverging", "halving", "promotion", "optuna, asha"),
        *("optuna, promotion", "extended", "settled"),
    ],
)
def test_a_run_that_dies_at_one_of_its_writes_ends_as_an_undisturbed_one(
    name: str, mortal: Callable[[str], Mortal]
) -> None:
    runs, rng = mortal(name), random.Random(name)
    deaths = [runs.die(at, rng.randint(1, len(runs.steps))) for at in runs.points(4, rng)]
    assert [death.faults for death in deaths] == [[]] * 4
    assert all(death.steps for death in deaths), "each has died at least once"


@pytest.mark.usefixtures("proc")
@pytest.mark.parametrize("address", ["inline", "local"])
def test_a_sweep_that_is_killed_while_some_wait_at_a_rung_ends_as_an_undisturbed_one(
    address: str, mortal: Callable[[str], Mortal]
) -> None:
    runs = mortal("halving")
    run = runs.begin()
    record = run / RECORD
    killed = Session(runs.folder, CASES["halving"].run("run", address), {PAUSE: "0.1"})
    try:
        while whole_lines(record).count(b'{"event":"paused"') < 2:
            assert not killed.over, killed.output()
            time.sleep(0.01)
        killed.send(signal.SIGKILL)
        assert killed.wait(60) == -9
    finally:
        killed.clean_up()
    before = {event["event"] for event in checks.events(record)}
    assert not before & {"promoted", "decision", "finished"}
    resumed = runs.sit(run)
    assert resumed.code == 0, resumed.output
    faults = checks.same_tables(run, runs.whole) + checks.same_scores(run, runs.whole)
    faults += checks.same_files(run, runs.whole) + checks.decisions_follow(record)
    assert faults == []
    assert checks.trained_again(checks.events(record)) == 0


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_sweep_of_the_bench_can_be_run(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "chaos_task", raising=False)
    done = CliRunner().invoke(cli, ["check", "my.yaml", *case.flags, "--max-concurrent", "1"])
    assert (done.exit_code, done.exception) == (0, None), done.output
    monkeypatch.delitem(sys.modules, "chaos_task", raising=False)


@pytest.mark.usefixtures("proc")
@pytest.mark.parametrize(
    ("victim", "strike", "codes"),
    [
        pytest.param("worker", Strike("line", 0.5), [0], id="a worker's job is tried again at once"),
    ],
)
def test_on_ray(victim: str, strike: Strike, codes: list[int], mortal: Callable[[str], Mortal]) -> None:
    on_ray = Runs(CASES["grid"], mortal("grid").folder)
    outcome = on_ray.carry_out(Plan(1, on_ray.case, victim, (strike,)))
    assert (outcome.struck, outcome.codes, outcome.faults) == (1, codes, [])
