"""Keeps torch's compiler from being loaded where nothing is compiled: that takes a second of each process.

Optimisers load it to have their methods left out of a compiled graph, and to break the graph at a step.
Where nothing has loaded it yet, there is no graph.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

#: Where torch keeps a function in the form that the compiler leaves alone, on the function itself.
_EXCLUDED = "__dynamo_disable"


def load_only_when_used() -> None:
    """Have optimisers load no compiler; once something else has loaded it, they are as before.

    Where another torch is built otherwise, nothing changes.
    """
    for method in vars(Optimizer).values():
        function = getattr(method, "__wrapped__", None)
        if function and _file(method).endswith("_compile.py") and not hasattr(function, _EXCLUDED):
            setattr(function, _EXCLUDED, _excluded(method, function))
    for kind in vars(torch.optim).values():
        if isinstance(kind, type) and issubclass(kind, Optimizer):
            step: Any = vars(kind).get("step")
            if getattr(getattr(step, "__code__", None), "co_name", "") == "_use_grad":
                kind.step = _step(step, step.__wrapped__)  # type: ignore[method-assign]


def _file(function: Any) -> str:
    return str(getattr(getattr(function, "__code__", None), "co_filename", ""))


def _excluded(method: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if getattr(function, _EXCLUDED, None) is call:
            delattr(function, _EXCLUDED)
        return method(*args, **kwargs)

    return call


def _step(method: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" in sys.modules:
            return method(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return function(self, *args, **kwargs)

    return call
