"""What is found on a machine, and what is said of each fact."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from facts import lacking
from machines import torch

from tune_app import doctor
from tune_app.doctor import Check, Probe, checks
from tune_app.session.provenance import Gpu, GpuProbe

GPUS = GpuProbe((Gpu(0, "RTX 4090", 24 << 30, "560.35"), Gpu(1, "RTX 4090", None, "560.35")))


BROKEN = Probe(fault="ImportError: libtorch.so: cannot open shared object file")


@pytest.mark.parametrize(
    ("check", "status", "found", "fix"),
    [
        (checks.check_system("Windows"), "warning", "Windows", "WSL2"),
        (checks.check_system("FreeBSD"), "warning", "FreeBSD", "inline"),
        (checks.check_system("Darwin"), "ok", "", ""),
        (checks.check_torch(BROKEN), "problem", "libtorch.so", "pip install"),
        (checks.check_torch(torch("12.6")), "ok", "12.6", ""),
        (checks.check_torch(torch(None, 0)), "ok", "CPU", ""),
        (checks.check_gpus(GpuProbe(), torch(None, 0)), "ok", "CPU", ""),
        (checks.check_gpus(GpuProbe(), torch("6.2", 1)), "ok", "1", ""),
        (checks.check_gpus(GPUS, torch()), "ok", "0: RTX 4090 (24.0 GiB), 1: RTX 4090", ""),
        (checks.check_gpus(GPUS, torch(None, 0)), "problem", "0 of 2", "CPU"),
        (checks.check_gpus(GPUS, torch(None, 0), ""), "problem", "0 of 2", "CPU"),
        (checks.check_gpus(GPUS, torch("12.6", 0)), "problem", "0 of 2", "560.35"),
        (
            checks.check_gpus(GPUS, torch("12.6", 1), "1"),
            "warning",
            "1 of 2 (0: RTX",
            "CUDA_VISIBLE_DEVICES",
        ),
        (checks.check_gpus(GpuProbe(fault="no driver"), torch()), "problem", "no driver", "--gpus all"),
        (checks.check_gpus(GPUS, BROKEN), "ok", "RTX 4090", ""),
        (checks.check_ray(None, None, torch()), "problem", "not installed", "pip install"),
        (checks.check_ray("2.60", BROKEN, BROKEN), "warning", "2.60", "torch"),
        (checks.check_ray("2.60", BROKEN, torch()), "problem", "ImportError: libtorch.so", "inline"),
        (
            checks.check_ray("2.60", Probe({"cpus": 8.0, "gpus": 1.0}), torch()),
            "ok",
            "8 CPUs, 1 GPUs",
            "",
        ),
        (checks.check_processor(1, 2 << 30), "warning", "1 core, 2.0 GiB", "--max-concurrent 1"),
        (checks.check_processor(8, None), "ok", "8 cores", ""),
        (checks.check_processor(8, 64 << 30), "ok", "8 cores, 64.0 GiB", ""),
        (checks.check_shared_memory(64 << 20), "warning", "64 MiB free", "--shm-size"),
        (checks.check_shared_memory(8 << 30), "ok", "8.0 GiB free", ""),
        (checks.check_shared_memory(None), "ok", "no /dev/shm", ""),
        (checks.check_disk(Path("/"), 1 << 30), "warning", "1.0 GiB free at /", "--runs-dir"),
        (checks.check_disk(Path("/"), None), "warning", "/", ""),
        (checks.check_disk(Path("/"), 9 << 30), "ok", "9.0 GiB free at /", ""),
        (checks.check_address("10.0.0.1:6379"), "warning", "10.0.0.1:6379", "unset RAY_ADDRESS"),
        (checks.check_address(None), "ok", "not set", ""),
        (checks.check_address(None, "10.0.0.1:6379"), "ok", "10.0.0.1:6379", ""),
        (checks.check_address(None, "10.0.0.1:6379", warm_there=True), "ok", "the warm Ray", ""),
        (checks.check_warm(None), "ok", "none", ""),
    ],
)
def test_each_verdict(check: Check, status: str, found: str, fix: str) -> None:
    assert check.status == status
    assert found in check.found
    assert fix in check.fix
    assert bool(check.fix) == bool(fix)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_runs_folder_that_is_a_file_or_refuses_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks.check_runs_dir(tmp_path).status == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    check = checks.check_runs_dir(tmp_path / "file" / "runs")
    assert check.status == "problem"
    assert "--runs-dir" in check.fix
    assert "Not a directory" in check.found

    def refuse(**_: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert "Permission denied" in checks.check_runs_dir(tmp_path).found


def test_data_phantom_course_folder_and_nothing(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_data("phantom").status == "ok"
    assert checks.check_data("course").status == "problem"
    assert checks.check_data("elsewhere").status == "problem"
    for split in ("train", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            (quiet / "xrays" / split / label).mkdir(parents=True)
    assert checks.check_data("xrays").status == "ok"
    monkeypatch.setattr("tune_app.data.course.first_differing_file", lambda folder: None)
    assert checks.check_data("course").status == "ok"
    assert "data" in checks.check_data("phantom").found


def test_a_broken_search_space_is_told_with_its_line(quiet: Path) -> None:
    assert checks.check_spaces().status == "ok"
    (quiet / "search_spaces").mkdir()
    (quiet / "search_spaces" / "grid.yaml").write_text("task: pneumonia\nspaec: {}\n", encoding="utf-8")
    check = checks.check_spaces()
    assert check.status == "problem"
    assert "grid.yaml:2" in check.found


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("print('chatter'); print('{\"a\": 1}')", Probe({"a": 1})),
        (
            "import no_such_module_x",
            Probe(fault="ModuleNotFoundError: No module named 'no_such_module_x'"),
        ),
        ("raise ValueError('what\\n  advice')", Probe(fault="ValueError: what")),
    ],
)
def test_ask_reports_what_breaks_and_survives_it(program: str, answer: Probe) -> None:
    assert doctor.run_probe(program) == answer


@pytest.mark.parametrize(
    ("program", "code"),
    [("import os; os._exit(11)", "11"), ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "-11")],
)
def test_ask_survives_a_crash(program: str, code: str) -> None:
    assert lacking(doctor.run_probe(program).fault, [code]) == []


def test_ask_does_not_wait_for_ever() -> None:
    began = time.monotonic()
    assert doctor.run_probe("import time; time.sleep(60)", timeout_s=0.5).fault
    assert time.monotonic() - began < 30


def test_ask_without_an_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "No such file" in doctor.run_probe("").fault


def test_render_aligns_words_and_puts_mends_below() -> None:
    found = [
        Check("disk", "ok", "9 GiB free"),
        Check("RAY_ADDRESS", "warning", "set", "unset it"),
        Check("GPUs", "problem", "none\nat all", "first\nthen"),
    ]
    assert doctor.render(found).splitlines() == [
        "ok       disk         9 GiB free",
        "warning  RAY_ADDRESS  set",
        "                      -> unset it",
        "problem  GPUs         none",
        "                      at all",
        "                      -> first",
        "                      -> then",
        "",
        "1 problem, 1 warning",
    ]
    assert "problem" not in doctor.render(found[:1])


def test_exit_code_is_1_for_a_problem_alone() -> None:
    ok, warning, problem = Check("a", "ok", ""), Check("b", "warning", ""), Check("c", "problem", "")
    assert doctor.exit_code([ok, warning]) == 0
    assert doctor.exit_code([ok, problem]) == 1
