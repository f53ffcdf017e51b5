"""The state of this process that a task's code may change: random generators, settings, working directory.

A `ProcessState` holds one such state beside the process's own. Each replicate has one, which is in place only
while the replicate's code runs. So neither another replicate, nor the next trial of the process, nor the
caller of `tune_app.run` sees what the code draws or sets.

Module globals, a Task's own attributes and generators that the task made itself cannot be kept apart.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from tune_app.errors import TaskError, Terminated
from tune_app.tasks.process_settings import read, write

#: Held while a state is in place: two sweeps in threads of one process take turns, an epoch at a time.
LOCK = threading.RLock()

#: Where the drivers of the GPUs that torch calls "cuda" show themselves: NVIDIA, WSL2, AMD.
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


class TaskExited(TaskError):
    """A task's code tried to end the process, or raised what is no Exception; ``what`` says how."""

    def __init__(self, error: BaseException) -> None:
        code = error.code if isinstance(error, SystemExit) else None
        name = f"called sys.exit({'' if code is None else repr(code)})"
        self.what = name if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
        super().__init__(f"the task {self.what}")


def gpus_possible() -> bool:
    """Whether this machine has the driver of a GPU that torch could use."""
    return any(Path(driver).exists() for driver in _GPU_DRIVERS)


def set_numerics(threads: int, precision: str) -> None:
    """Set torch's threads, and how it multiplies float32: under ``tf32``, a GPU that has it may use TF32."""
    import torch

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


class ProcessState:
    """Random generators and settings; ``with state:`` puts them in place, and puts back what was there after.

    At the first time the generators are seeded and the settings stay as they are, but for those given. From
    then on the state goes on from where it was left. That holds for torch too where it is imported only on
    the way: it is seeded as soon as it is there.

    Args:
        seed: of the generators of ``random``, numpy and torch, on the CPU and on all GPUs.
        with_torch: called at the first time, or when torch is imported: it changes settings of torch.
        settings: those to start with, by name.
        within: makes a context that is around this one.

    Raises:
        TaskExited: for ``SystemExit`` and what else is no Exception, but not for ``KeyboardInterrupt``.
    """

    def __init__(
        self,
        seed: int,
        with_torch: Callable[[], None] | None = None,
        settings: Mapping[str, Any] | None = None,
        within: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._seed, self._with_torch, self._within = seed, with_torch, within
        self._settings = dict(settings or {})
        self._before: dict[str, Any] = {}
        #: The states of the generators by name, here and outside; empty where they are still to be seeded.
        self._random: dict[str, Any] = {}
        self._random_before: dict[str, Any] = {}
        #: Keeps others out of an inference mode that this state was left in.
        self._shield = ExitStack()
        self._around = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(LOCK)
            stack.enter_context(self._within())
            self._before, self._random_before = read(), drawn()
            self._shield.close()
            write(self._settings)
            self._prepare_torch()
            _restore(self._random, self._seed)
            _entered.append(self)
            _watch_for_torch()
            self._around = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._around:
            _entered.remove(self)
            _watch_for_torch()
            now, self._random = read(), drawn()
            # What the task has not changed goes on to follow the process.
            self._settings = {name: value for name, value in now.items() if value != self._before.get(name)}
            if now.get("inference") and not self._before.get("inference"):
                self._shield.enter_context(sys.modules["torch"].inference_mode(mode=False))
            write(self._before)
            _restore(self._random_before)
        if error is not None and _ends_the_process(error):
            raise TaskExited(error).with_traceback(error.__traceback__) from error

    def reseed(self, seed: int) -> ProcessState:
        """Seed the generators at the next time, as at the first; the settings stay."""
        self._seed, self._random = seed, {}
        return self

    def like(self, seed: int, with_torch: Callable[[], None] | None = None) -> ProcessState:
        """A new state that starts with the settings of this one."""
        return ProcessState(seed, with_torch, self._settings, self._within)

    def torch_is_here(self) -> None:
        """Torch has been imported while this state is in place."""
        states = drawn()
        self._before = {**read(), **self._before}
        self._random_before = {**states, **self._random_before}
        self._prepare_torch()
        _restore({"python": states["python"], "numpy": states["numpy"]}, self._seed)

    def _prepare_torch(self) -> None:
        if self._with_torch and "torch" in sys.modules:
            self._with_torch()
            self._with_torch = None


def _ends_the_process(error: BaseException) -> bool:
    """Whether it is no Exception, and neither a signal's nor Ray's own."""
    ours = isinstance(error, Exception | KeyboardInterrupt | Terminated)
    return not ours and not getattr(error, "is_ray_terminate", False)


@contextmanager
def preserved() -> Iterator[None]:
    """Leave the process as it was, in all that a `ProcessState` holds, and loggers; others may take turns."""
    with LOCK:
        settings, states = read(), drawn()
    known = [logging.root, *logging.root.manager.loggerDict.values()]
    loggers = [each for each in known if isinstance(each, logging.Logger)]
    before = [(each, each.level, each.propagate, list(each.handlers)) for each in loggers]
    try:
        yield
    finally:
        with LOCK:
            write(settings)
            _restore(states)
            for logger, level, propagates, handlers in before:
                logger.setLevel(level)
                logger.propagate, logger.handlers[:] = propagates, handlers


# ---------------------------------------------------------------- random generators


def seed_generators(seed: int) -> None:
    """Seed all global generators, within a `ProcessState`."""
    _restore({}, seed)


def drawn() -> dict[str, Any]:
    """The states of the global random generators, as far as torch and CUDA have been loaded."""
    states = {"python": random.getstate(), "numpy": np.random.get_state()}
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.default_generator.get_state()
        if torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _restore(states: Mapping[str, Any], seed: int | None = None) -> None:
    """Put the states in place. What is not among them is seeded; without a seed, that is a GPU at most."""
    if states:
        random.setstate(states["python"])
        np.random.set_state(states["numpy"])
    elif seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if "torch" in states:
        torch.default_generator.set_state(states["torch"])
    elif seed is not None:
        torch.default_generator.manual_seed(seed)
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    elif torch.cuda.is_initialized() or _gpus_were_possible():
        # Torch keeps this for the moment at which it looks for the GPUs.
        torch.cuda.manual_seed_all(torch.initial_seed() if seed is None else seed)


#: Asked at each epoch of each replicate; the answer does not change while a process lives.
_gpus_were_possible = cache(gpus_possible)


# ---------------------------------------------------------------- torch, imported on the way

#: The states that are in place, the innermost last.
_entered: list[ProcessState] = []


class _TorchWatch(MetaPathFinder):
    """Finds nothing by itself; it tells the states that are in place once torch has been imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec and spec.loader:
            loader, execute = spec.loader, spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                vars(loader).pop("exec_module", None)
                execute(module)
                for state in _entered:
                    state.torch_is_here()

            setattr(loader, "exec_module", exec_module)  # noqa: B010 - mypy: a method
        return spec


_torch_watch = _TorchWatch()


def _watch_for_torch() -> None:
    wanted = bool(_entered) and "torch" not in sys.modules
    if wanted and _torch_watch not in sys.meta_path:
        sys.meta_path.insert(0, _torch_watch)
    elif not wanted and _torch_watch in sys.meta_path:
        sys.meta_path.remove(_torch_watch)
