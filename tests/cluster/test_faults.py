"""Machines that are lost under a sweep: it ends as if nothing had happened, and trains nothing in vain.

A cluster of three loses one machine after another; at the end its head dies, and another machine goes on from
storage.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pandas as pd
import pytest
from facts import lacking
from hosts import Run, hosts, task, until
from lines import epochs_trained_twice

from tune_app import results
from tune_app import space as spaces
from tune_app.session import lifecycle
from tune_app.session.request import Request
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt

SPACE = """
task: mine:Task
space: {lr: {grid: [0.003, 0.006, 0.01, 0.03, 0.06, 0.1]}}
epochs: 14
seeds: 1
keep: last
checkpoint_every: 0
"""
ADDRESS = {"head": "10.77.0.1", "worker1": "10.77.0.2", "worker2": "10.77.0.3"}
#: As in the files of ``clusters/``, but for the dashboard, which is not needed here.
START = (
    "export RAY_AUTH_MODE=disabled RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=3000 "
    "RAY_health_check_failure_threshold=3 RAY_gcs_rpc_server_reconnect_timeout_s=10; "
    "ray start --num-cpus=1 --object-store-memory=100000000 "
)
#: The machine's metadata server, and who asks it; as on AWS, there is nothing of that name until the notice.
METADATA = "latest/meta-data/spot/instance-action"
WATCH = (
    "(python -m http.server 8000 --bind 127.0.0.1 --directory /root/metadata &"
    " exec python -m tune_app.cluster.spot aws http://127.0.0.1:8000)"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]  # a minute each, and much more where the machine has other work


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Three machines that run Ray; /mnt is a disk of all.

    The task is in the ``project`` of those that drive a sweep, and travels to the others.
    """
    with hosts(tmp_path_factory.mktemp("hosts")) as run:
        for name in ("head", "worker1"):
            project = run.folder / name / "root/project"
            project.mkdir()
            (project / "mine.py").write_text(task())
            (project / "my.yaml").write_text(SPACE)
        lead(run, "head")
        join(run, "head", "worker1", "worker2")
        yield run


def lead(run: Run, name: str) -> None:
    run("run", name, f"{START} --head --port=6379 --include-dashboard=false")


def join(run: Run, head: str, *names: str) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: run("run", name, f"{START} --address={ADDRESS[head]}:6379"), names))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The seeds of the same sweep, trained in this process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "mine.py").write_text(task(held=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        space = spaces.parse(SPACE, file="my.yaml", name="my")
        request = Request(space, address="inline", runs_dir=folder / "runs")
        try:
            return seeds(lifecycle.run(request, request.load()).train())
        finally:
            sys.modules.pop("mine", None)  # other tests have a module of that name


def seeds(sweep: Sweep) -> pd.DataFrame:
    return results.load(sweep).seeds.drop(columns=["duration_s", "device"])


class Session:
    """A sweep that a machine drives, and what it has recorded so far."""

    def __init__(self, run: Run, head: str, name: str, command: str) -> None:
        self.folder = run.folder / head / "root/project/runs" / name
        self._log = run.folder / f"{name} on {head}.log"
        self._process = run.begin(head, f"cd project && {command}", self._log)

    def attempts(self) -> list[Attempt]:
        with suppress(Exception):  # it has not begun, or a line is just being written
            return list(Sweep.open(self.folder).history.attempts.values())
        return []

    def attempt(self, trial: str) -> Attempt:
        found = [attempt for attempt in self.attempts() if attempt.trial == trial]
        return found[0] if found else Attempt(trial, 0, (0,), 0, 0, 0.0)

    def until_on(self, machine: str, epochs: int, after: Attempt | None = None) -> Attempt:
        """Wait until a trial on that machine, begun after another, has been saved so often; returns it."""
        found: list[Attempt] = []

        def look() -> bool:
            assert self._process.poll() is None, self.output()
            found[:] = [
                attempt
                for attempt in self.attempts()
                if attempt.device == f"cpu on {machine}" and attempt.end is None and attempt.saved
                if after is None or attempt.started_at > after.last_at
            ]
            return bool(found) and len(found[0].epochs) >= epochs

        until(look)
        return found[0]

    def output(self) -> str:
        """What it has printed; all that it prints, once it has ended."""
        return self._log.read_text()

    def lost(self) -> None:
        """Its machine has died."""
        assert self._process.wait(timeout=20) != 0

    def end(self, undisturbed: pd.DataFrame) -> Sweep:
        """Wait for it, and hold it against the sweep that nothing happened to."""
        code, output = self._process.wait(timeout=200), self.output()
        assert code == 0, output
        assert "6 finished" in output
        sweep = Sweep.open(self.folder)
        assert sweep.statuses() == ["finished"] * 6
        assert epochs_trained_twice(sweep.paths.record) == []
        pd.testing.assert_frame_equal(seeds(sweep), undisturbed)
        return sweep


def begin(run: Run, name: str) -> Session:
    return Session(run, "head", name, f"tune-app run my.yaml --name {name} --storage /mnt")


def pair(sweep: Sweep, lost: Attempt) -> tuple[Attempt, Attempt]:
    """A trial as it was recorded in the end, and the one that went on with it."""
    attempts = sweep.history.configurations[lost.sample].attempts
    place = [attempt.trial for attempt in attempts].index(lost.trial)
    return attempts[place], attempts[place + 1]


def test_one_machine_after_another_is_lost_and_at_last_the_head(
    cluster: Run, undisturbed: pd.DataFrame
) -> None:
    """One test, since the cluster is not the same once its head has died."""
    workers_are_taken_away_killed_and_cut_off(cluster, undisturbed)
    the_head_dies_and_another_machine_takes_over(cluster, undisturbed)


def workers_are_taken_away_killed_and_cut_off(cluster: Run, undisturbed: pd.DataFrame) -> None:
    action = cluster.folder / "worker1/root/metadata" / METADATA
    action.parent.mkdir(parents=True)
    watcher = cluster.begin("worker1", WATCH, cluster.folder / "spot.log")
    session = begin(cluster, "bereft")

    # The cloud wants a machine back, says so, and takes it.
    warned = session.until_on("worker1", 2)
    action.write_text('{"action": "terminate"}')
    until(lambda: session.attempt(warned.trial).end is not None)
    cluster("crash", "worker1")
    watcher.wait(20)

    # Ray is killed on another, and comes back.
    killed = session.until_on("worker2", 2)
    pause = cluster.folder / "shared/pause-head"
    pause.touch()  # else it may have trained all that is left before they are back
    cluster("run", "worker2", "kill -9 $(pidof raylet)")
    cluster("boot", "worker1")
    join(cluster, "head", "worker1", "worker2")

    # A third is cut off from the net, and dies.
    cut = session.until_on("worker2", 2, after=killed)
    pause.unlink()
    cluster("cut", "worker2")
    time.sleep(1.5)  # it trains on, and nobody hears of it
    cluster("crash", "worker2")
    cluster("boot", "worker2")

    (cluster.folder / "shared/fast").touch()
    sweep = session.end(undisturbed)
    assert re.search(r"\b3 CPUs on 3 nodes, 3 trials", session.output()), "no address needs to be given"
    before, then = pair(sweep, warned)
    assert before.saved
    assert before.epoch == before.saved.epoch == then.start_epoch, "not an epoch is lost"
    assert before.reason
    assert lacking(before.reason, ["MachineLeaving", "worker1", "saved"]) == []
    assert before.excused, "it is nothing that the trial has done"
    for lost in (killed, cut):
        before, then = pair(sweep, lost)
        assert before.end == "interrupted"
        assert before.saved
        assert then.start_epoch == before.saved.epoch >= 2


def the_head_dies_and_another_machine_takes_over(cluster: Run, undisturbed: pd.DataFrame) -> None:
    fast = cluster.folder / "shared/fast"
    fast.unlink(missing_ok=True)
    session = begin(cluster, "headless")
    there = cluster.folder / "shared/headless/record"
    ended = re.compile(r'"event":"finished".*?"trial":"([\d.]+)"')
    until(lambda: there.exists() and any(ended.search(p.read_text()) for p in there.glob("*.jsonl")))
    lost = session.until_on("worker1", 4)
    cluster("crash", "head")
    finished = [trial for p in there.glob("*.jsonl") for trial in ended.findall(p.read_text())]
    session.lost()
    cluster("crash", "worker1")
    cluster("boot", "worker1")
    lead(cluster, "worker1")
    join(cluster, "worker1", "worker2")
    fast.touch()
    again = Session(cluster, "worker1", "headless", "tune-app resume headless --storage /mnt --trust")
    sweep = again.end(undisturbed)
    before, then = pair(sweep, lost)
    assert before.saved
    assert then.start_epoch == before.saved.epoch
    assert lost.epoch - before.epoch <= 5, "what the head had not yet put there, two seconds or so"
    assert finished
    assert {sweep.history.attempts[trial].end for trial in finished} == {"finished"}
