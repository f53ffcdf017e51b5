"""Machines of a cluster, played by namespaces of this one (hosts.sh): nothing leaves it, nothing stays."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_task import TASK

import tune_app

HOSTS = Path(__file__).with_name("hosts.sh")
CODE = Path(tune_app.__file__).parents[1]
TOOLS = ("sshd", "ssh", "ssh-keygen", "rsync", "ip", "unshare", "nsenter", "mount")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MACHINES = ("head", "worker1", "worker2")
#: A task whose batches wait for what the disk of all machines says.
QUICK, HELD = "lambda logits, y: bce(", "lambda logits, y: wait() or bce("
#: Slow enough that each machine gets a trial, and that one can die in mid-trial, until there is ``fast``. The
#: trials of a machine stand still for as long as there is a file ``pause-`` of its name.
WAIT = """
import platform
import time
from pathlib import Path

def wait():
    if not Path("/mnt/fast").exists():
        time.sleep(0.08)
    while Path(f"/mnt/pause-{platform.node()}").exists():
        time.sleep(0.1)
"""


def missing() -> str:
    """Why this cannot be tried here; empty if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for network namespaces"
    tools = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if tools:
        return f"needs {', '.join(tools)}: apt-get install openssh-server openssh-client rsync iproute2"
    if importlib.util.find_spec("opencensus") is None:
        return "needs ray[default]: pip install 'tune-app[cluster]'"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Run:
    """Runs ``hosts.sh`` in a folder of its own; returns what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "HOSTS_DIR": str(folder),
            "HOSTS_VENV": sys.prefix,
            "HOSTS_CODE": str(CODE),
            "HOSTS_SEE": ":".join(path for path in (str(CODE), *sys.path) if Path(path).is_dir()),
            "PATH": PATH,
        }

    def __call__(self, *argv: str, code: int | None = 0) -> str:
        ran = subprocess.run(
            [str(HOSTS), *argv],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        assert code in (None, ran.returncode), f"{argv}: {ran.returncode}\n{ran.stdout[-4000:]}"
        return ran.stdout

    def begin(self, host: str, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Run a command on a host, and do not wait for it; it ends with the host at the latest."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(HOSTS), "run", host, command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def hosts(folder: Path) -> Iterator[Run]:
    """Four hosts, for as long as the context lasts; skips the test where there can be none."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    run = Run(folder)
    try:
        run("up")
        yield run
    finally:
        pids = [int(path.read_text()) for path in run.folder.glob("*/pid")]
        run("down")
    until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])


def task(held: bool = True) -> str:
    """A small task; ``held`` by what the machines' disk says, or at full speed."""
    assert QUICK in TASK
    plain = textwrap.dedent(TASK)
    return WAIT + plain.replace(QUICK, HELD) if held else plain


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def until_nodes(run: Run, count: int) -> None:
    """Wait until so many machines are alive: ``ray up`` returns when the head is."""
    program = (
        "import ray, time; ray.init('auto', log_to_driver=False, logging_level='ERROR')\n"
        f"while sum(node['Alive'] for node in ray.nodes()) < {count}: time.sleep(0.2)"
    )
    run("run", "head", f"python -c {shlex.quote(program)}")
