"""``ray up``, a sweep that is sent, a machine that dies, results brought home, ``ray down``: over real ssh.

Laptop, head and workers are namespaces of this machine (hosts.sh); nothing leaves it, and nothing stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import MACHINES, Run, hosts, task, until, until_nodes
from lines import read

from tune_app import space as spaces
from tune_app.session import lifecycle
from tune_app.session.request import Request
from tune_app.sweep import Sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SPACE = """
task: mine:Task
space: {lr: {grid: [0.003, 0.01, 0.03, 0.1]}}
epochs: 40
seeds: 1
keep: last
checkpoint_every: 0
max_failures: 3
"""


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Four hosts, with a task and a cluster's file in the laptop's ``project``."""
    with hosts(tmp_path_factory.mktemp("hosts")) as run:
        project = run.folder / "laptop/root/project"
        project.mkdir()
        (project / "mine.py").write_text(task())
        (project / "my.yaml").write_text(SPACE)
        (project / "cluster.yaml").write_text(cluster_file())
        yield run


def cluster_file() -> str:
    """The shipped file for machines of one's own, its marked lines set, and with what these machines have."""
    text = (ROOT / "clusters/local.yaml").read_text()
    for pattern, replacement in (
        (r"head_ip:.*", "head_ip: 10.77.0.1"),
        (r"worker_ips:.*", "worker_ips: [10.77.0.2, 10.77.0.3]"),
        (r"ssh_user:.*", "ssh_user: root"),
        (r"\s+# CHANGE:.*", ""),
        (r"/home/ubuntu/tune-app: \.", "/root/project: ."),
        (r"setup_commands:\n(  - .*\n)+", "setup_commands: ['python -c \"import tune_app, ray\"']\n"),
        (
            r"--object-manager-port=8076",
            "--object-manager-port=8076 --num-cpus=1 --object-store-memory=200000000",
        ),
    ):
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    return text


def laptop(run: Run, command: str, code: int | None = 0) -> str:
    return run("run", "laptop", f"cd project && {command}", code=code)


@pytest.mark.timeout(900)  # two minutes, and much more where the machine has other work
def test_a_cluster_from_up_to_down(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "error" not in laptop(run, "tune-app cluster check cluster.yaml")
    laptop(run, "ray up -y cluster.yaml")
    until_nodes(run, 3)
    assert listening(run) == documented_ports()

    # On the head, as after `ray attach`: the shipped grid takes the whole cluster, without an address.
    small = "--epochs 1 --seeds 1 --image-size 8 --name there"
    out = laptop(run, f"ray exec cluster.yaml 'cd /root && tune-app run grid {small}'")
    assert "on 3 CPUs on 3 nodes, 3 trials at a time" in out
    assert Sweep.open(run.folder / "head/root/runs/there").statuses() == ["finished"] * 9

    # Sent and left alone; each machine has its trial, then one of them dies.
    sent = laptop(run, "tune-app submit my.yaml --cluster cluster.yaml --name sent --detach")
    assert "tune-app attach sent --cluster cluster.yaml" in sent
    record = run.folder / "head/root/runs/sent/record.jsonl"
    until(lambda: record.exists() and all(f"cpu on {name}" in record.read_text() for name in MACHINES))
    trial = next(e["trial"] for _, e in read(record) if e.get("device") == "cpu on worker2")
    until(lambda: any(e["event"] == "checkpoint" and e["trial"] == trial for _, e in read(record)))
    (run.folder / "shared/pause-worker2").touch()
    run("crash", "worker2")
    (run.folder / "shared/fast").touch()
    out = laptop(run, "tune-app attach sent --cluster cluster.yaml")
    assert "on 3 CPUs on 3 nodes, 3 trials at a time" in out
    assert "4 finished" in out
    assert "tune-app pull sent --cluster cluster.yaml" in out
    assert "INFO" not in out

    laptop(run, "tune-app pull sent --cluster cluster.yaml")
    home = run.folder / "laptop/root/project"
    there = Sweep.open(home / "runs/sent")
    assert there.statuses() == ["finished"] * 4
    attempts = there.history.attempts.values()
    assert {attempt.device for attempt in attempts} >= {f"cpu on {name}" for name in MACHINES}
    [lost] = [attempt for attempt in attempts if attempt.trial == trial]
    again = there.history.configurations[lost.sample].attempts[-1]
    assert lost.end == "interrupted"
    assert again.start_epoch > 0, "it went on from the checkpoint that had come to the head"
    saved = [c.attempts[-1].saved for c in there.history.configurations.values()]
    assert all(each and there.is_intact(each) for each in saved)

    # The same as trained here.
    (tmp_path / "mine.py").write_text(task(held=False))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    request = Request(spaces.parse(SPACE, file="my.yaml", name="my"), address="inline", runs_dir=tmp_path)
    here = lifecycle.run(request, request.load()).train()
    monkeypatch.undo()
    last = [[c.attempts[-1].test for c in s.history.configurations.values()] for s in (here, there)]
    assert last[0] == last[1]

    # Ended from the laptop in good order: every trial is saved, far from due.
    endless = "--epochs 100000 --set checkpoint_every=3600 --name ended"
    laptop(run, f"tune-app submit my.yaml --cluster cluster.yaml {endless} --detach")
    record = run.folder / "head/root/runs/ended/record.jsonl"
    until(lambda: record.exists() and '"epoch":2,' in record.read_text())
    out = laptop(run, "tune-app attach --cluster cluster.yaml --stop", code=None)
    assert "ended: running" in out
    assert "0 of 4 configurations ended" in out
    assert "tune-app resume" in out
    laptop(run, "tune-app pull ended --cluster cluster.yaml")
    begun = [a for a in Sweep.open(home / "runs/ended").history.attempts.values() if a.epochs]
    assert begun
    assert all(attempt.saved for attempt in begun)

    laptop(run, "ray down -y cluster.yaml")
    assert "raylet" not in run("run", "head", "ps -eo args")


def listening(run: Run) -> set[int]:
    """The ports of the head that other machines can connect to, but for those of workers."""
    addresses = [line.split()[3] for line in run("run", "head", "ss -Hltn").splitlines()]
    ports = {int(each.rpartition(":")[2]) for each in addresses if not each.startswith(("127.", "[::1]"))}
    return ports - set(range(10002, 20000))


def documented_ports() -> set[int]:
    """ssh, and what the documentation says that the head listens on."""
    text = (ROOT / "docs/reference/clusters.md").read_text()
    table = text.partition("| port | what listens |")[2].partition("\n- ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.strip().startswith("|")]
    return {22} | {int(port) for row in rows for port in re.findall(r"(?<![\d-])\d+(?![\d-])", row)}
