"""The parts of Ray that are not its public API: each is there, and a sweep ends as well without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import ray

import tune_app
from tune_app import results
from tune_app import space as spaces
from tune_app.engines.ray import private_api
from tune_app.errors import TrialsFailed
from tune_app.session import lifecycle
from tune_app.session.request import Request
from tune_app.sweep import Sweep

#: Modules, and the names in each that ``private_api`` uses.
PARTS = {
    "ray._private.worker": ("global_worker", "print_to_stdstream"),
    "ray._private.node": ("Node.start_api_server", "Node.start_log_monitor", "Node.start_monitor"),
    "ray._private.auto_init_hook": ("enable_auto_connect",),
    "ray.tune.execution.class_cache": ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"),
    "ray.experimental.internal_kv": ("_internal_kv_put", "_internal_kv_get", "internal_kv_get_gcs_client"),
    "ray._raylet": ("InnerGcsClient.get_draining_nodes",),
    "ray.tune.experiment": ("Trial.error_file", "Trial.pickled_error_file", "Trial.get_error"),
    "ray.autoscaler._private.util": ("prepare_config", "validate_config"),
}


@pytest.mark.parametrize("module", PARTS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_this_ray_has_every_part(module: str) -> None:
    for name in PARTS[module]:
        found: Any = import_module(module)
        for step in name.split("."):
            found = getattr(found, step)


def test_no_other_module_uses_a_private_part() -> None:
    private = re.compile(
        r"ray\.(\w+\.)*_(?!_)|ray\.experimental|internal_kv|class_cache|_system_config|\berror_file|ray-schema"
    )
    root = Path(tune_app.__file__).parent
    using = [path.name for path in root.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))]
    assert using == ["private_api.py"]


@contextmanager
def without() -> Iterator[None]:
    """A Ray of which ``private_api`` finds nothing more than ``ray`` itself."""

    def find(name: str) -> Any:
        raise ImportError(f"this Ray has no {name}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_api, "_part", find)
        yield


def test_each_missing_part_has_something_in_its_place() -> None:
    with without():
        assert private_api.connected()
        with private_api.inherited_environment(), private_api.silence_servers(), private_api.lean():
            pass
        private_api.prevent_restart()
        private_api.put(b"key", b"value")
        assert private_api.get(b"key") == b""
        assert private_api.draining(1.0) == []
        assert private_api.cluster_schema() == {}
        private_api.validate_cluster({"cluster_name": 1})
    assert private_api.cluster_schema()


def test_the_death_of_a_trial_is_read_from_whatever_is_there(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_bytes(b"all of it \xff")
    (tmp_path / "error.pkl").write_bytes(ray.cloudpickle.dumps(ValueError("mine")))
    files = {"error_file": str(tmp_path / "error.txt"), "pickled_error_file": str(tmp_path / "error.pkl")}
    error, text = private_api.cause_of_death(SimpleNamespace(**files))
    assert (repr(error), text) == ("ValueError('mine')", "all of it \ufffd")
    error, text = private_api.cause_of_death(SimpleNamespace(get_error=lambda: ValueError("by Tune")))
    assert (repr(error), text) == ("ValueError('by Tune')", "")
    assert private_api.cause_of_death(SimpleNamespace(error_file=None, pickled_error_file=None)) == (None, "")


def test_ray_starts_without_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        tried.append(options)
        if "_system_config" in options:
            raise RuntimeError("Timed out waiting for file gcs_server_port")

    monkeypatch.setattr(ray, "init", init)
    private_api.init(private_api.loading(["torch"]), address="local")
    assert tried == [
        {"address": "local", "_system_config": {"preload_python_modules": ["torch"]}},
        {"address": "local"},
    ]


TASK = """
import os

def train(config, context):
    yield {"val_loss": config["level"] + context.replicate}
    if config["level"] == 2:
        os._exit(3) if "ON_RAY" in os.environ else [][0]
    yield {"val_loss": config["level"] / 3}
"""
SPACE = """
task: lonely:train
space: {level: {grid: [1, 2, 3]}}
epochs: 2
seeds: 2
max_failures: 0
metric: {name: val_loss, mode: min}
"""
#: A whole run on Ray, of which every private part is missing.
PROGRAM = """
import sys
from types import SimpleNamespace
import ray
from test_private_api import without
from tune_app.engines.ray import private_api as ray_private
from tune_app.cli import main

init, death = ray.init, ray_private.cause_of_death

def refusing(**options):
    if "_system_config" in options:
        raise RuntimeError("no such setting")
    return init(**options)

ray.init = refusing
ray_private.cause_of_death = lambda trial: death(SimpleNamespace(get_error=trial.get_error))
with without():
    main(["run", "my.yaml", "--name", "bare", "--address", "local"])
"""


@pytest.mark.slow
def test_a_sweep_on_ray_ends_the_same_without_any_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("lonely.py").write_text(TASK)
    Path("my.yaml").write_text(SPACE)
    request = Request(spaces.load("my.yaml"), name="inline", address="inline")
    with pytest.raises(TrialsFailed):
        lifecycle.run(request, request.load()).train()
    results.write(results.load(Sweep.open("runs/inline")))
    long = tmp_path / ("x" * 60)  # too long for Ray's sockets
    long.mkdir()
    places = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2]), str(tmp_path)])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": places, "TMPDIR": str(long), "ON_RAY": "1"},
    )
    assert ran.returncode == 1, ran.stderr
    assert "1 of 3 configurations failed" in ran.stderr
    frames = [pd.read_csv(f"runs/{name}/seeds.csv").drop(columns="duration_s") for name in ("inline", "bare")]
    pd.testing.assert_frame_equal(frames[0], frames[1])


def test_the_agent_of_a_lean_ray_takes_any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its usual port may be that of another Ray on this machine."""
    services = pytest.importorskip("ray._private.services")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(services, "start_raylet", lambda **named: asked.update(named))
    start = services.start_raylet
    with private_api.lean():
        services.start_raylet(dashboard_agent_listen_port=52365, raylet_name="mine")
        assert asked == {"dashboard_agent_listen_port": 0, "raylet_name": "mine"}
    assert services.start_raylet is start
