"""Commands on a run that lacks nothing, each in a process of its own: what they say, load and leave alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tune_app.cli import main
from tune_app.session import outcome
from tune_app.sweep import Sweep
from tune_app.sweep.events import Extended

TASK = """
import sys

def train(config, context):
    assert "resume" not in sys.argv
    for epoch in range(context.epochs):
        if config["level"] == 3:
            raise ValueError("cannot bear three")
        yield {"val_loss": config["level"]}
"""
SPACE = """
task: levels:train
space: {level: {grid: [1, 2]}}
epochs: 2
seeds: 2
max_failures: 0
metric: {name: val_loss, mode: min}
"""
#: Runs a command and prints, last, its exit code, what it has loaded, and its seconds of processor time.
PROGRAM = """
import json, resource, sys
from tune_app.cli import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
usage = resource.getrusage(resource.RUSAGE_SELF)
heavy = sorted({"ray", "torch", "pandas", "scipy", "levels"} & sys.modules.keys())
print(json.dumps([code, heavy, usage.ru_utime + usage.ru_stime]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "levels", raising=False)
    Path("levels.py").write_text(TASK)
    Path("my.yaml").write_text(SPACE)
    return tmp_path


def run(*more: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", "my.yaml", "--address", "inline", "--name", "one", *more])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def command(*words: str) -> tuple[int, list[str], float, str]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    *said, last = ran.stdout.splitlines()
    code, heavy, seconds = json.loads(last)
    return code, heavy, seconds, "\n".join([*said, ran.stderr])


def files(run: Path) -> dict[str, Any]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_what_has_finished_is_said_without_an_engine_data_or_task(folder: Path) -> None:
    """At an address where nothing answers, which is therefore not asked."""
    assert run() == 0
    before = files(Path("runs/one"))
    for words in (["resume", "one"], ["run", "my.yaml", "--name", "one"]):
        code, heavy, seconds, said = command(*words, "--address", "127.0.0.1:1")
        assert (code, heavy) == (0, [])
        assert seconds < 2
        assert "2 of 2 finished" in said
        assert "runs/one/report/index.html" in said
    for words in (["extend", "one", "--seeds", "2"], ["retry", "one"]):
        code, heavy, seconds, _ = command(*words, "--address", "127.0.0.1:1")
        assert (code, heavy) == (2, [])
        assert seconds < 2
    assert files(Path("runs/one")) == before


@pytest.mark.parametrize("gone", ["results.csv", "report/index.html", "summary.json"])
def test_missing_results_are_written_again(folder: Path, gone: str) -> None:
    assert run() == 0
    path = Path("runs/one", gone)
    before = path.read_bytes() if gone == "results.csv" else None
    path.unlink()
    with pytest.raises(SystemExit) as ended:
        main(["resume", "one"])
    assert ended.value.code == 0
    assert path.is_file()
    assert before in (None, path.read_bytes())


def test_failures_are_still_the_outcome(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--set", "space.level.grid=[1, 3]") == 1
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["resume", "one"])
    assert ended.value.code == 1
    assert "ValueError: cannot bear three" in capsys.readouterr().err


def test_a_run_that_lacks_something_is_not_finished(folder: Path) -> None:
    """Nor one whose extension was cut off by a crash before its points were recorded."""
    assert run() == 0
    sweep = Sweep.open("runs/one")
    assert outcome.lacks_nothing(sweep, None)
    assert not outcome.lacks_nothing(sweep, "/storage")
    with sweep.writing():
        assert not outcome.lacks_nothing(Sweep.open("runs/one"), None), "another process is at work on it"
    wider = sweep.space.model_copy(update={"configs": ({"level": 9},)})
    with sweep.writing():
        sweep.note(Extended(space=wider.dump(), asked="", from_start=False), durable=True)
    assert not outcome.lacks_nothing(Sweep.open("runs/one"), None)
