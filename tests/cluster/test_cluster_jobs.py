"""What a laptop does for a sweep on a cluster, with a client that is made up; the real one: tests/cluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from tune_app import cli
from tune_app.cluster import jobs
from tune_app.engines.ray import addresses, nodes
from tune_app.errors import ClusterError, ResourceError, RunError
from tune_app.version import __version__

JOB = jobs.Job("my-1", "my-1-x", "RUNNING")


class Client:
    """Ray's client, as far as it is used: ``looks`` are status and log at each look."""

    def __init__(self, *looks: tuple[str, str] | Exception, code: int | None = 0) -> None:
        self.looks, self.code = list(looks), code
        self.sent: list[dict[str, Any]] = []
        self.files: set[str] = set()
        self.texts: dict[str, str] = {}

    def get_job_info(self, _: str) -> Any:
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        self.log = look[1]
        return SimpleNamespace(status=look[0], driver_exit_code=self.code, message="gone")

    def get_job_logs(self, _: str) -> str:
        return self.log

    def submit_job(self, **job: Any) -> None:
        self.sent.append(job)
        folder = Path(job["runtime_env"]["working_dir"])
        self.texts = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}

    def list_jobs(self) -> list[Any]:
        def details(name: str | None, start: int) -> Any:
            metadata = {"tune-app run": name} if name else None
            return SimpleNamespace(
                metadata=metadata, submission_id=f"{name}-{start}", status="FAILED", start_time=start
            )

        return [details("my-1", 1), details("other", 2), details("my-1", 3), details(None, 4)]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    made = Client()

    @contextmanager
    def connected(_: Path) -> Iterator[Client]:
        yield made

    monkeypatch.setattr(jobs, "_connected", connected)
    monkeypatch.setattr(jobs, "_LOOK_EVERY_S", 0)
    monkeypatch.chdir(tmp_path)
    return made


def follow(client: Client) -> tuple[int, list[str]]:
    said: list[str] = []
    return jobs.follow(Path("c.yaml"), JOB, said.append), said


def test_lines_are_printed_once_and_whole(client: Client) -> None:
    rays = "2026-01-01 10:00:00,123\tINFO job_manager.py:587 -- Runtime env is setting up.\n"
    client.looks = [("PENDING", ""), ("RUNNING", rays + "one\ntw"), ("RUNNING", rays + "one\ntwo\n")]
    client.looks.append(("SUCCEEDED", rays + "one\ntwo\nthree"))
    assert follow(client) == (0, ["one", "two", "three"])


def test_a_lost_connection_is_made_again(client: Client) -> None:
    client.looks = [
        ("RUNNING", "one\n"),
        ConnectionError("asleep"),
        RuntimeError("waking"),
        ("SUCCEEDED", "one\ntwo\n"),
    ]
    code, said = follow(client)
    assert (code, said[0], said[2:]) == (0, "one", ["two"])
    assert "ConnectionError: asleep" in said[1]


def test_a_connection_that_stays_lost_ends_with_the_mend(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_RECONNECT_WITHIN_S", -1)
    client.looks = [ConnectionError("gone")]
    with pytest.raises(ClusterError, match=r"gone\n  Look again: tune-app attach my-1 --cluster c.yaml"):
        follow(client)


def test_a_cluster_that_was_started_anew_knows_no_job(client: Client) -> None:
    client.looks = [RuntimeError("Job my-1-x does not exist")]
    with pytest.raises(ClusterError, match="was restarted"):
        follow(client)


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("STOPPED", None, 1), ("STOPPED", -15, 1)],
)
def test_the_exit_code_is_that_of_the_sweep(
    client: Client, status: str, driver: int | None, code: int
) -> None:
    client.looks, client.code = [(status, "")], driver
    assert follow(client)[0] == code


def test_a_driver_that_never_came_up_is_told(client: Client) -> None:
    client.looks, client.code = [("FAILED", "")], None
    with pytest.raises(ClusterError, match="did not start, or was lost: gone"):
        follow(client)


def test_the_newest_job_of_a_name_is_found(client: Client) -> None:
    assert jobs.find(Path("c.yaml"), "my-1").id == "my-1-3"
    assert jobs.find(Path("c.yaml"), None).id == "my-1-3"
    assert jobs.find(Path("c.yaml"), "other").over
    with pytest.raises(RunError, match=r'no sweep called "othr".* Did you mean "other"'):
        jobs.find(Path("c.yaml"), "othr")


def test_a_space_travels_as_it_was_asked_for(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("x = 1")
    Path("c.yaml").write_text("cluster_name: a")
    argv = [
        "submit",
        "grid",
        "--cluster",
        "c.yaml",
        "--epochs",
        "3",
        "--set",
        "lr={grid: [0.5]}",
        "--name",
        "it",
    ]
    more = ["--time-limit", "2h", "--wait-for-gpus", "4", "--wait-at-most", "1h", "--data", "/there"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*argv, "--max-concurrent", "2", *more, "--storage", "s3://b/runs", "--detach"])
    assert ended.value.code == 0
    assert "tune-app attach it --cluster c.yaml" in capsys.readouterr().out
    [job] = client.sent
    assert set(client.texts) == {"task-folder/grid.yaml"}, "the task comes with tune-app"
    assert "epochs: 3" in client.texts["task-folder/grid.yaml"]
    assert "0.5" in client.texts["task-folder/grid.yaml"]
    assert "max_concurrent: 2" in client.texts["task-folder/grid.yaml"]
    command = "cd task-folder && exec tune-app run grid.yaml --name it --data /there --split image"
    command += " --time-limit 7200s"
    command += " --wait-for-gpus 4 --wait-at-most 3600s --storage s3://b/runs"
    assert command in job["entrypoint"]
    assert re.fullmatch(r"it-\d{8}-\d{6}", job["submission_id"])
    assert job["metadata"] == {"tune-app run": "it"}


def test_a_task_of_ones_own_travels_with_its_folder(client: Client) -> None:
    Path("mine.py").write_text("x = 1")
    Path("c.yaml").write_text("cluster_name: a")
    Path("my.yaml").write_text("task: mine:task\nspace: {lr: {grid: [1, 2]}}\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["submit", "my.yaml", "--cluster", "c.yaml", "--seeds", "4", "--detach"])
    assert ended.value.code == 0
    sent = client.texts["task-folder/my.yaml"]
    assert "seeds: 4" in sent, "the space as it was asked for, not the file as it stands"
    names = {"mine.py", "my.yaml", "c.yaml"}
    assert set(client.texts) == {f"task-folder/{name}" for name in names}, "not first on Python's path there"
    [job] = client.sent
    assert re.search(r"tune-app run my\.yaml --name my-\d{4}-\d{6} --split image", job["entrypoint"])


@pytest.mark.parametrize(("version", "code"), [(__version__, 7), ("0.0.9", 2)])
def test_another_version_over_there_is_refused(version: str, code: int, tmp_path: Path) -> None:
    tool = tmp_path / "tune-app"
    tool.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "tune-app, version {version}" && exit\nexit 7\n'
    )
    tool.chmod(0o755)
    (tmp_path / "task-folder").mkdir()
    ran = subprocess.run(
        ["/bin/sh", "-c", jobs._entrypoint("tune-app run x.yaml", Path("c.yaml"))],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code
    fix = "Install this version there: ray up c.yaml"
    refused = f"which has {__version__}. {fix}\n  on the cluster: tune-app, version 0.0.9"
    assert (refused in ran.stdout) == (code == 2)


def test_data_is_found_where_it_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/xrays").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    file = tmp_path / "c.yaml"
    file.write_text("cluster_name: a\nfile_mounts: {/root/app: ., /root/data: data}\n")
    assert jobs.mounted(file, "data/xrays") == "/root/data/xrays"
    assert jobs.mounted(file, "data") == "/root/data"
    assert jobs.mounted(file, "phantom") == "phantom"
    with pytest.raises(ClusterError, match=r"(?s)--data else: .*/home/ubuntu/else: else\n .*ray up"):
        jobs.mounted(file, "else")


def test_a_manifest_takes_no_sweep(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("apiVersion: ray.io/v1\nkind: RayJob\n")
    with pytest.raises(ClusterError, match="kubectl apply -f"):
        jobs.find(file, None)


def test_a_cluster_that_is_not_up_says_how_to_start_it(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    local = "provider: {type: local, head_ip: 192.0.2.1, worker_ips: []}\nauth: {ssh_user: nobody}\n"
    file.write_text(f"cluster_name: tune-app-test-never-up\n{local}")
    with pytest.raises(ClusterError, match=r"does not answer. Is it up \(ray up .*\n  Head node of cluster"):
        jobs.find(file, None)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "http://127.0.0.1:8265"])
def test_a_sweep_is_not_driven_from_outside(address: str) -> None:
    with pytest.raises(ResourceError, match="tune-app submit SPACE --cluster"):
        addresses.resolve(address)


GROWTH = """
max_workers: 3
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}}
  gpu: {max_workers: 9, resources: {CPU: 4, GPU: 1}}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GROWTH, nodes.Cluster(12.0, 3.0, 1, grows=True)),
        (GROWTH.replace("9", "0"), nodes.Cluster(2.0, 0.0, 1)),
        ("available_node_types: 3", nodes.Cluster(2.0, 0.0, 1)),
        ("- [", nodes.Cluster(2.0, 0.0, 1)),
        (None, nodes.Cluster(2.0, 0.0, 1)),
    ],
)
def test_a_cluster_is_counted_as_it_can_grow(
    text: str | None, expected: nodes.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "_GROWTH", tmp_path / "growth.yaml")
    if text is not None:
        (tmp_path / "growth.yaml").write_text(text)
    names = {"NodeManagerHostname": "head", "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0}}
    found = [{"NodeID": "ab", "Alive": True, **names}, {"NodeID": "cd", "Alive": False, **names}]
    monkeypatch.setattr(ray, "nodes", lambda: found)
    assert nodes.capacity() == expected
