"""Translate samplers and directions of W&B, Ray Tune and Optuna, for messages that suggest ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from tune_app.errors import SpaceError
from tune_app.space.reader import read_value
from tune_app.space.samplers import KINDS

#: Other tools' words for the two modes of a metric.
DIRECTIONS = {
    **dict.fromkeys(["max", "maximize", "maximise", "maximum", "higher", "up"], "max"),
    **dict.fromkeys(["min", "minimize", "minimise", "minimum", "lower", "down"], "min"),
}
#: Other tools' keys for the mode.
DIRECTION_KEYS = ("goal", "direction", "objective", "optimize", "type")

_CALL = re.compile(r"(?:\w+\.)*(\w+)\((.*)\)", re.DOTALL)  # tune.loguniform(1e-4, 1e-1)
_SAME = {
    **dict.fromkeys(["gridsearch"], "grid"),
    **dict.fromkeys(["values", "choices", "categorical"], "choice"),
    **dict.fromkeys(["normal"], "randn"),
    **dict.fromkeys(["float"], "uniform"),
    **dict.fromkeys(["qlograndint"], "qloguniform"),
}
_WHOLE = ("int", "integer", "intuniform", "uniformint")  # both bounds included; randint excludes max


def translate(raw: object) -> dict[str, Any] | None:
    """The ``{kind: arguments}`` of a parameter in another tool's format; None if unknown.

    The arguments are not checked.
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
    kind = _SAME.get(word, word)
    return {kind: args} if kind in KINDS else None


def _whole(kind: str, args: list[Any]) -> dict[str, Any] | None:
    if len(args) != 2 or not all(isinstance(arg, int) for arg in args):
        return None
    return {kind: [args[0], args[1] + 1]}


def _of_keys(raw: dict[str, Any]) -> dict[str, Any] | None:
    """A parameter of a W&B sweep, or the like: ``distribution``, ``min``, ``max`` and so on."""
    spread = str(raw.pop("distribution", "")).lower()
    if "values" in raw:
        return {"choice": raw["values"]} if raw.keys() == {"values"} else None
    if spread == "normal":
        return {"randn": [raw.get("mu", 0), raw.get("sigma", 1)]}
    low, high = raw.get("min", raw.get("low")), raw.get("max", raw.get("high"))
    if not (isinstance(low, int | float) and isinstance(high, int | float)):
        return None
    whole = isinstance(low, int) and isinstance(high, int)
    q = raw.get("q", raw.get("step", 1))
    log = bool(raw.get("log"))
    if spread in ("", "int_uniform") and whole:
        return _whole("lograndint" if log else "randint", [low, high]) if "step" not in raw else None
    match spread:
        case "" | "uniform":
            return {"loguniform" if log else "uniform": [low, high]} if "step" not in raw else None
        case "log_uniform_values":
            return {"loguniform": [low, high]}
        case "log_uniform":  # W&B's are exponents of e
            return {"loguniform": [math.exp(low), math.exp(high)]} if max(low, high) < 200 else None
        case "q_uniform":
            return {"quniform": [low, high, q]}
        case "q_log_uniform_values":
            return {"qloguniform": [low, high, q]}
    return None
