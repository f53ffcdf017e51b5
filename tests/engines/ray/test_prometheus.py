"""A sweep's metrics where Prometheus finds them: on the metrics port of a Ray, while it trains."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from ray_marks import QUIET, declared_cluster

from tune_app import space as spaces
from tune_app.engines.ray import prometheus
from tune_app.session import lifecycle
from tune_app.session.request import Request

ROOT = Path(__file__).parents[3]

pytestmark = QUIET

#: Its second configuration ends when it is told to.
TASK = """
    import time
    from pathlib import Path

    def task(config, context):
        yield {"val_accuracy": 0.5 + config["level"] / 4}
        while config["level"] == 2 and not Path(config["seen"]).exists():
            time.sleep(0.05)
        yield {"val_accuracy": 0.5 + config["level"] / 4}
"""


@pytest.mark.skipif(
    importlib.util.find_spec("opencensus") is None,
    reason="needs ray[default]: pip install 'tune-app[cluster]'",
)
def test_a_sweep_is_seen_on_rays_metrics_port(user_module: Callable[[str], str], tmp_path: Path) -> None:
    name, seen = user_module(TASK), tmp_path / "seen"
    space = spaces.parse(
        f"task: {name}:task\nepochs: 2\nseeds: 1\nspace: {{level: {{grid: [1, 2, 3]}}}}\n"
        f"fixed: {{seen: {seen}}}\nresources: {{max_concurrent: 1}}",
        file="my.yaml",
        name="my",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found: dict[str, float] = {}
    watcher = threading.Thread(target=lambda: found.update(served(port, seen)))
    every = {"metrics_report_interval_ms": 500}
    with declared_cluster(1, metrics_export_port=port, _system_config=every) as cluster:
        try:
            watcher.start()
            request = Request(space, address=cluster.address, name="watched")
            lifecycle.run(request, request.load()).train()
            watcher.join()
        finally:
            seen.touch()
    assert found["trials finished"] == 1
    assert found["trials running"] == 1
    assert found["trials waiting"] == 1
    assert found["trials failed"] == 0
    assert found["best_value val_accuracy"] == 0.75
    assert found["done_ratio"] == 0.5
    assert found["epochs_per_second"] >= 0


def served(port: int, seen: Path) -> dict[str, float]:
    """What of the run is served once its second configuration has an epoch; then lets that one end."""
    line = re.compile(r"^ray_tune_app_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
    found: dict[str, float] = {}
    deadline = time.monotonic() + 90
    while found.get("done_ratio") != 0.5 and time.monotonic() < deadline:
        time.sleep(0.2)
        with suppress(urllib.error.URLError, OSError):
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            for metric, tags, value in line.findall(text):
                assert 'run="watched"' in tags
                label = re.search(r'(?:state|metric)="(\w+)"', tags)
                found[f"{metric} {label[1]}" if label else metric] = float(value)
    seen.touch()
    return found


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "clusters/grafana.json").read_text())
    asked = set(re.findall(r"ray_(tune_app_\w+)", json.dumps(dashboard)))
    assert asked == set(prometheus.METRICS)
    for panel in dashboard["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert '{run=~"$run"' in target["expr"] or "ray_resources" in target["expr"]
