"""A sweep on a cluster, conducted from a laptop that may be closed: sent as a Ray job, watched, brought home.

The driver runs on the cluster's head. The laptop reaches the head's dashboard, which listens there alone,
by the tunnel that ``ray dashboard`` opens through ssh, and needs it only to start and to look. Each function
raises ClusterError where the cluster does not answer; its ``file`` is the one for ``ray up``.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_app.cluster.cluster_file import ClusterFile, read
from tune_app.engines.ray import working_dir
from tune_app.errors import ClusterError, RunError, describe, nearest
from tune_app.tasks.task_folder import TRAVELLED
from tune_app.text import Notify
from tune_app.version import __version__

#: Where the run folders of sent sweeps lie, in the home folder of the head.
RUNS = "runs"

#: Ray's command, of the same environment as this one.
_RAY = (sys.executable, "-m", "ray.scripts.scripts")
_RUN = "tune-app run"  # the job's metadata: the name of its run
_CONNECT_WITHIN_S = 90.0
_LOOK_EVERY_S = 1.0
#: How long a lost connection is tried again: a laptop that wakes up needs a while.
_RECONNECT_WITHIN_S = 600.0
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
#: What Ray itself writes into a job's log.
_RAYS_OWN = re.compile(
    r"\d{4}-\d\d-\d\d [\d:,]+\s+(INFO|WARNING) \w+\.py:\d+ -- |Running entrypoint for job "
)


@dataclass(frozen=True)
class Job:
    """A sweep that was sent: the name of its run, Ray's id of the job, and how that stands."""

    name: str
    id: str
    status: str

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in _ENDED


def mounted(file: Path, data: str) -> str:
    """Where a cluster has a folder of this machine, by ``file_mounts``; a name of its own as it is.

    Raises:
        ClusterError: the folder is here, and the cluster has no copy of it.
    """
    if not Path(data).exists():
        return data
    path = Path(data).resolve()
    for remote, local in _launcher_file(file).mapping("file_mounts").items():
        root = Path(str(local)).expanduser().resolve()
        if path.is_relative_to(root) and root != Path.cwd().resolve():
            return str(Path(remote) / path.relative_to(root))
    raise ClusterError(
        f"--data {data}: the cluster has no copy of this folder. Add a line to file_mounts in {file}, as in\n"
        f"  /home/ubuntu/{path.name}: {data}\n  and copy it there: ray up {file}"
    )


def submit(
    file: Path, name: str, space: str, text: str, options: list[str], modules: Path | None = None
) -> Job:
    """Send the run ``name``: ``tune-app run`` with these options, on the head of the cluster.

    Args:
        space: name of the space, ``text`` its content.
        modules: the folder of the user's own task, which travels too; None for one that comes with tune-app.

    Raises:
        TaskError: the folder holds more than can travel.
    """
    job = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    run = shlex.join(["tune-app", "run", f"{space}.yaml", "--name", name, *options])
    # A stopped job has the time to save its trials.
    environment = {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": "60"}
    with tempfile.TemporaryDirectory(prefix="tune-app-job-") as folder, _connected(file) as client:
        travelled = Path(folder) / TRAVELLED
        if modules is not None:
            working_dir.pack(modules, travelled)
        travelled.mkdir(exist_ok=True)
        (travelled / f"{space}.yaml").write_text(text, encoding="utf-8")
        client.submit_job(
            entrypoint=_entrypoint(run, file),
            submission_id=job,
            runtime_env={"working_dir": folder, "env_vars": environment},
            metadata={_RUN: name},
        )
    return Job(name, job, "PENDING")


def _entrypoint(run: str, file: Path) -> str:
    """The job's command: the same tune-app as here, or an error that says how to fix it."""
    refusal = (
        f"tune-app: the cluster has another version of tune-app than your machine, which has {__version__}. "
        f"Install this version there: ray up {file}"
    )
    return (
        f'v=$(tune-app --version 2>&1); if [ "$v" != "tune-app, version {__version__}" ]; '
        f'then echo {shlex.quote(refusal)}; echo "  on the cluster: $v"; exit 2; fi; '
        f'cd {TRAVELLED} && exec {run} --runs-dir "$HOME/{RUNS}"'
    )


def find(file: Path, name: str | None) -> Job:
    """The newest job of a run, or of all that were sent. Raises RunError where there is none."""
    with _connected(file) as client:
        sent = [each for each in client.list_jobs() if each.submission_id and _RUN in (each.metadata or {})]
    sent.sort(key=lambda each: each.start_time or 0, reverse=True)
    jobs = [Job(each.metadata[_RUN], each.submission_id, str(each.status)) for each in sent]
    if not jobs:
        raise RunError(
            f"{file}: no sweep was submitted here. Submit one: tune-app submit SPACE --cluster {file}"
        )
    for job in jobs:
        if name in (None, job.name):
            return job
    names = list(dict.fromkeys(job.name for job in jobs))
    hint = nearest(str(name), names)
    raise RunError(f'no sweep called "{name}" was submitted.{hint}\n  Submitted: {", ".join(names)}')


def stop(file: Path, job: Job) -> None:
    """Ask a sweep to end in good order, as Ctrl-C would."""
    with _connected(file) as client:
        client.stop_job(job.id)


def follow(file: Path, job: Job, notify: Notify) -> int:
    """Print what a job prints until it ends; returns its exit code. A lost connection is made again."""
    printed, lost_at, over = 0, 0.0, False
    details: Any = None
    while not over:
        try:
            with _connected(file) as client:
                while not over:
                    details = client.get_job_info(job.id)  # first: what it printed before its end is there
                    log, over = client.get_job_logs(job.id), str(details.status) in _ENDED
                    end = len(log) if over else log.rfind("\n") + 1
                    for line in log[printed:end].splitlines():
                        if line and not _RAYS_OWN.match(line):
                            notify(line)
                    printed, lost_at = max(printed, end), 0.0
                    time.sleep(0 if over else _LOOK_EVERY_S)
        except (ClusterError, ConnectionError, RuntimeError, OSError) as error:
            if "does not exist" in str(error):
                raise ClusterError(
                    f"{file}: the cluster was restarted, and does not know the job {job.id}."
                ) from error
            if not lost_at:
                notify(f"note: the connection is lost ({describe(error)}); the sweep continues, trying again")
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > _RECONNECT_WITHIN_S:
                raise ClusterError(
                    f"the connection is lost: {describe(error)}\n"
                    f"  Look again: tune-app attach {job.name} --cluster {file}"
                ) from error
            time.sleep(_LOOK_EVERY_S)
    code, status = details.driver_exit_code, str(details.status)
    if code is None and status == "FAILED":
        raise ClusterError(f"the sweep's process did not start, or was lost: {details.message}")
    return 0 if status == "SUCCEEDED" else code if code and 0 < code < 256 else 1


def pull(file: Path, name: str, runs_dir: Path) -> Path:
    """Copy a run's folder from the cluster's head, as it stands; returns where it is now."""
    if shutil.which("rsync") is None:
        fix = "Install it: apt-get install rsync, or brew install rsync"
        raise ClusterError(f"rsync is not installed here. {fix}")
    target = runs_dir / name
    existed = target.exists()
    target.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        [*_RAY, "rsync-down", str(file), f"{RUNS}/{name}/", f"{target}/"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        check=False,
    )
    if ran.returncode or not (target / "record.jsonl").is_file():
        if not existed:
            with suppress(OSError):
                target.rmdir()
        raise ClusterError(
            f"{file}: the run {name} could not be copied from ~/{RUNS} on the head. Is it up, and is "
            f"this its name (tune-app attach --cluster {file})?\n  {_last_lines(ran.stdout)}"
        )
    return target


@contextmanager
def _connected(file: Path) -> Iterator[Any]:
    """A client for the jobs of a cluster, through a tunnel that is open for as long as the context lasts."""
    _launcher_file(file)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as output:
        tunnel = subprocess.Popen(
            [*_RAY, "dashboard", str(file), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # a group of its own, with its ssh: ended together
        )
        try:
            deadline = time.monotonic() + _CONNECT_WITHIN_S
            client = None
            while client is None:
                with suppress(ConnectionError, RuntimeError, OSError):
                    client = JobSubmissionClient(f"http://127.0.0.1:{port}")
                if client is None and (tunnel.poll() is not None or time.monotonic() > deadline):
                    output.seek(0)
                    reason = _last_lines(output.read()).rpartition("The exception is: ")[2]
                    raise ClusterError(
                        f"{file}: the cluster does not answer. Is it up (ray up {file}), and was it started "
                        f"from this machine?\n  {reason}"
                    )
                time.sleep(0 if client else 0.2)
            yield client
        finally:
            with suppress(ProcessLookupError):
                os.killpg(tunnel.pid, signal.SIGTERM)
            tunnel.wait()


def _launcher_file(file: Path) -> ClusterFile:
    document = read(file)[0]
    if "apiVersion" in document.values:
        raise ClusterError(f"{file}: is for Kubernetes. Start its RayJob with: kubectl apply -f {file}")
    return document


def _environment() -> dict[str, str]:
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}


def _last_lines(output: bytes) -> str:
    """The last lines of what a command printed, for an error's message."""
    text = re.sub(r"\x1b\[[\d;]*m", "", output.decode(errors="replace"))
    return "\n  ".join([line.rstrip() for line in text.splitlines() if line.strip()][-4:])
