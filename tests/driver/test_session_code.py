from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.driver.session_code import SessionCode
from tune_app.sweep import Sweep, code
from tune_app.sweep.events import Opened

KNOWN = {"task.py": "1" * 64}
PROVENANCE = {"code": {"files": KNOWN, "found": {}}, "versions": {"torch": "2.0"}}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    space = spaces.parse("task: my:task\nspace: {lr: {grid: [1]}}", file="my.yaml", name="my")
    with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
        sweep.note(Opened(provenance=PROVENANCE))
        Recorder.of(sweep).start(1)
        yield sweep


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
    session = SessionCode(sweep, sweep.note, told.append)
    assert (session.known.files, session.known.versions) == (KNOWN, {"torch": "2.0"})
    session.add("1.1", {"files": files, "versions": versions})
    attempt = sweep.history.attempts["1.1"]
    assert (attempt.files, attempt.versions) == (files, versions)
    assert code.of_attempt(sweep.history, attempt, session.known).all == KNOWN | files
    assert len(told) == notes
    assert session.known.all == files | KNOWN
