"""Translate samplers and directions of W&B, Ray Tune and Optuna, for messages that suggest ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from tune_app.errors import SpaceError
from tune_app.space.reader import read_value

#: Other tools' words for the two modes of a metric.
DIRECTIONS = {
    **dict.fromkeys(["max", "maximize", "maximise", "maximum", "higher", "up"], "max"),
    **dict.fromkeys(["min", "minimize", "minimise", "minimum", "lower", "down"], "min"),
}

_CALL = re.compile(r"(?:\w+\.)*(\w+)\((.*)\)", re.DOTALL)  # tune.loguniform(1e-4, 1e-1)
#: Other tools' names, without _; any other name may be one of ours.
_KINDS = {
    **dict.fromkeys(["values", "choices", "categorical"], "choice"),
    **{"gridsearch": "grid", "normal": "randn", "float": "uniform", "qlograndint": "qloguniform"},
    **{"loguniformvalues": "loguniform", "qloguniformvalues": "qloguniform"},
}
_WHOLE = ("int", "integer", "intuniform", "uniformint")  # both bounds included; randint excludes max


def translate(raw: object) -> dict[str, Any] | None:
    """The ``{kind: arguments}`` of a parameter in another tool's format; None if unknown.

    Neither the kind nor the arguments are checked.
    """
    if isinstance(raw, str):
        call = _CALL.fullmatch(raw.strip())
        return _of_kind(call[1], _list(call[2])) if call else None
    if not isinstance(raw, Mapping):
        return None
    own = {str(key): value for key, value in raw.items() if key != "when"}
    if len(own) == 1:
        [(name, args)] = own.items()
        return _of_kind(name, args)
    return _of_keys(own)


def _list(inner: str) -> Any:
    """The arguments of a call; a single list is taken as the arguments."""
    try:
        args = read_value(f"[{inner}]", "")
    except SpaceError:
        return None
    return args[0] if len(args) == 1 and isinstance(args[0], list) else args


def _of_kind(name: str, args: Any) -> dict[str, Any] | None:
    word = name.lower().replace("_", "").rpartition(".")[2]
    if not isinstance(args, list):
        return None
    if word in _WHOLE:
        return _whole("randint", args)
    return {_KINDS.get(word, word): args}


def _whole(kind: str, args: list[Any]) -> dict[str, Any] | None:
    if len(args) != 2 or not all(isinstance(arg, int) for arg in args):
        return None
    return {kind: [args[0], args[1] + 1]}


def _of_keys(raw: dict[str, Any]) -> dict[str, Any] | None:
    """A parameter of a W&B sweep, or the like: ``distribution``, ``min``, ``max`` and so on."""
    spread, log = str(raw.pop("distribution", "")).lower(), bool(raw.get("log"))
    if raw.keys() == {"values"}:
        return {"choice": raw["values"]}
    if spread == "normal":
        return {"randn": [raw.get("mu", 0), raw.get("sigma", 1)]}
    args: list[Any] = [raw.get("min", raw.get("low")), raw.get("max", raw.get("high"))]
    numbers = all(isinstance(arg, int | float) for arg in args)
    if not numbers or "values" in raw or "step" in raw or spread == "q_log_uniform":  # exponents of e again
        return None
    if spread in ("", "uniform"):
        whole = not spread and all(isinstance(arg, int) for arg in args)
        kind = ("lograndint" if log else "randint") if whole else ("loguniform" if log else "uniform")
        return _whole(kind, args) if whole else {kind: args}
    if spread == "log_uniform":  # W&B's are exponents of e
        return {"loguniform": [math.exp(arg) for arg in args]} if max(args) < 200 else None
    return _of_kind(spread, [*args, raw.get("q", 1)] if spread.startswith("q") else args)
