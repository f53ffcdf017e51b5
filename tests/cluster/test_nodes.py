"""A Ray of two machines, both played by this one: what it has, who comes and goes, what is wrong there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from ray_marks import QUIET, declared_cluster

from tune_app import cli
from tune_app.engines.ray import connection, nodes
from tune_app.errors import ResourceError

pytestmark = QUIET


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with declared_cluster(1) as made:
        yield made


@pytest.fixture
def joined(cluster: Cluster) -> Iterator[Cluster]:
    with connection.connect(cluster.address):
        yield cluster


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_gpus_are_waited_for_and_machines_told_of_as_they_come_and_go(joined: Cluster) -> None:
    said: list[str] = []
    told: list[str] = []
    waits = threading.Thread(target=lambda: nodes.wait_for_gpus(2, 60, said.append))
    with nodes.announce_changes(told.append):
        waits.start()
        until(lambda: said)
        node = joined.add_node(num_cpus=1, num_gpus=2)
        waits.join()
        assert said[0] == "waiting for GPUs: 0 of 2 on 1 node"
        assert nodes.current() == nodes.Cluster(2, 2, 2)
        until(lambda: told)
        joined.remove_node(node, allow_graceful=True)
        until(lambda: len(told) == 2)
    assert re.fullmatch(r".*joined.*\b1 CPU, 2 GPUs\b.*\b2 nodes\b.*\b2 CPUs, 2 GPUs.*", told[0]), told
    assert re.fullmatch(r".*left.*\b1 CPU, 2 GPUs\b.*\b1 node\b.*\b1 CPU, 0 GPUs.*", told[1])


def test_gpus_that_do_not_come_are_given_up(joined: Cluster) -> None:
    with pytest.raises(ResourceError, match=r"--wait-for-gpus 3: .*\b\d+ s\b.*\b0 of 3 on 1 node"):
        nodes.wait_for_gpus(3, 1.0, lambda _: None)


def test_what_is_there_is_not_waited_for(joined: Cluster) -> None:
    nodes.wait_for_gpus(0, 0.0, lambda _: pytest.fail("waited"))


@pytest.mark.parametrize("address", ["inline", "local"])
def test_only_a_cluster_is_waited_for(
    address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    argv = [
        "run",
        "grid",
        "--address",
        address,
        "--wait-for-gpus",
        "99",
        "--runs-dir",
        str(tmp_path / "runs"),
    ]
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert f"--wait-for-gpus 99 --address {address}: " in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_doctor_finds_a_cluster_in_order(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--address", cluster.address])
    out = capsys.readouterr().out
    assert ended.value.code == 0, out
    assert re.search(rf"ok +cluster +{cluster.address}: joined in [\d.]+ s; 1 node, 1 CPUs, 0 GPUs", out)
    assert re.search(
        rf"1 CPU, 0 GPUs; ray {ray.__version__}, python 3\.\d+\.\d+, tune-app [\d.]+, torch [\d.+a-z]+; "
        r"1 MiB written to /\S+ in \d+ ms; answered in [\d.]+ s",
        out,
    )


def test_doctor_finds_gpus_that_torch_does_not_see(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    node = cluster.add_node(num_cpus=1, num_gpus=4)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["doctor", "--address", cluster.address])
    finally:
        cluster.remove_node(node, allow_graceful=True)
    out = capsys.readouterr().out
    assert ended.value.code == 2
    assert re.search(r"problem .*4 GPUs.* torch .*\b0\b", out)
    assert "1 problem" in out


def test_doctor_says_that_nothing_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--address", "127.0.0.1:1"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert re.search(r"--address 127\.0\.0\.1:1: .*Connection refused", err)
    assert "Traceback" not in err


def test_a_machine_that_runs_no_task_is_told(joined: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> Callable[[bool], dict[str, object]]:
        def look(count_gpus: bool) -> dict[str, object]:
            time.sleep(30)
            return {}

        return look

    monkeypatch.setattr(nodes, "_probe", probe)
    monkeypatch.setattr(nodes, "_ANSWER_WITHIN_S", 1.0)
    [answer] = nodes.ask(nodes.alive())
    assert answer.fault == "no answer within 1 s"


def test_ctrl_c_ends_the_waiting(cluster: Cluster, tmp_path: Path) -> None:
    argv = ["run", "grid", "--address", cluster.address, "--wait-for-gpus", "2"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_app", *argv],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    line = next(line for line in process.stdout if "0 of 2 on 1 node" in line)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, line + rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
