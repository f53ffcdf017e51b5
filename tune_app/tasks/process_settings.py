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
    """All settings, by name; those of torch only where it is imported."""
    return {name: get() for name, (get, _) in _all().items()}


def write(values: dict[str, Any]) -> None:
    """Set what differs: to set a number of threads that is set already would take a while."""
    for name, (get, change) in _all().items():
        if name in values and get() != values[name]:
            change(values[name])


def _all() -> dict[str, _Setting]:
    return {**_OF_PYTHON, **(_of_torch(sys.modules["torch"]) if "torch" in sys.modules else {})}


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a Path would be made of it each time
    except FileNotFoundError:  # it has been removed
        return None


def _go_to(folder: str | None) -> None:
    if folder is not None:
        with suppress(FileNotFoundError):  # likewise: there is nothing to go back to
            os.chdir(folder)


def _set_environment(wanted: dict[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if os.environ.get(name) != value})


def _handlers() -> tuple[Any, ...] | None:
    if threading.current_thread() is not threading.main_thread():
        return None
    return tuple(signal.getsignal(number) for number in _SIGNALS)


def _handle(handlers: Sequence[Any] | None) -> None:
    for number, handler in zip(_SIGNALS, handlers or (), strict=False):
        if handler is not None and handler != signal.getsignal(number):
            signal.signal(number, handler)


def _filters() -> list[Any]:
    return list(warnings.filters)


def _set_filters(wanted: list[Any]) -> None:
    # Through the module's own functions, so that warnings that were shown once are looked at again.
    warnings.resetwarnings()
    warnings.filters[:] = wanted  # type: ignore[index]


_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")
    if hasattr(signal, name)
]

_OF_PYTHON: dict[str, _Setting] = {
    "folder": (_folder, _go_to),
    "environment": (lambda: dict(os.environ), _set_environment),
    "arguments": (lambda: list(sys.argv), lambda wanted: sys.argv.__setitem__(slice(None), wanted)),
    "path": (lambda: list(sys.path), lambda wanted: sys.path.__setitem__(slice(None), wanted)),
    "signals": (_handlers, _handle),
    "warnings": (_filters, _set_filters),
    "hook": (lambda: sys.excepthook, lambda wanted: setattr(sys, "excepthook", wanted)),
    "numpy errors": (np.geterr, lambda wanted: np.seterr(**wanted)),
}


@cache
def _of_torch(torch: ModuleType) -> dict[str, _Setting]:
    """What is global in torch, or of a thread: a generator that yields in ``no_grad`` leaves it so."""
    found: dict[str, _Setting] = {
        "inference": (torch.is_inference_mode_enabled, lambda _: None),
        "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
        "dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "device": (lambda: str(torch.get_default_device()), _device_setter(torch)),
        "threads": (torch.get_num_threads, torch.set_num_threads),
        "determinism": (
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda wanted: torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1]),
        ),
    }
    backends = torch.backends
    for name in ("enabled", "benchmark", "deterministic", "allow_tf32"):
        found[f"cudnn {name}"] = _attribute(backends.cudnn, name)
    found["matrix products"] = (
        _unless_mixed(torch.get_float32_matmul_precision),
        lambda wanted: wanted and torch.set_float32_matmul_precision(wanted),
    )
    for of in (backends, backends.cuda.matmul, backends.cudnn, backends.mkldnn):
        for part in (of, *(getattr(of, name) for name in ("matmul", "conv", "rnn") if hasattr(of, name))):
            if hasattr(part, "fp32_precision"):  # torch 2.9 and later
                found[f"precision {len(found)}"] = _attribute(part, "fp32_precision")
    for device in ("cpu", "cuda"):
        found[f"autocast {device}"] = _autocast(torch, device)
    return found


def _autocast(torch: ModuleType, device: str) -> _Setting:
    def change(wanted: tuple[bool, Any]) -> None:
        torch.set_autocast_enabled(device, wanted[0])
        torch.set_autocast_dtype(device, wanted[1])

    return (lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))), change


def _attribute(of: Any, name: str) -> _Setting:
    return _unless_mixed(lambda: getattr(of, name)), lambda wanted: setattr(of, name, wanted)


def _unless_mixed(get: Callable[[], Any]) -> Callable[[], Any]:
    """Reads None where torch refuses: its old and its new names of one setting contradict each other."""

    def read() -> Any:
        try:
            return get()
        except RuntimeError:
            return None

    return read


def _device_setter(torch: ModuleType) -> Callable[[str], None]:
    def change(device: str) -> None:
        torch.set_default_device(None if device == "cpu" else device)

    return change
