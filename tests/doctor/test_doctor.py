"""All checks of a machine together."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from machines import torch

from tune_app import doctor
from tune_app.doctor import Check, Probe, checks
from tune_app.session import provenance
from tune_app.session.provenance import Gpu, GpuProbe
from tune_app.sweep import code

GPUS = GpuProbe((Gpu(0, "RTX 4090", 24 << 30, "560.35"), Gpu(1, "RTX 4090", None, "560.35")))


RAY = Probe({"cpus": 1, "gpus": 0})


def by_name(found: list[Check]) -> dict[str, Check]:
    return {each.name: each for each in found}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose torch and Ray answer at once, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(provenance, "gpus", GpuProbe)
    monkeypatch.setattr(
        checks,
        "run_probe",
        lambda program: torch(None, 0) if "cuda" in program else RAY,
    )
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_this_very_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real thing, Ray started included: everything that the test suite itself needs is in order."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = by_name(doctor.check_machine(tmp_path / "runs"))
    assert {name for name, each in found.items() if each.status == "problem"} <= {"GPUs"}
    assert re.search(r"\b[1-9]\d* CPUs, \d+ GPUs", found["Ray"].found)
    assert provenance.versions()["torch"] is not None
    assert found["torch"].found.startswith(str(provenance.versions()["torch"]).partition("+")[0])
    assert not (tmp_path / "runs").exists()


def test_checks_hands_each_fact_to_its_verdict(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://far:10001")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(provenance, "gpus", lambda: GPUS)
    monkeypatch.setattr(checks, "run_probe", lambda program: torch("12.6", 0) if "cuda" in program else RAY)
    monkeypatch.setattr(provenance, "memory_bytes", lambda: 1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100 << 20))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    found = by_name(doctor.check_machine(quiet / "new" / "runs", "course"))
    told = {name: each.status for name, each in found.items() if each.status != "ok"}
    assert told == {
        "GPUs": "warning",
        "CPU, memory": "warning",
        "shared memory": "warning",
        "disk": "warning",
        "data": "problem",
        "RAY_ADDRESS": "warning",
    }
    assert not (quiet / "new").exists()
    assert found["data"].fix == "tune-app data fetch"


def test_ray_is_not_tried_on_windows(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    asked: list[str] = []

    def ask(program: str) -> Probe:
        asked.append(program)
        return torch(None, 0)

    monkeypatch.setattr(checks, "run_probe", ask)
    found = by_name(doctor.check_machine(quiet))
    assert [program for program in asked if "ray" in program] == []
    assert "/dev/shm" in found["shared memory"].found
    assert (found["Ray"].status, found["Ray"].fix) == ("ok", "")
    assert str(code.version("ray")) in found["Ray"].found


def test_a_disk_that_cannot_be_asked_is_told(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert by_name(doctor.check_machine(quiet))["disk"].status == "warning"
