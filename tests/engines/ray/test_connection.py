"""The connection to Ray: what is refused before it starts, how it starts, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_app import results
from tune_app.engines.ray import connection
from tune_app.errors import ResourceError
from tune_app.sweep import Sweep


def test_data_larger_than_the_shared_memory_is_refused() -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("this system has no /dev/shm")
    with pytest.raises(ResourceError, match=r"needs \d+ MiB of shared memory and /dev/shm has \d+ MiB free"):
        connection.connect(data_bytes=1 << 60).__enter__()


@pytest.mark.slow
def test_trials_run_in_the_processes_that_ray_starts_at_once_and_ray_ends_beside_what_comes_next(
    tmp_path: Path,
) -> None:
    """In a process of its own, for a process has one Ray."""
    (tmp_path / "looking.py").write_text(
        textwrap.dedent("""
            import os
            import sys

            LOADED = "torch" in sys.modules, "tune_app.training.trial" in sys.modules

            def task(config, context):
                yield {"loaded": sum(LOADED), "pid": os.getpid()}
        """)
    )
    program = textwrap.dedent("""
        import json
        import os
        import subprocess
        import threading
        import time
        from tune_app import space
        from tune_app import stopping
        from tune_app.engines.ray import connection
        from tune_app.engines.ray import ray_session, tune_engine
        from tune_app.driver.driver import Driver
        from tune_app.driver.resources import Plan
        from tune_app.data.identity import NO_DATA
        from tune_app.sweep import Sweep
        grid = "task: looking:task\\nspace: {a: {grid: [1, 2, 3, 4]}}\\nmetric: {name: loaded, mode: max}\\n"
        wanted = space.parse(f"{grid}epochs: 1\\nseeds: 1\\n", file="my.yaml", name="my")
        with connection.connect("local", cpus=2, ahead=["tune_app.training.trial", "torch"]):
            import ray
            idle = []
            while len(idle) < 2:
                time.sleep(0.1)
                raylet = subprocess.run(["pgrep", "-P", str(os.getpid()), "raylet"], capture_output=True)
                parent = raylet.stdout.decode().strip()
                idle = subprocess.run(["pgrep", "-P", parent, "-f", "ray::IDLE"], capture_output=True)
                idle = idle.stdout.decode().split()
            with Sweep.create(wanted, NO_DATA, "runs").writing() as sweep:
                tune_engine.run(Driver(sweep, stopping.make_stopper(wanted)), None, Plan(1, 0, 2))
            ref = ray.put(1)
        busy = [each for each in threading.enumerate() if each.name == "Ray"]
        del ref
        known = ray.is_initialized()
        ray_session.wait_until_gone()
        alive = any(each.is_alive() for each in busy)
        left = subprocess.run(["pgrep", "-P", str(os.getpid()), "raylet"]).returncode == 0
        with connection.connect("local", cpus=1):
            print(json.dumps({"idle": idle, "known": known, "alive": alive, "left": left}))
    """)
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    sweep = Sweep.open(tmp_path / "runs/my-1")
    assert sweep.statuses() == ["finished"] * 4, sweep.paths.record.read_text()[-900:]
    found, said = results.load(sweep).seeds, json.loads(ran.stdout)
    assert list(found["loaded"]) == [2, 2, 2, 2]
    assert {str(int(pid)) for pid in found["pid"]} <= set(said.pop("idle"))
    assert said == {"known": False, "alive": False, "left": False}, "and it can be started again"


SESSION = "ray/session_2026-11-27_18-39-21_508059_{pid}/sockets/plasma_store"


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def long(folder: Path, size: int = 90) -> Path:
    return folder / ("x" * max(1, size - len(str(folder)) - 1))


def used() -> str | None:
    with ExitStack() as stack:
        connection._shorten_socket_paths(stack)
        return os.environ.get("RAY_TMPDIR")


@pytest.mark.usefixtures("unset")
def test_a_usual_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_SHORT", "/tmp")
    assert used() is None
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert used() == "/tmp"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(size=st.integers(10, 200))
@pytest.mark.usefixtures("unset")
def test_a_path_is_too_long_where_rays_sockets_would_be(
    size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Path("/tmp") / ("x" * (size - 5))
    lasts = len(str(folder / SESSION.format(pid=os.getpid()))) <= 107
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        assert used() == (None if lasts else "/tmp")
    assert "RAY_TMPDIR" not in os.environ
    if (folder / "ray").is_dir():
        (folder / "ray").rmdir()
        folder.rmdir()


@pytest.mark.parametrize("name", ["not ASCII ü", "below a file/folder", "\udce9"])
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.usefixtures("unset")
def test_where_no_socket_can_lie_another_folder_is_taken_or_asked_for(
    name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below a file").touch()
    monkeypatch.setenv(variable, str(tmp_path / name))
    if variable == "TMPDIR":
        assert used() == "/tmp"
        assert "RAY_TMPDIR" not in os.environ
    else:
        with pytest.raises(ResourceError, match="RAY_TMPDIR="):
            used()


@pytest.mark.usefixtures("unset")
def test_a_folder_with_a_space_or_one_that_is_to_be_made_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(f"/tmp/s {os.getpid()}")
    monkeypatch.setenv("TMPDIR", str(folder))
    assert used() is None
    (folder / "ray").rmdir()
    folder.rmdir()


@pytest.mark.usefixtures("unset")
def test_without_a_short_folder_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SHORT", str(long(tmp_path)))
    monkeypatch.setenv("TMPDIR", str(long(tmp_path)))
    with pytest.raises(ResourceError, match=r"TMPDIR=.*Set RAY_TMPDIR to"):
        used()
