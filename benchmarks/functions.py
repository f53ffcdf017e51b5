"""Functions with known minima for searches to be measured on, each as a space and as plain Optuna has it.

Branin and Hartmann-6 as in L. C. W. Dixon and G. P. Szego, "Towards Global Optimisation 2", 1978; the
third is made up: ten parameters of which three to six exist at a time, of every kind that Optuna has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from tune_app import space as spaces
from tune_app.tasks.task import Context

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A function to be minimised: its parameters in our terms and in Optuna's, and its least value."""

    name: str
    parameters: str
    suggest: Callable[[optuna.Trial], dict[str, Any]]
    value: Callable[[Point], float]
    least: float

    def space(self, sampler: str, samples: int, seed: int, more: str = "") -> spaces.SearchSpace:
        """The space of a search for the minimum, one epoch a trial."""
        text = (
            f"task: benchmarks.functions:{self.name}\nspace:\n{self.parameters}\n"
            f"search: {{algorithm: optuna, sampler: {sampler}, samples: {samples}}}\n"
            f"metric: {{name: value, mode: min}}\nepochs: 1\nseeds: 1\nseed: {seed}\n{more}"
        )
        return spaces.parse(text, file=f"{self.name}.yaml", name=self.name)


# ---------------------------------------------------------------- Branin


def _branin(point: Point) -> float:
    x, y = point["x"], point["y"]
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def _suggest_branin(trial: optuna.Trial) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", -5, 10), "y": trial.suggest_float("y", 0, 15)}


BRANIN = Problem(
    "branin", "  x: {uniform: [-5, 10]}\n  y: {uniform: [0, 15]}", _suggest_branin, _branin, 0.397887
)


# ---------------------------------------------------------------- Hartmann-6

_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_SIX = [f"x{index}" for index in range(6)]


def _hartmann(point: Point) -> float:
    x = np.array([point[name] for name in _SIX])
    return float(-(_ALPHA * np.exp(-(_A * (x - _P) ** 2).sum(axis=1))).sum())


def _suggest_hartmann(trial: optuna.Trial) -> dict[str, Any]:
    return {name: trial.suggest_float(name, 0, 1) for name in _SIX}


HARTMANN = Problem(
    "hartmann", "\n".join(f"  {n}: {{uniform: [0, 1]}}" for n in _SIX), _suggest_hartmann, _hartmann, -3.32237
)


# ---------------------------------------------------------------- ten parameters, on conditions

_CONDITIONAL = """
  optimizer: {choice: [sgd, adam, lbfgs]}
  lr: {loguniform: [1e-5, 1]}
  momentum: {uniform: [0, 1], when: {optimizer: sgd}}
  nesterov: {choice: [true, false], when: {optimizer: sgd}}
  beta: {uniform: [0.8, 1], when: {optimizer: adam}}
  amsgrad: {choice: [true, false], when: {optimizer: adam}}
  decay: {quniform: [0, 0.5, 0.1], when: {optimizer: [sgd, adam]}}
  history: {randint: [1, 33], when: {optimizer: lbfgs}}
  width: {lograndint: [8, 513]}
  batch: {qrandint: [16, 128, 16]}
"""


def _suggest_conditional(trial: optuna.Trial) -> dict[str, Any]:
    found: dict[str, Any] = {"optimizer": trial.suggest_categorical("optimizer", ("sgd", "adam", "lbfgs"))}
    found["lr"] = trial.suggest_float("lr", 1e-5, 1, log=True)
    if found["optimizer"] == "sgd":
        found["momentum"] = trial.suggest_float("momentum", 0, 1)
        found["nesterov"] = trial.suggest_categorical("nesterov", (True, False))
    if found["optimizer"] == "adam":
        found["beta"] = trial.suggest_float("beta", 0.8, 1)
        found["amsgrad"] = trial.suggest_categorical("amsgrad", (True, False))
    if found["optimizer"] in ("sgd", "adam"):
        found["decay"] = trial.suggest_float("decay", 0, 0.5, step=0.1)
    else:
        found["history"] = trial.suggest_int("history", 1, 32)
    found["width"] = trial.suggest_int("width", 8, 512, log=True)
    found["batch"] = trial.suggest_int("batch", 16, 128, step=16)
    return found


def _conditional(point: Point) -> float:
    value = (math.log10(point["lr"]) + 2.5) ** 2 + (math.log2(point["width"]) - 7) ** 2 / 4
    value += (point["batch"] - 64) ** 2 / 4096
    match point["optimizer"]:
        case "sgd":
            value += 0.2 + 4 * (point["momentum"] - 0.9) ** 2 + 0.1 * (not point["nesterov"])
        case "adam":
            value += 100 * (point["beta"] - 0.95) ** 2 + 0.1 * point["amsgrad"]
        case _:
            value += 0.5 + (point["history"] - 10) ** 2 / 400
    # a step of Optuna's is a sum of floats, ours is the decimal: rounded, they are one
    return float(value + (round(point.get("decay", 0.0), 6) - 0.1) ** 2)


CONDITIONAL = Problem("conditional", _CONDITIONAL, _suggest_conditional, _conditional, 0.0)

PROBLEMS = (BRANIN, HARTMANN, CONDITIONAL)


# ---------------------------------------------------------------- as tasks


def branin(config: Point, context: Context) -> Iterator[dict[str, float]]:
    """Branin as a task."""
    yield {"value": _branin(config)}


def hartmann(config: Point, context: Context) -> Iterator[dict[str, float]]:
    """Hartmann-6 as a task."""
    yield {"value": _hartmann(config)}


def conditional(config: Point, context: Context) -> Iterator[dict[str, float]]:
    """The conditional function as a task."""
    yield {"value": _conditional(config)}
