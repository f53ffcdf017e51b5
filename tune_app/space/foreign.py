"""Translate samplers and directions of W&B, Ray Tune and Optuna, for messages that suggest ours."""

from __future__ import annotations

import math
import re
from typing import Any

from tune_app.errors import SpaceError
from tune_app.space.reader import read_value

#: Other tools' words for the two modes of a metric.
DIRECTIONS = {
    **dict.fromkeys(["max", "maximize", "maximise", "maximum", "higher", "up"], "max"),
    **dict.fromkeys(["min", "minimize", "minimise", "minimum", "lower", "down"], "min"),
}

#: Other tools' keys at the top of a file, and in ``stop``, as they are called here.
TOP_KEYS = {
    **dict.fromkeys(["parameters", "param_space", "hparams"], "space: {...}"),
    "method": "search: {algorithm: grid}, with random or optuna in place of grid",
    **dict.fromkeys(["run_cap", "num_samples", "n_trials"], "search: {algorithm: optuna, samples: {value}}"),
    **dict.fromkeys(["early_terminate", "scheduler", "pruner"], "stop: {scheduler: asha}"),
    **dict.fromkeys(["program", "trainable"], "task: module:function"),
    **dict.fromkeys(["goal", "direction"], "metric: {name: val_loss, mode: min}"),
    **dict.fromkeys(["max_epochs", "num_epochs", "max_t"], "epochs: {value}"),
}
STOP_KEYS = {
    "type": "scheduler: {value}",
    **dict.fromkeys(["min_iter", "min_resource"], "grace_period: {value}"),
    "eta": "reduction_factor: {value}",
}

_CALL = re.compile(r"(?:\w+\.)*(\w+)\((.*)\)", re.DOTALL)  # tune.loguniform(1e-4, 1e-1)
#: Other tools' names, without _, of kinds of ours; any other name may be one of ours.
_KINDS = {
    **dict.fromkeys(["values", "choices", "categorical"], "choice"),
    **{"gridsearch": "grid", "float": "uniform", "qlograndint": "qloguniform"},
    **{
        "loguniformvalues": "loguniform",
        "qloguniformvalues": "qloguniform",
        "": "uniform",
        "log": "loguniform",
    },
}
#: Names that stand for whole numbers if both bounds are; both are included, and randint excludes max.
_WHOLE = {**dict.fromkeys(["", "int", "integer", "intuniform", "uniformint"], "randint"), "log": "lograndint"}


def translate(raw: object) -> dict[str, Any] | None:
    """The ``{kind: arguments}`` of a parameter in another tool's format; None if unknown.

    Neither the kind nor the arguments are checked.
    """
    name, args = _name_and_arguments(raw)
    if not isinstance(args, list):
        return None
    if isinstance(raw, dict) and isinstance(raw.get("probabilities"), list):
        return {"choice": args, "p": raw["probabilities"]}
    word = name.lower().replace("_", "").rpartition(".")[2]
    if word in _WHOLE and len(args) == 2 and all(isinstance(arg, int) for arg in args):
        return {_WHOLE[word]: [args[0], args[1] + 1]}
    return {_KINDS.get(word, word): args}


def _name_and_arguments(raw: object) -> tuple[str, Any]:
    if isinstance(raw, str):
        call = _CALL.fullmatch(raw.strip())
        return (call[1], _list(call[2])) if call else ("", None)
    own = {str(key): value for key, value in raw.items() if key != "when"} if isinstance(raw, dict) else {}
    if len(own) == 1:
        return next(iter(own.items()))
    return _of_keys(own)


def _list(inner: str) -> Any:
    """The arguments of a call; a single list is taken as the arguments."""
    try:
        args = read_value(f"[{inner}]", "")
    except SpaceError:
        return None
    return args[0] if len(args) == 1 and isinstance(args[0], list) else args


def _of_keys(raw: dict[str, Any]) -> tuple[str, Any]:
    """A parameter of a W&B sweep, or the like: ``distribution``, ``min``, ``max`` and so on."""
    spread = str(raw.pop("distribution", "log" if raw.get("log") else "")).lower()
    if {"values"} <= raw.keys() <= {"values", "probabilities"}:
        return "values", raw["values"]
    if spread in ("normal", "log_normal"):
        return spread, [raw.get("mu", 0), raw.get("sigma", 1)]
    args: list[Any] = [raw.get("min", raw.get("low")), raw.get("max", raw.get("high"))]
    numbers = all(isinstance(arg, int | float) for arg in args)
    exponents = spread in ("log_uniform", "q_log_uniform")  # W&B's are exponents of e
    if not numbers or "values" in raw or "step" in raw or (exponents and max(args) > 200):
        return "", None
    args = [math.exp(arg) for arg in args] if exponents else args
    return spread, [*args, raw.get("q", 1)] if spread.startswith("q") else args
