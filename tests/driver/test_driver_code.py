from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tune_app import space as spaces
from tune_app import stopping
from tune_app.driver.driver import Driver
from tune_app.sweep import Sweep, code
from tune_app.sweep.code import CodeState
from tune_app.sweep.events import Opened
from tune_app.training.protocol import EpochReport

KNOWN = {"task.py": "1" * 64}
PROVENANCE = {"code": {"files": KNOWN, "found": {}}, "versions": {"torch": "2.0"}}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    space = spaces.parse("task: my:task\nspace: {lr: {grid: [1, 2]}}\nseeds: 1", file="my.yaml", name="my")
    with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
        sweep.note(Opened(provenance=PROVENANCE))
        yield sweep


def code_of_next(driver: Driver) -> CodeState:
    """The code as the next trial gets it."""
    spec = driver.next_trial()
    assert spec
    assert spec.code
    return spec.code


@pytest.mark.parametrize(
    ("files", "versions", "notes"),
    [
        ({"late.py": "2" * 64}, {}, 0),
        ({"task.py": "3" * 64}, {}, 1),
        ({}, {"torch": "9.9"}, 1),
    ],
)
def test_what_a_process_has_is_recorded_and_other_code_is_noted(
    sweep: Sweep, files: dict[str, str], versions: dict[str, str | None], notes: int
) -> None:
    told: list[str] = []
    driver = Driver(sweep, stopping.make_stopper(sweep.space), notify=told.append)
    spec = driver.next_trial()
    assert spec
    assert spec.code
    assert (spec.code.files, spec.code.versions) == (KNOWN, {"torch": "2.0"})
    loaded = {"files": files, "versions": versions}
    driver.report(driver.start(spec), EpochReport(1, {"val_accuracy": [0.5]}, [0.1], code=loaded), "cpu")
    attempt = sweep.history.attempts["1.1"]
    assert (attempt.files, attempt.versions) == (files, versions)
    assert code.of_attempt(attempt, spec.code).all == KNOWN | files
    assert len(told) == notes
    assert code_of_next(driver).all == files | KNOWN
