"""What tests of several modules share."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tune_app.data import Dataset, Images
from tune_app.data.identity import DataIdentity

if TYPE_CHECKING:
    from benchmarks.chaos.inline import Mortal

# A loaded machine is slow, not wrong: pytest-timeout ends what hangs.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def restore_interrupts() -> None:
    """Undo what a shell does to a process in the background, which would pass to every process of the tests.

    It ignores SIGINT and SIGQUIT, and Python then installs no handler. SIGHUP stays as `nohup` has set it.
    """
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


restore_interrupts()

#: What this user's commands have named, in a folder of the tests' own.
_STATE = tempfile.TemporaryDirectory(prefix="tune-app-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name
#: What this user's runs have measured, likewise.
os.environ["XDG_CACHE_HOME"] = f"{_STATE.name}/cache"


@pytest.fixture(scope="session")
def xrays() -> Path:
    """The folder of real chest X-rays: $TUNE_APP_XRAYS, or shared/data/chest_xray beside the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "chest_xray"
    folder = Path(os.environ.get("TUNE_APP_XRAYS", beside))
    if not (folder / "train" / "NORMAL").is_dir():
        pytest.skip(f"no chest X-rays in {folder}: set TUNE_APP_XRAYS to their folder")
    return folder


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """25 training, 9 validation and 10 test images of 6x6, one class brighter: learnt within epochs."""

    def draw(split: str, count: int) -> Images:
        y = np.arange(count, dtype=np.int64) % 2
        x = rng.integers(0, 60, (count, 6, 6)) + 150 * y[:, None, None]
        names = tuple(f"{split}/{i}" for i in range(count))
        return Images(x.astype(np.uint8), y, names, names)

    rng = np.random.default_rng(7)
    counts = {"train": 25, "val": 9, "test": 10}
    identity = DataIdentity("tiny", "folder", "ab" * 32, 6, "image", counts, ("Made up.",))
    train, val, test = (draw(split, count) for split, count in counts.items())
    return Dataset(train, val, test, identity)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Deals tests out to processes, a file at a time, in the order of the collection.

    The tests that play several machines are one file here: two such clusters are too much for two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "hosts" if file in _HOSTS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False
    return _ByFile(config, log)


_HOSTS = ("tests/cluster/test_ray_up.py", "tests/cluster/test_aws_up.py", "tests/cluster/test_faults.py")
#: The longest that a test may take which is not marked `slow`.
_UNMARKED_S = 20
#: The files that take longest, in this order: of several processes none is left with a long one at the end.
_FIRST = (
    *_HOSTS,
    "tests/engines/ray/test_tune_engine.py",
    "tests/chaos/test_kills.py",
    "tests/cluster/test_gpus.py",
    "tests/cluster/test_nodes.py",
    "tests/cli/test_training.py",
    "tests/report/test_page.py",
    "tests/driver/test_gpu_sharing.py",
    "tests/chaos/test_signals.py",
    "tests/browser/test_report_page.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", metavar="SEED", help="Run the files, and the tests of each, in random order."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, or all in random order; a file's tests stay together, for what they share."""
    seed = config.getoption("--shuffle")
    if seed is None:
        order = {file: place for place, file in enumerate(_FIRST)}
        items.sort(key=lambda item: order.get(item.nodeid.split("::", 1)[0], len(order)))
    else:
        rng = random.Random(seed)
        files = {item.path: rng.random() for item in items}
        items.sort(key=lambda item: (files[item.path], rng.random()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that take long and are not marked `slow`."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    late = [r for r in reports if r.duration > _UNMARKED_S and "slow" not in r.keywords]
    if late:
        terminalreporter.section(f"over {_UNMARKED_S} s: mark these tests slow")
    for report in late:
        terminalreporter.line(f"{report.duration:5.0f} s {report.when} {report.nodeid}")


_numbers = itertools.count()


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Moves to a fresh working directory; call it with source code to put a module there, for its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made: list[str] = []

    def write(source: str) -> str:
        name = f"user_module_{os.getpid()}_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def mortal() -> Iterator[Callable[[str], Mortal]]:
    """By the name of a case: its runs, which die and are resumed, beside one that is trained once."""
    from benchmarks.chaos.forks import Forks
    from benchmarks.chaos.inline import Mortal
    from benchmarks.chaos.sweeps import CASES

    # A short name, for Ray's sockets may lie below it.
    with tempfile.TemporaryDirectory(prefix="c") as folder, Forks() as forks:
        yield cache(lambda name: Mortal(CASES[name], Path(folder) / name.replace(" ", ""), forks))


@pytest.fixture
def proc() -> None:
    """Skips where the processes that a sweep has started cannot be found."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("what a sweep has started is found in /proc, which this system lacks")
