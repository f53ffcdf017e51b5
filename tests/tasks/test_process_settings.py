"""Settings of a process: read, changed, and written back."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import process_state
import torch

from tune_app.tasks import process_settings


def test_what_was_changed_is_written_back(tmp_path: Path) -> None:
    settings, state = process_settings.read(), process_state.process()
    try:
        os.chdir(tmp_path)
        os.environ["TUNE_APP_MADE_UP"] = "1"
        sys.argv.append("--made-up")
        sys.path.insert(0, str(tmp_path))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        warnings.simplefilter("ignore", UserWarning)
        np.seterr(divide="raise")
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_float32_matmul_precision("medium")
        changed = {name for name, value in process_settings.read().items() if value != settings[name]}
        assert {"folder", "environment", "arguments", "path", "signals", "warnings"} <= changed
        assert {"numpy errors", "gradients", "dtype", "threads", "determinism"} <= changed
    finally:
        process_settings.write(settings)
    assert process_settings.read() == settings
    assert process_state.process() == state


def test_a_folder_that_is_gone_is_not_returned_to(tmp_path: Path) -> None:
    before = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    try:
        os.chdir(gone)
        settings = process_settings.read()
        os.chdir(before)
        gone.rmdir()
        process_settings.write(settings)
        assert Path.cwd() == before
    finally:
        os.chdir(before)
