"""The warm Ray without Ray: who finds it, who may use it, what is removed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tune_app.engines.ray import addresses, warm
from tune_app.engines.ray.warm import Surroundings, WarmRay
from tune_app.errors import RunError

pytestmark = pytest.mark.usefixtures("proc")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarmRay:
    """One whose keeper is this process."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "modules", {name: sys.modules[name] for name in sys.modules.keys() - {"ray"}})
    scratch, pid = tmp_path / "scratch", os.getpid()
    scratch.mkdir()
    warm.folder().mkdir(parents=True)
    found = WarmRay(
        pid, warm.started(pid), "127.0.0.1:1", "secret", 2, 1 << 20, 2, 60.0, str(scratch), warm.traits()
    )
    found.write()
    return found


def test_a_run_finds_it_unless_another_ray_is_named(there: WarmRay, monkeypatch: pytest.MonkeyPatch) -> None:
    assert warm.find() == there
    assert addresses.default_address() == "warm"
    [state] = warm.folder().glob("state*")
    assert state.stat().st_mode & 0o77 == 0
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert addresses.default_address() == "10.0.0.1:6379"


@pytest.mark.parametrize("change", [{"pid": 1 << 22}, {"started": "another process of this number"}])
def test_what_a_killed_one_has_left_is_removed(there: WarmRay, change: dict[str, int | str]) -> None:
    dataclasses.replace(there, **change).write()  # type: ignore[arg-type]
    assert warm.find() is None
    assert not Path(there.scratch).exists()
    assert not warm.folder().exists()
    assert addresses.default_address() == "local"
    assert not warm.down(force=True)


def test_a_damaged_file_is_none(there: WarmRay) -> None:
    [state] = warm.folder().glob("state*")
    state.write_text(state.read_text()[:-9])
    assert warm.find() is None


def test_each_run_holds_a_slot_and_is_let_in(there: WarmRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another Ray")
    with warm.joined(0) as first, warm.joined(1 << 20) as second:
        assert first == second == there
        assert os.environ["RAY_AUTH_TOKEN"] == "secret"
        assert there.users() == 2
        with warm.joined(0) as third:
            assert third == "2 runs use it already"
        with pytest.raises(RunError, match="used by 2 runs"):
            warm.down(force=False)
    assert there.users() == 0
    assert os.environ["RAY_AUTH_TOKEN"] == "of another Ray"


def test_it_is_not_used_where_that_would_change_what_is_trained(
    there: WarmRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warm.joined(2 << 20) as why:
        assert why == "the data needs 2 MiB of shared memory, and a run has 1 MiB there"
    monkeypatch.setenv("EDITOR", "vi")
    assert there.refuses(0) == ""
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.setattr(sys, "prefix", "/another")
    assert there.refuses(0) == "tune-app up was given with another value of Python, MKL_NUM_THREADS"
    with pytest.raises(RunError, match="tune-app down"):
        warm.up(60.0)


def test_a_worker_takes_over_what_it_would_have_inherited(tmp_path: Path) -> None:
    """In processes of their own, whose surroundings are changed."""
    program = """
        import os, sys, pickle, tempfile, time
        from tune_app.engines.ray.warm import Surroundings
        os.environ["OMP_NUM_THREADS"], os.environ["OF_UP"], os.environ["TZ"] = "7", "1", "Asia/Tokyo"
        time.tzset()
        tempfile.gettempdir()
        pickle.load(sys.stdin.buffer).enter()
        umask = os.umask(0)
        print(*map(os.environ.get, ("OMP_NUM_THREADS", "OF_UP", "MINE")), time.strftime("%Z"), oct(umask))
        print(tempfile.gettempdir(), len(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0))
    """
    driver = """
        import os, sys, pickle
        from tune_app.engines.ray.warm import Surroundings
        os.umask(0o27)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.nice(3)
        sys.stdout.buffer.write(pickle.dumps(Surroundings.of_driver(os.getcwd())))
    """
    mine = {**os.environ, "MINE": "2", "OMP_NUM_THREADS": "5", "TZ": "UTC", "TMPDIR": str(tmp_path)}
    argv = [sys.executable, "-c"]
    sent = subprocess.run([*argv, textwrap.dedent(driver)], env=mine, capture_output=True, check=True)
    got = subprocess.run(
        [*argv, textwrap.dedent(program)], input=sent.stdout, capture_output=True, check=True, cwd=tmp_path
    )
    niceness = os.getpriority(os.PRIO_PROCESS, 0) + 3
    assert got.stdout.decode().split() == ["7", "None", "2", "UTC", "0o27", str(tmp_path), "1", str(niceness)]


def test_elsewhere_a_worker_takes_over_the_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(os.environ)
    chosen: list[str] = []
    monkeypatch.setattr("tune_app.tasks.task_folder.choose", chosen.append)
    Surroundings(str(tmp_path)).enter()
    assert (chosen, dict(os.environ)) == ([str(tmp_path)], before)
