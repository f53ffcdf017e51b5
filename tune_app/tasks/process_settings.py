"""The settings of this process that a task's code may change, each with how it is read and how it is set."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

#: A setting of the process: how it is read, and how it is set.
_Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def read() -> dict[str, Any]:
    """All settings, by name; those of torch only where it is imported. None is what cannot be read now."""
    return {name: _read(get) for name, (get, _) in _all().items()}


def write(values: dict[str, Any]) -> None:
    """Set what differs: to set a number of threads that is set already would take a while."""
    for name, (get, change) in _all().items():
        wanted = values.get(name)
        if wanted is not None and _read(get) != wanted:
            with suppress(FileNotFoundError):  # a folder that is gone
                change(wanted)


def _read(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except (FileNotFoundError, RuntimeError):  # torch refuses where its old and new names contradict
        return None


def _all() -> dict[str, _Setting]:
    return {**_OF_PYTHON, **(_of_torch(sys.modules["torch"]) if "torch" in sys.modules else {})}


def _set_environment(wanted: dict[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if os.environ.get(name) != value})


def _handlers() -> tuple[Any, ...] | None:
    if threading.current_thread() is not threading.main_thread():
        return None
    return tuple(signal.getsignal(number) for number in _SIGNALS)


def _handle(handlers: Sequence[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if handler is not None and handler != signal.getsignal(number):
            signal.signal(number, handler)


def _set_filters(wanted: list[Any]) -> None:
    # Through the module's own functions, so that warnings that were shown once are looked at again.
    warnings.resetwarnings()
    warnings.filters[:] = wanted  # type: ignore[index]


_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")
    if hasattr(signal, name)
]


def _attribute(of: Any, name: str) -> _Setting:
    return lambda: getattr(of, name), lambda wanted: setattr(of, name, wanted)


def _elements(name: str) -> _Setting:
    """The elements of a list of ``sys``, which others hold too."""
    return lambda: list(getattr(sys, name)), lambda wanted: getattr(sys, name).__setitem__(
        slice(None), wanted
    )


_OF_PYTHON: dict[str, _Setting] = {
    "folder": (os.getcwd, os.chdir),
    "environment": (lambda: dict(os.environ), _set_environment),
    "arguments": _elements("argv"),
    "path": _elements("path"),
    "signals": (_handlers, _handle),
    "warnings": (lambda: list(warnings.filters), _set_filters),
    "hook": _attribute(sys, "excepthook"),
    "numpy errors": (np.geterr, lambda wanted: np.seterr(**wanted)),
}


@cache
def _of_torch(torch: ModuleType) -> dict[str, _Setting]:
    """What is global in torch, or of a thread: a generator that yields in ``no_grad`` leaves it so."""
    backends = torch.backends
    found: dict[str, _Setting] = {
        "inference": (torch.is_inference_mode_enabled, lambda _: None),
        "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
        "dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "device": (
            lambda: str(torch.get_default_device()),
            lambda device: torch.set_default_device(None if device == "cpu" else device),
        ),
        "threads": (torch.get_num_threads, torch.set_num_threads),
        "determinism": (
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda wanted: torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1]),
        ),
        **{
            f"cudnn {name}": _attribute(backends.cudnn, name)
            for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
        },
        "matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        "autocast cpu": _autocast(torch, "cpu"),
        "autocast cuda": _autocast(torch, "cuda"),
    }
    for of in (backends, backends.cuda.matmul, backends.cudnn, backends.mkldnn):
        for part in (of, *(getattr(of, name) for name in ("matmul", "conv", "rnn") if hasattr(of, name))):
            if hasattr(part, "fp32_precision"):  # torch 2.9 and later
                found[f"precision {len(found)}"] = _attribute(part, "fp32_precision")
    return found


def _autocast(torch: ModuleType, device: str) -> _Setting:
    def change(wanted: tuple[bool, Any]) -> None:
        torch.set_autocast_enabled(device, wanted[0])
        torch.set_autocast_dtype(device, wanted[1])

    return (lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))), change
