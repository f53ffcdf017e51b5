"""What the machines of a cluster answer, and what is said to it; real ones: tests/cluster/test_nodes.py."""

from __future__ import annotations

import re
from typing import Any

import pytest
from facts import lacking

from tune_app.doctor import exit_code
from tune_app.doctor.checks import Check
from tune_app.doctor.clusters import judge
from tune_app.engines.ray.nodes import Cluster, Node, NodeAnswer

HERE = {"ray": "2.60.0", "python": "3.12.3", "torch": "2.13.0", "tune-app": "0.1.0"}
FINE: dict[str, Any] = {
    **HERE,
    "folder": "/tmp",
    "write_s": 0.004,
    "free_bytes": 90 << 30,
    "shm_bytes": 8 << 30,
    "gpus_seen": 2,
}
NODE = Node("ab", "worker1", "10.0.0.2", 8, 2)


def found(facts: dict[str, Any] | None, fault: str = "", cluster: Cluster | None = None) -> list[Check]:
    answer = NodeAnswer(NODE, 1.2, facts, fault)
    return judge("10.0.0.1:6379: joined in 0.5 s", cluster or Cluster(8, 2, 1), [answer], HERE)


def test_all_is_well() -> None:
    checks = found(FINE)
    assert [each.status for each in checks] == ["ok"] * 2
    assert lacking(checks[0].found, ["10.0.0.1:6379", "1 node", "8 CPUs", "2 GPUs", "0.5 s"]) == []
    versions = [f"{name} {version}" for name, version in HERE.items()]
    measured = ["1 MiB", "/tmp", "4 ms", "1.2 s"]
    assert lacking(checks[1].found, ["worker1", "10.0.0.2", "8 CPUs", "2 GPUs", *versions, *measured]) == []
    assert exit_code(checks) == 0


@pytest.mark.parametrize(
    ("changed", "status", "words", "fix"),
    [
        ({"ray": "2.59.0"}, "problem", "ray 2.59.0 .*2.60.0", "ray up FILE"),
        ({"python": "3.11.9"}, "problem", "python 3.11.9 .*3.12.3", "ray up FILE"),
        ({"tune-app": "0.0.9"}, "problem", "tune-app 0.0.9 .*0.1.0", "ray up FILE"),
        ({"tune-app": None}, "problem", "tune-app", "ray up FILE"),
        ({"torch": "2.12.0"}, "warning", "torch 2.12.0", "ray up FILE"),
        ({"torch": None}, "problem", "torch", "ray up FILE"),
        (
            {"write_fault": "Read-only file system"},
            "problem",
            "/tmp .*Read-only file system",
            "TMPDIR",
        ),
        ({"free_bytes": 1 << 20}, "warning", "1 MiB .*/tmp", "Free some space"),
        ({"shm_bytes": 64 << 20}, "warning", "64 MiB .*/dev/shm", "--shm-size"),
        ({"gpus_seen": 1}, "problem", "2 GPUs .*torch .*1", "nvidia-smi"),
    ],
)
def test_each_fault_of_a_machine(changed: dict[str, Any], status: str, words: str, fix: str) -> None:
    [_, check] = found({**FINE, **changed})
    assert (check.name, check.status) == ("worker1", status)
    assert re.search(words, check.found), check.found
    assert fix in check.fix


def test_small_differences_are_none() -> None:
    assert found({**FINE, "python": "3.12.9", "shm_bytes": None, "gpus_seen": None})[1].status == "ok"


def test_a_machine_that_does_not_answer() -> None:
    check = found(None, "no answer within 60 s")[1]
    assert check.status == "problem"
    assert lacking(check.found, ["worker1", "10.0.0.2", "no answer within 60 s"]) == []
    assert "raylet.out" in check.fix


def test_a_cluster_that_trains_nothing_and_one_that_grows() -> None:
    assert found(FINE, cluster=Cluster(0, 0, 1))[0].status == "problem"
    grows = found(FINE, cluster=Cluster(16, 4, 1, grows=True))[0]
    assert (grows.status, "4 GPUs" in grows.found) == ("ok", True)
