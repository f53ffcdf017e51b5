"""A process that has everything imported and forks a child for each call of the command line, without Ray.

A call takes a fraction of the time that a fresh interpreter needs, also since it writes no report, which is a
view that is made from the record again and again. One child at a time.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

_MODULES = (
    *("torch", "torch._dynamo", "optuna", "pandas", "scipy.stats", "tune_app.cli", "tune_app.launch"),
    *("tune_app.continuing", "tune_app.inline", "tune_app.trial", "tune_app.results", "tune_app.report"),
    *("tune_app.progress", "tune_app.search", "tune_app.terminal"),
)


class Forks:
    """Starts the process, asks it for children, and ends it."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.chaos.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._server.stdin, self._server.stdout):
            if stream:
                stream.close()
        self._server.wait(30)

    def call(self, folder: Path, args: Sequence[str], die_at: int | None = None) -> Called:
        """Call ``tune-app`` in ``folder``, let it die at a step, and wait for its end."""
        assert self._server.stdin
        assert self._server.stdout
        request = {"folder": str(folder), "args": list(args), "die_at": die_at}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Called(json.loads(self._server.stdout.readline()), folder)


class Called:
    """What came of a call: its exit code, negative for a signal, what it printed, and its steps."""

    def __init__(self, code: int, folder: Path) -> None:
        self.code = code
        self.output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        self.steps = (folder / "steps.txt").read_text(encoding="utf-8").splitlines()


def _serve() -> None:
    for module in _MODULES:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be_child(json.loads(line), answers)
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _be_child(request: dict[str, Any], answers: IO[str]) -> None:
    """Call the command line here; never returns."""
    from benchmarks.chaos.steps import Steps
    from tune_app import report
    from tune_app.cli import main

    code: Any = 1
    vars(report)["write"] = lambda *_: []
    try:
        os.chdir(request["folder"])
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((nothing, output, output)):
            os.dup2(descriptor, number)
        Path("runs").mkdir(exist_ok=True)
        Steps(Path("runs"), Path("steps.txt"), request["die_at"]).install()
        main(request["args"])
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve()
