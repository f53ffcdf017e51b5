"""A process that has everything imported and forks a child for each call of the command line.

A call takes a fraction of the time that a fresh interpreter needs, also since it writes a report only where
that is asked: a report is a view that is made from the record again and again. One child at a time.

Ray starts for a process, not for its children. So with Ray the calls are made in that process itself, one
after the other, on one Ray that the first of them starts.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

_MODULES = (
    *("torch", "torch._dynamo", "optuna", "pandas", "scipy.stats", "tune_app.cli"),
    *(
        "tune_app.session.lifecycle",
        "tune_app.engines.inline",
        "tune_app.training.trial",
        "tune_app.results",
        "tune_app.report",
    ),
    *("tune_app.progress", "tune_app.search.sampler", "tune_app.report.terminal"),
)
#: What a call on Ray loads besides.
_RAY_MODULES = (
    "tune_app.engines.ray.tune_engine",
    "tune_app.engines.ray.connection",
    "tune_app.engines.ray.prometheus",
)


class Forks:
    """Starts the process, asks it for children, and ends it.

    Args:
        ray: whether it makes its calls itself, on one Ray.
    """

    def __init__(self, ray: bool = False) -> None:
        root = Path(__file__).parents[2]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.chaos.forks", *(["ray"] if ray else [])],
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

    def call(
        self,
        folder: Path,
        args: Sequence[str],
        die_at: int | None = None,
        steps: bool = True,
        report: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Called:
        """Call ``tune-app`` in ``folder``, let it die at a step, and wait for its end.

        Args:
            folder: its working directory.
            args: of the command line.
            die_at: the number of the step; None to let it live.
            steps: whether its steps are counted, which makes its writes slower.
            report: whether it writes a report.
            environment: what is added to its environment.
        """
        assert self._server.stdin
        assert self._server.stdout
        request = {
            **{"folder": str(folder), "args": list(args), "die_at": die_at, "steps": steps, "report": report},
            "environment": dict(environment or {}),
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Called(json.loads(self._server.stdout.readline()), folder)


class Called:
    """What came of a call: its exit code, negative for a signal, what it printed, and its steps."""

    def __init__(self, code: int, folder: Path) -> None:
        self.code = code
        self.output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        steps = folder / "steps.txt"
        self.steps = steps.read_text(encoding="utf-8").splitlines() if steps.exists() else []


def _serve(ray: bool) -> None:
    for module in (*_MODULES, *(_RAY_MODULES if ray else ())):
        importlib.import_module(module)
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", encoding="utf-8")
    with _kept_ray() if ray else nullcontext():
        for line in requests:
            answers.write(f"{(_call if ray else _fork)(json.loads(line))}\n")
            answers.flush()


def _fork(request: dict[str, Any]) -> int:
    """Call the command line in a child; returns how that ended."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        code = _call(request)
    finally:
        os._exit(code)


def _call(request: dict[str, Any]) -> int:
    """Call the command line here; returns its exit code."""
    from benchmarks.chaos.steps import Steps
    from tune_app import report
    from tune_app.cli import main

    os.environ.update(request["environment"])
    tempfile.tempdir = None  # it was taken from the environment before
    os.chdir(request["folder"])
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    Path("runs").mkdir(exist_ok=True)
    if request["steps"]:
        Steps(Path("runs"), Path("steps.txt"), request["die_at"]).install()
    try:
        with mock.patch.object(report, "write", report.write if request["report"] else lambda *_, **__: []):
            main(request["args"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001 - what is called is on trial
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.close(output)
        os.close(nothing)
    return 1


@contextmanager
def _kept_ray() -> Iterator[None]:
    """The first call's Ray is there for all that follow."""
    from tune_app.engines.ray import connection, nodes

    with ExitStack() as stack:
        connect = connection.connect
        began: list[nodes.Cluster] = []

        @contextmanager
        def once(*args: Any, **named: Any) -> Iterator[nodes.Cluster]:
            if not began:
                began.append(stack.enter_context(connect(*args, **named)))
            yield began[0]

        with mock.patch.object(connection, "connect", once):
            yield


if __name__ == "__main__":
    _serve("ray" in sys.argv[1:])
