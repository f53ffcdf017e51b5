"""``cluster.yaml`` through ``ray up``, against an EC2 that moto plays and machines that namespaces play.

It launches a head and nothing else; a sweep that asks for GPUs has spot workers started; they go when idle.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import MACHINES, Run, hosts, until

from tune_app.sweep import Sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CLOUD = Path(__file__).with_name("cloud.py")
ENDPOINT = (
    "AWS_ENDPOINT_URL=http://10.77.0.254:5000 AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing "
    "AWS_DEFAULT_REGION=us-west-2"
)

#: Each trial waits until both workers have one.
TASK = """
import platform
import time
from pathlib import Path

def task(config, context):
    begun = Path("/mnt/begun")
    begun.mkdir(exist_ok=True)
    (begun / platform.node()).touch()
    deadline = time.monotonic() + 120
    while len(list(begun.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    yield {"val_accuracy": config["level"]}
"""
SPACE = """
task: mine:task
space: {level: {grid: [0.1, 0.2, 0.3]}}
epochs: 1
seeds: 1
resources: {gpus_per_trial: 1}
"""


class Machines:
    """Gives each instance that is launched a host: its address, and the key that it may be entered with."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._free = list(MACHINES)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.launched: dict[str, dict[str, Any]] = {}
        self.instances: dict[str, dict[str, Any]] = {}
        self.error: Exception | None = None

    def __enter__(self) -> Machines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def running(self) -> dict[str, dict[str, Any]]:
        return {name: each for name, each in self.instances.items() if each["state"] == "running"}

    def _work(self) -> None:
        file = self._run.folder / "laptop/root/instances.json"
        while not self._over.wait(0.3):
            try:
                if file.exists():
                    self.instances = json.loads(file.read_text())
                    for name, each in self.instances.items():
                        if each["state"] == "running" and name not in self.launched:
                            self.launched[name] = each
                            self._take(each["ip"])
            except Exception as error:  # noqa: BLE001 - told at the end of the test
                self.error = error
                return

    def _take(self, ip: str) -> None:
        host = self._free.pop(0)
        inside(self._run, host, f"addr add {ip}/16 dev eth0")
        inside(self._run, host, f"route replace default via 10.77.0.254 src {ip}")
        [key] = (self._run.folder / "laptop/root/.ssh").glob("*.pem")
        public = subprocess.check_output(["ssh-keygen", "-y", "-f", str(key)], text=True)
        with (self._run.folder / host / "root/.ssh/authorized_keys").open("a") as file:
            file.write(public)


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Hosts, EC2 on the laptop, and in its ``project`` a task, a space and the cluster's file."""
    wanted = ("moto", "boto3", "flask", "flask_cors")
    absent = [name for name in wanted if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}: pip install 'tune-app[dev]'")
    with hosts(tmp_path_factory.mktemp("aws")) as run:
        home = run.folder / "laptop/root"
        (home / "cloud.py").write_text(CLOUD.read_text())
        start = "MOTO_IAM_LOAD_MANAGED_POLICIES=true nohup python cloud.py instances.json >cloud.log 2>&1 &"
        run("run", "laptop", f"cd /root; {start}")
        inside(run, "laptop", "route add 172.31.0.0/16 dev br0 src 10.77.0.254")
        until(lambda: (home / "instances.json").exists())
        (home / "project").mkdir()
        (home / "project/mine.py").write_text(TASK)
        (home / "project/my.yaml").write_text(SPACE)
        find = "import boto3; print(boto3.client('ec2').describe_images()['Images'][0]['ImageId'])"
        image = run("run", "laptop", f"{ENDPOINT} python -c {shlex.quote(find)}").split()[-1]
        (home / "project/cluster.yaml").write_text(cluster_file(image))
        yield run


def inside(run: Run, host: str, command: str) -> None:
    """Run ``ip`` in a host's network."""
    pid = (run.folder / host / "pid").read_text().strip()
    subprocess.run(["nsenter", "-t", pid, "-n", "ip", *command.split()], check=True)


def cluster_file(image: str) -> str:
    """The shipped file with its marked lines set, and with what these machines have in place of a cloud's."""
    text = (ROOT / "cluster.yaml").read_text()
    for pattern, replacement in (
        (r"  # CHANGE:.*", ""),
        (r"ami-0+", image),
        (r"max_workers: 4", "max_workers: 2"),
        (r"idle_timeout_minutes: 5", "idle_timeout_minutes: 0.1"),
        (r"  type: aws", "  type: aws\n  use_internal_ips: true"),
        (r"ssh_user: ubuntu", "ssh_user: root"),
        (r"/home/ubuntu/tune-app: \.", "/root/project: ."),
        (r"\nsetup_commands:\n(  - .*\n)+", "\nsetup_commands: ['python -c \"import tune_app, ray\"']\n"),
        (r"head_setup_commands:\n(  - .*\n)+", "head_setup_commands: ['python -c \"import boto3\"']\n"),
        (
            r"export RAY_USAGE_STATS_ENABLED=0",
            f"export {ENDPOINT} AUTOSCALER_UPDATE_INTERVAL_S=1 RAY_USAGE_STATS_ENABLED=0",
        ),
        (r"--object-manager-port=8076", "--object-manager-port=8076 --object-store-memory=200000000"),
    ):
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    return text


def laptop(run: Run, command: str, code: int | None = 0) -> str:
    return run("run", "laptop", f"cd project && export {ENDPOINT} && {command}", code=code)


def described(instances: dict[str, dict[str, Any]]) -> list[tuple[str, str | None]]:
    return sorted((each["type"], each["lifecycle"]) for each in instances.values())


@pytest.mark.timeout(900)
def test_gpu_machines_come_for_a_sweep_and_go(run: Run) -> None:
    with Machines(run) as machines:
        laptop(run, "ray up -y cluster.yaml")
        assert described(machines.running()) == [("m6i.large", None)]

        out = laptop(run, "tune-app submit my.yaml --cluster cluster.yaml --name sent")
        assert "on up to 2 GPUs" in out
        assert "3 finished" in out
        assert described(machines.launched) == [("g5.xlarge", "spot")] * 2 + [("m6i.large", None)]
        assert min(each["disk_gb"] for each in machines.launched.values()) >= 100
        assert [each["open_to_the_world"] for each in machines.launched.values()] == [["22"]] * 3

        laptop(run, "tune-app pull sent --cluster cluster.yaml")
        sweep = Sweep.open(run.folder / "laptop/root/project/runs/sent")
        devices = {attempt.device for attempt in sweep.history.attempts.values()}
        assert devices == {"cpu (gpu 0) on worker1", "cpu (gpu 0) on worker2"}

        until(lambda: len(machines.running()) == 1)
        laptop(run, "ray down -y cluster.yaml")
        until(lambda: not machines.running())
        assert machines.error is None
