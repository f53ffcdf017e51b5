"""What is said of each fact."""

from __future__ import annotations

from pathlib import Path

import pytest
from machines import torch

from tune_app.doctor import Check, Probe, checks
from tune_app.session.provenance import Gpu, GpuProbe

GPUS = GpuProbe((Gpu(0, "RTX 4090", 24 << 30, "560.35"), Gpu(1, "RTX 4090", None, "560.35")))


BROKEN = Probe(fault="ImportError: libtorch.so: cannot open shared object file")


@pytest.mark.parametrize(
    ("check", "status", "found", "fix"),
    [
        (checks.check_python((3, 10, 14)), "problem", "3.10.14", "3.11"),
        (checks.check_python((3, 13, 0)), "ok", "3.13.0", ""),
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
    ],
)
def test_each_verdict(check: Check, status: str, found: str, fix: str) -> None:
    assert check.status == status
    assert found in check.found
    assert fix in check.fix
    assert bool(check.fix) == bool(fix)
