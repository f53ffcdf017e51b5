from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tune_app.data.identity import DataIdentity
from tune_app.session import provenance
from tune_app.session.provenance import Gpu, GpuProbe
from tune_app.sweep import code
from tune_app.version import __version__

DATA = DataIdentity("phantom", "phantom", "ab" * 32, 64, "image", {"train": 1800, "val": 200, "test": 400})


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program of that name before all others."""
    path = folder / name
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_collect_says_what_made_a_result_and_is_plain_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = datetime.now(UTC) - timedelta(seconds=1)
    found = provenance.collect(["tune-app", "run", "grid"], DATA, {"beta": 0.9, "amsgrad": False})
    assert before <= datetime.fromisoformat(found["started"]) <= datetime.now(UTC)
    assert found["started"].endswith("+00:00")
    assert found["command"] == ["tune-app", "run", "grid"]
    assert found["directory"] == tmp_path.name
    assert str(tmp_path.parent) not in json.dumps(found)
    assert found["versions"]["tune-app"] == __version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["data"]["fingerprint"] == DATA.fingerprint
    assert found["data"]["counts"] == {"train": 1800, "val": 200, "test": 400}
    assert found["settings"] == {"beta": 0.9, "amsgrad": False}
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["memory_bytes"] > 1 << 28
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))


def test_collect_imports_neither_torch_nor_ray() -> None:
    script = (
        "import sys; from tune_app.data import identity; from tune_app.session import provenance;"
        "provenance.collect([], identity.NO_DATA, {});"
        "print(sorted({'torch', 'ray', 'optuna', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_versions_are_those_installed_and_none_for_what_is_missing() -> None:
    import numpy as np

    assert provenance.versions()["numpy"] == np.__version__
    assert code.version("no-such-package-anywhere") is None


def test_git_state_through_the_life_of_a_repository(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) is None
    git(tmp_path, "init")
    assert provenance.git_state(tmp_path) == {"commit": None, "branch": "main", "dirty": False}
    (tmp_path / "a.py").write_text("1\n", encoding="utf-8")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.git_state(tmp_path) == {"commit": commit, "branch": "main", "dirty": False}
    (tmp_path / "untracked.csv").write_text("1\n", encoding="utf-8")
    assert provenance.git_state(tmp_path) == {"commit": commit, "branch": "main", "dirty": False}
    (tmp_path / "a.py").write_text("2\n", encoding="utf-8")
    git(tmp_path, "checkout", "--detach")
    assert provenance.git_state(tmp_path) == {"commit": commit, "branch": None, "dirty": True}


def test_git_state_without_git_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(tmp_path) is None


def test_gpus_are_read_from_the_drivers_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = "0, NVIDIA RTX 4090, 24564, 560.35.03\n1, NVIDIA GH200, [N/A], 560.35.03\n"
    program(tmp_path, "nvidia-smi", f"printf '{listing}'\n", monkeypatch)
    assert provenance.gpus() == GpuProbe(
        (
            Gpu(0, "NVIDIA RTX 4090", 24564 << 20, "560.35.03"),
            Gpu(1, "NVIDIA GH200", None, "560.35.03"),
        )
    )


def test_a_driver_that_does_not_answer_is_a_fault_and_not_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "nvidia-smi", "echo 'NVIDIA-SMI has failed.'; exit 9\n", monkeypatch)
    assert provenance.gpus() == GpuProbe(fault="NVIDIA-SMI has failed.")
    assert provenance.hardware()["gpus_fault"] == "NVIDIA-SMI has failed."
    program(tmp_path, "nvidia-smi", "exit 9\n", monkeypatch)
    assert provenance.gpus() == GpuProbe(fault="nvidia-smi ended with 9")


def test_without_a_driver_there_is_no_gpu_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.gpus() == GpuProbe()
    assert "gpus_fault" not in provenance.hardware()


def test_cpu_model_is_the_kernels_name_for_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nmodel name\t: A CPU @ 3: GHz\nmodel name\t: other\n", encoding="utf-8"
    )
    assert provenance.cpu_model(cpuinfo) == "A CPU @ 3: GHz"
    assert provenance.cpu_model(tmp_path / "missing")


def test_memory_is_none_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def untold(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.sysconf", untold)
    assert provenance.memory_bytes() is None
