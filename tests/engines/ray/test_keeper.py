"""The warm Ray with Ray: runs on it, and its end. Each test starts one, with a state folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tune_app.engines.ray import warm
from tune_app.engines.ray.warm import WarmRay

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("proc")]

GRID = ("run", "grid", "--image-size", "16", "--set", "replicates=looped", "--set", "precision=float32")
SMALL = ("--epochs", "2", "--seeds", "2", "--name", "small")
LONG = ("run", "long.yaml", "--name", "long")
MODULE = """
import os
import helper

def task(config, context):
    yield {"val_accuracy": config["a"] + helper.ADDED + float(os.environ["MINE"]), "cwd": len(os.getcwd())}
"""
#: A task that takes for ever, and no time of the processors.
LONG_MODULE = """
import time

def task(config, context):
    while True:
        time.sleep(0.2)
        yield {"val_accuracy": 1.0}
"""
SPACE = "task: 'module:task'\nspace: {a: {grid: [1, 2]}}\nepochs: 1\nseeds: 1\n"


def begin(folder: Path, *argv: str, **variables: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "long_module.py").write_text(LONG_MODULE)
    space = SPACE.replace("module:", "long_module:").replace("epochs: 1", "epochs: 20000")
    (folder / "long.yaml").write_text(space)
    command = [sys.executable, "-m", "tune_app", *argv]
    output = subprocess.PIPE
    environment = {**os.environ, **variables}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output, text=True)


def end(process: subprocess.Popen[str], code: int = 0) -> str:
    out, errors = process.communicate(timeout=180)
    assert process.returncode == code, errors
    return out + errors


def wait(true: Callable[[], object], within_s: float = 60) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def trains(run: Path) -> bool:
    record = run / "record.jsonl"
    return record.exists() and '"event":"epoch"' in record.read_text()


def left(found: WarmRay) -> list[str]:
    """The command lines of its processes, by the folder that all of them are given."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:  # it has ended
            continue
        if command and found.scratch.encode() in command + environment:
            commands.append(command.decode().replace("\0", " "))
    return commands


def nothing_is_left(found: WarmRay) -> bool:
    host, port = found.address.split(":")
    with socket.socket() as tried:
        answers = tried.connect_ex((host, int(port))) == 0
    return not answers and not left(found) and not Path(found.scratch).exists() and not warm.folder().exists()


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], WarmRay]]:
    """Starts a warm Ray that ends after some time."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("RAY_")]:  # of an earlier test here
        monkeypatch.delenv(name)

    def start(idle: str) -> WarmRay:
        said = end(begin(tmp_path, "up", "--idle", idle))
        found = warm.find()
        assert found, said
        return found

    yield start
    warm.down(force=True)


def test_runs_share_it_and_get_what_they_would_get_from_a_ray_of_their_own(
    tmp_path: Path, up: Callable[[str], WarmRay]
) -> None:
    other = begin(tmp_path / "other", *LONG, "--address", "local")
    found = up("5m")
    long = begin(tmp_path / "long", *LONG)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "module.py").write_text(MODULE)
    (mine / "helper.py").write_text("ADDED = 10\n")
    (mine / "space.yaml").write_text(SPACE)
    small = begin(tmp_path / "small", *GRID, *SMALL)
    first = begin(mine, "run", "space.yaml", "--name", "first", MINE="100")
    assert "of the warm Ray" in end(first)
    assert "of the warm Ray" in end(small)
    wait(lambda: trains(tmp_path / "long/runs/long") and trains(tmp_path / "other/runs/long"))
    assert "used by 1 run" in end(begin(tmp_path, "down"), code=2)
    (mine / "helper.py").write_text("ADDED = 20\n")
    end(begin(mine, "run", "space.yaml", "--name", "second", MINE="200"))
    trained = {name: pd.read_csv(mine / f"runs/{name}/results.csv") for name in ("first", "second")}
    values = {name: sorted(table["val_accuracy_mean"]) for name, table in trained.items()}
    assert values == {"first": [111.0, 112.0], "second": [221.0, 222.0]}
    assert set(trained["first"]["cwd_mean"]) == {float(len(str(mine)))}

    long.kill()
    end(long, code=-signal.SIGKILL)
    wait(lambda: found.users() == 0)
    assert "has ended" in end(begin(tmp_path, "down"))
    assert nothing_is_left(found), left(found)
    assert other.poll() is None, "another Ray ends with it"
    other.send_signal(signal.SIGINT)
    end(other, code=130)
    end(begin(tmp_path / "small", *GRID, *SMALL[:-1], "cold"))
    for file in ("results.csv", "seeds.csv", "curves.csv"):
        tables = [pd.read_csv(tmp_path / f"small/runs/{name}/{file}") for name in ("small", "cold")]
        one, another = (table.drop(columns="duration_s", errors="ignore") for table in tables)
        pd.testing.assert_frame_equal(one, another, check_exact=True)


def test_it_ends_by_itself_once_it_is_idle(up: Callable[[str], WarmRay]) -> None:
    found = up("1s")
    wait(lambda: nothing_is_left(found))


def test_ray_ends_with_a_killed_keeper_and_lost_runs_can_be_resumed(
    tmp_path: Path, up: Callable[[str], WarmRay]
) -> None:
    found = up("5m")
    long = begin(tmp_path / "long", *LONG)
    wait(lambda: trains(tmp_path / "long/runs/long"))
    os.kill(found.pid, signal.SIGKILL)
    assert "tune-app resume long" in end(long, code=1)
    wait(lambda: not left(found))
    assert "There is no warm Ray" in end(begin(tmp_path, "down"))
    assert nothing_is_left(found)
    events = map(json.loads, (tmp_path / "long/runs/long/record.jsonl").read_text().splitlines())
    assert not any(event["event"] == "failed" for event in events)
