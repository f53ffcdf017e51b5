"""The state of this process, to be compared with itself later."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch


def process() -> dict[str, Any]:
    """What a task, or what runs it, could have changed in this process."""
    return {
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "precision": (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32),
        "autocast": [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")],
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "device": str(torch.get_default_device()),
        "errors": np.geterr(),
        "filters": list(warnings.filters),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "arguments": list(sys.argv),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "hooks": (sys.excepthook, sys.unraisablehook, warnings.showwarning),
        "finders": [each for each in sys.meta_path if type(each).__module__.startswith("tune_app")],
        "levels": {name: logging.getLogger(name).level for name in ("", "ray", "ray.tune", "optuna")},
    }
