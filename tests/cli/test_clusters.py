"""Commands for clusters; what they call is tested in tests/cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import commands
import pytest
from commands import Tool

from tune_app.cluster import jobs
from tune_app.cluster.jobs import Job

tool = commands.tool

JOB = Job("mine", "id", "RUNNING")
AT = ("--cluster", "c.yaml")


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the jobs that are stopped, on a cluster where one runs."""
    names: list[str] = []
    monkeypatch.setattr(jobs, "find", lambda file, name: JOB)
    monkeypatch.setattr(jobs, "stop", lambda file, job: names.append(job.name))
    monkeypatch.setattr(jobs, "follow", lambda file, job, say: 3)
    return names


def test_attach_ends_with_the_exit_code_of_the_sweep(tool: Tool, stopped: list[str]) -> None:
    assert "tune-app pull mine --cluster c.yaml" in tool("attach", *AT, code=3)
    assert stopped == []
    tool("attach", "mine", *AT, "--stop", code=3)
    assert stopped == ["mine"]


def test_ctrl_c_does_not_stop_the_sweep(
    tool: Tool, stopped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "follow", interrupted)
    assert "tune-app attach mine --cluster c.yaml --stop" in tool("attach", *AT, code=130)
    assert stopped == []


def test_a_run_is_copied_into_the_folder_of_runs(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "pull", lambda file, name, runs_dir: Path(runs_dir) / name)
    assert "tune-app show here/mine" in tool("pull", "mine", *AT, "--runs-dir", "here")
