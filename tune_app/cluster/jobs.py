"""A sweep on a cluster, conducted from a laptop that may be closed: sent as a Ray job, watched, brought home.

The driver runs on the cluster's head. The laptop reaches the head's dashboard, which listens there alone,
by the tunnel that ``ray dashboard`` opens through ssh, and needs it only to start and to look.
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

from tune_app.cluster.cluster_file import read
from tune_app.engines.ray import working_dir
from tune_app.errors import ClusterError, RunError, describe, nearest
from tune_app.tasks.task_folder import TRAVELLED
from tune_app.text import Notify
from tune_app.version import __version__

#: Where the run folders of sent sweeps lie, in the home folder of the head.
RUNS = "runs"

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
    started_ms: int = 0

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in _ENDED


def mounted(file: Path, data: str) -> str:
    """Where a cluster has a folder of this machine, by ``file_mounts``; a name of its own as it is.

    Raises:
        ClusterError: the folder is here, and the cluster has no copy of it.
    """
    path = Path(data)
    if not path.exists():
        return data
    mounts = _launcher_file(file).get("file_mounts") or {}
    for remote, local in mounts.items():
        root = Path(str(local)).expanduser().resolve()
        if path.resolve().is_relative_to(root) and root != Path.cwd().resolve():
            return str(Path(str(remote)) / path.resolve().relative_to(root))
    raise ClusterError(
        f"--data {data}: the cluster has no copy of this folder. Add a line to file_mounts in {file}, as in\n"
        f"  /home/ubuntu/{path.resolve().name}: {data}\n"
        f"  and copy it there: ray up {file}"
    )


def submit(
    file: Path, name: str, space: str, text: str, options: list[str], modules: Path | None = None
) -> Job:
    """Send a sweep: ``tune-app run`` with these options, on the head, and the user's own modules with it.

    Args:
        file: of the cluster, for ``ray up``.
        name: of the run.
        space: name of the space, ``text`` its content.
        modules: the folder of the user's own task; None for one that comes with tune-app.

    Raises:
        ClusterError: the cluster does not answer.
        TaskError: the folder holds more than can travel.
    """
    with tempfile.TemporaryDirectory(prefix="tune-app-job-") as folder, _connected(file) as client:
        if modules is not None:
            working_dir.pack(modules, Path(folder) / TRAVELLED)
        (Path(folder) / TRAVELLED).mkdir(exist_ok=True)
        (Path(folder) / TRAVELLED / f"{space}.yaml").write_text(text, encoding="utf-8")
        run = ["tune-app", "run", f"{space}.yaml", "--name", name, *options]
        job = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        client.submit_job(
            entrypoint=_entrypoint(shlex.join(run), file),
            submission_id=job,
            runtime_env={
                "working_dir": folder,
                # A stopped job has the time to save its trials.
                "env_vars": {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": "60"},
            },
            metadata={_RUN: name},
        )
    return Job(name, job, "PENDING")


def _entrypoint(run: str, file: Path) -> str:
    """The job's command: the same tune-app as here, or an error that says how to fix it."""
    expected = f"tune-app, version {__version__}"
    refusal = (
        f"tune-app: the cluster has another version of tune-app than your machine, which has {__version__}. "
        f"Bring this one there: ray up {file}"
    )
    return (
        f'v=$(tune-app --version 2>&1); if [ "$v" != {shlex.quote(expected)} ]; '
        f'then echo {shlex.quote(refusal)}; echo "  over there: $v"; exit 2; fi; '
        f'cd {TRAVELLED} && exec {run} --runs-dir "$HOME/{RUNS}"'
    )


def find(file: Path, name: str | None) -> Job:
    """The newest job of a run, or of all that were sent.

    Raises:
        ClusterError: the cluster does not answer.
        RunError: there is none.
    """
    with _connected(file) as client:
        jobs = _jobs(client)
    if not jobs:
        raise RunError(f"{file}: no sweep was sent there. Send one: tune-app submit SPACE --cluster {file}")
    named = [job for job in jobs if name in (None, job.name)]
    if not named:
        names = list(dict.fromkeys(job.name for job in jobs))
        raise RunError(
            f'no sweep called "{name}" was sent.{nearest(str(name), names)}\n  Sent: {", ".join(names)}'
        )
    return named[0]


def _jobs(client: Any) -> list[Job]:
    """Sent sweeps, newest first."""
    details = [each for each in client.list_jobs() if each.submission_id and _RUN in (each.metadata or {})]
    jobs = [Job(d.metadata[_RUN], d.submission_id, str(d.status), d.start_time or 0) for d in details]
    return sorted(jobs, key=lambda job: job.started_ms, reverse=True)


def stop(file: Path, job: Job) -> None:
    """Ask a sweep to end in good order, as Ctrl-C would.

    Raises:
        ClusterError: the cluster does not answer.
    """
    with _connected(file) as client:
        client.stop_job(job.id)


def follow(file: Path, job: Job, notify: Notify) -> int:
    """Print what a job prints until it ends; returns its exit code. A lost connection is made again.

    Raises:
        ClusterError: the cluster does not answer any more.
    """
    told = 0
    lost_at: float | None = None
    over: Any = None
    while over is None:
        try:
            with _connected(file) as client:
                while over is None:
                    details = client.get_job_info(
                        job.id
                    )  # first: what it printed before its end is then there
                    over = details if str(details.status) in _ENDED else None
                    told = _notify_new(client.get_job_logs(job.id), told, bool(over), notify)
                    lost_at = None
                    if not over:
                        time.sleep(_LOOK_EVERY_S)
        except (ClusterError, ConnectionError, RuntimeError, OSError) as error:
            if "does not exist" in str(error):
                raise ClusterError(f"{file}: the cluster was started anew, and knows no {job.id}.") from error
            now = time.monotonic()
            if lost_at is None:
                notify(f"note: the connection is lost ({describe(error)}); the sweep goes on, trying again")
            lost_at = lost_at or now
            if now - lost_at > _RECONNECT_WITHIN_S:
                raise ClusterError(
                    f"the connection is lost: {describe(error)}\n"
                    f"  Look again: tune-app attach {job.name} --cluster {file}"
                ) from error
            time.sleep(_LOOK_EVERY_S)
    return _exit_code(over)


def _notify_new(log: str, told: int, over: bool, notify: Notify) -> int:
    """Print the whole lines of a log from a character on; returns from where the next time."""
    end = len(log) if over else log.rfind("\n") + 1
    for line in log[told:end].splitlines():
        if line and not _RAYS_OWN.match(line):
            notify(line)
    return max(told, end)


def _exit_code(details: Any) -> int:
    if str(details.status) == "SUCCEEDED":
        return 0
    if details.driver_exit_code is None and str(details.status) == "FAILED":
        raise ClusterError(f"the sweep's process did not come up or was lost: {details.message}")
    code = details.driver_exit_code
    return code if code is not None and 0 < code < 256 else 1


def pull(file: Path, name: str, runs_dir: Path) -> Path:
    """Copy a run's folder from the cluster's head, as it stands; returns where it is now.

    Raises:
        ClusterError: the cluster does not answer, or has no such run.
    """
    if shutil.which("rsync") is None:
        raise ClusterError(
            "rsync is not installed here. Install it: apt-get install rsync, or brew install rsync"
        )
    target = runs_dir / name
    existed = target.exists()
    target.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        [_ray(), "rsync-down", str(file), f"{RUNS}/{name}/", f"{target}/"],
        capture_output=True,
        text=True,
        errors="replace",
        env=_environment(),
        check=False,
    )
    if ran.returncode or not (target / "record.jsonl").is_file():
        if not existed:
            with suppress(OSError):
                target.rmdir()
        raise ClusterError(
            f"{file}: the run {name} could not be copied from ~/{RUNS} on the head. Is it up, and is "
            f"this its name (tune-app attach --cluster {file})?\n  {_last_words(ran.stdout + ran.stderr)}"
        )
    return target


# ---------------------------------------------------------------- the tunnel


@contextmanager
def _connected(file: Path) -> Iterator[Any]:
    """A client for the jobs of a cluster, for as long as the context lasts.

    Raises:
        ClusterError: it cannot be reached.
    """
    _launcher_file(file)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as output:
        tunnel = subprocess.Popen(
            [_ray(), "dashboard", str(file), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # a group of its own, with its ssh: ended together
        )
        try:
            deadline = time.monotonic() + _CONNECT_WITHIN_S
            while True:
                with suppress(ConnectionError, RuntimeError, OSError):
                    client = JobSubmissionClient(f"http://127.0.0.1:{port}")
                    break
                if tunnel.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    said = _last_words(output.read().decode(errors="replace"))
                    raise ClusterError(
                        f"{file}: the cluster does not answer. Is it up (ray up {file}), and was it started "
                        f"from this machine?\n  {said.rpartition('The exception is: ')[2]}"
                    )
                time.sleep(0.2)
            yield client
        finally:
            with suppress(ProcessLookupError):
                os.killpg(tunnel.pid, signal.SIGTERM)
            tunnel.wait()


def _launcher_file(file: Path) -> Any:
    document = read(file)[0]
    if "apiVersion" in document.values:
        raise ClusterError(f"{file}: is for Kubernetes, which takes its RayJob: kubectl apply -f {file}")
    return document


def _ray() -> str:
    """Ray's command of the same environment as this one."""
    beside = Path(sys.executable).with_name("ray")
    found = str(beside) if beside.exists() else shutil.which("ray")
    if found is None:
        raise ClusterError("the command ray is not installed here. Install it: pip install 'ray[tune]'")
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}


def _last_words(text: str) -> str:
    """The last lines of what a command printed, for an error's message."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in text.splitlines()]
    return "\n  ".join([line for line in lines if line.strip()][-4:]) or "it said nothing"
