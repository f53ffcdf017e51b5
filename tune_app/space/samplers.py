"""The kinds of samplers, with Ray Tune's names, arguments and bounds. Each draws plain Python values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tune_app.space.scalars import Scalar, alike

if TYPE_CHECKING:  # numpy is needed only to draw
    import numpy as np


@dataclass(frozen=True)
class Kind:
    """One kind of sampler.

    ``arguments`` and ``description`` are for people. ``count`` is the number of arguments (0: any list of
    values), ``ints`` whether they are whole numbers, ``log`` whether they must be above 0, ``quantised``
    whether the last is a step. ``listed`` says that its values are countable, so that ``when:`` may compare
    with them.
    """

    arguments: str
    description: str
    draw: Callable[[Any, np.random.Generator], Scalar] | None
    count: int = 2
    ints: bool = False
    log: bool = False
    quantised: bool = False
    listed: bool = False


@dataclass(frozen=True)
class Sampler:
    """One parameter of a space: ``kind`` and ``args`` as in the file, and when the parameter exists.

    ``when`` maps other parameters to the values beside which this one exists; all of them must hold.
    """

    kind: str
    args: tuple[Any, ...]
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator) -> Scalar:
        """Draw one value. Raises ``TypeError`` for a ``grid``, of which every value is tried."""
        draw = KINDS[self.kind].draw
        if draw is None:
            raise TypeError(f"a {self.kind} is not drawn from: every value is tried")
        return draw(self.args, rng)

    def extremes(self) -> tuple[Scalar, ...]:
        """Return every value of a ``grid`` or ``choice``, the ends of a range, nothing for ``randn``."""
        if self.kind in ("grid", "choice"):
            return self.args
        if self.kind == "randn":
            return ()
        low, high, *_ = self.args
        return (low, high - 1) if self.kind in ("randint", "lograndint") else (low, high)

    def can_be(self, value: Scalar) -> bool:
        """Whether this sampler can give ``value`` (for kinds with countable values)."""
        if self.kind in ("grid", "choice"):
            return any(alike(value, arg) for arg in self.args)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        kind, (low, high, *q) = KINDS[self.kind], self.args
        if kind.quantised:
            return low <= value <= high and alike(value, multiple(q[0], round(value / q[0])))
        return low <= value < high and float(value).is_integer()

    def plain(self) -> dict[str, Any]:
        """Return the mapping that a file would have: the kind, then ``when`` if there is any."""
        when = {other: values[0] if len(values) == 1 else list(values) for other, values in self.when.items()}
        return {self.kind: list(self.args), **({"when": when} if when else {})}


def steps(low: float, high: float, q: float) -> tuple[int, int]:
    """Return the first and last multiple of ``q`` within the bounds, as Ray Tune snaps them inwards."""

    def index(bound: float, inwards: Callable[[float], int]) -> int:
        step = round(bound / q)
        return step if math.isclose(bound / q, step) else inwards(bound / q)

    return index(low, math.ceil), index(high, math.floor)


def multiple(q: float, step: int) -> float | int:
    """Return ``step * q``: through decimals, so that three steps of 0.1 are 0.3 and one fingerprint."""
    return q * step if isinstance(q, int) else float(Decimal(repr(q)) * step)


def _choice(args: tuple[Scalar, ...], rng: np.random.Generator) -> Scalar:
    return args[int(rng.integers(len(args)))]


def _uniform(args: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*args))


def _loguniform(args: tuple[float, float], rng: np.random.Generator) -> float:
    low, high = args
    drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    return min(max(drawn, low), high)  # exp(log(x)) may miss x by a rounding


def _quniform(args: tuple[float, float, float], rng: np.random.Generator) -> float:
    return _quantise(_uniform((args[0], args[1]), rng), args[2])


def _qloguniform(args: tuple[float, float, float], rng: np.random.Generator) -> float:
    return _quantise(_loguniform((args[0], args[1]), rng), args[2])


def _quantise(value: float, q: float) -> float:
    return float(multiple(q, round(value / q)))


def _randint(args: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(*args))


def _lograndint(args: tuple[int, int], rng: np.random.Generator) -> int:
    low, high = args
    drawn = math.floor(math.exp(rng.uniform(math.log(low), math.log(high))))
    return min(max(drawn, low), high - 1)


def _qrandint(args: tuple[int, int, int], rng: np.random.Generator) -> int:
    low, high, q = args
    first, last = steps(low, high, q)
    return int(rng.integers(first, last + 1)) * q


def _randn(args: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.normal(*args))


KINDS: dict[str, Kind] = {
    "grid": Kind("[value, ...]", "Every value is tried.", None, count=0, listed=True),
    "choice": Kind("[value, ...]", "One of the values, all equally likely.", _choice, count=0, listed=True),
    "uniform": Kind("[min, max]", "A number from min up to, but not including, max.", _uniform),
    "loguniform": Kind(
        "[min, max]", "A number between min and max, evenly over orders of magnitude.", _loguniform, log=True
    ),
    "quniform": Kind(
        "[min, max, q]",
        "A multiple of q from min to max, both included.",
        _quniform,
        3,
        quantised=True,
        listed=True,
    ),
    "qloguniform": Kind(
        "[min, max, q]",
        "A multiple of q from min to max, both included, evenly over orders of magnitude.",
        _qloguniform,
        3,
        log=True,
        quantised=True,
        listed=True,
    ),
    "randint": Kind("[min, max]", "A whole number from min to max - 1.", _randint, ints=True, listed=True),
    "lograndint": Kind(
        "[min, max]",
        "A whole number from min to max - 1, evenly over orders of magnitude.",
        _lograndint,
        ints=True,
        log=True,
        listed=True,
    ),
    "qrandint": Kind(
        "[min, max, q]",
        "A multiple of the whole number q from min to max, both included.",
        _qrandint,
        3,
        ints=True,
        quantised=True,
        listed=True,
    ),
    "randn": Kind("[mean, sd]", "A number of the normal distribution.", _randn),
}


def schema() -> dict[str, Any]:
    """Return the JSON schema of one parameter of a space, for editors."""
    value = {"type": ["string", "number", "boolean", "null"]}
    kinds = {
        name: {
            "type": "array",
            "description": f"{kind.arguments}: {kind.description}",
            **(
                {"items": value, "minItems": 1, "uniqueItems": True}
                if kind.count == 0
                else {"items": {"type": "integer" if kind.ints else "number"}}
                | {"minItems": kind.count, "maxItems": kind.count}
            ),
        }
        for name, kind in KINDS.items()
    }
    when = {
        "type": "object",
        "description": "This parameter exists only where another one has this value, or one of these.",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]},
    }
    return {
        "type": "object",
        "description": "One sampler, {kind: arguments}, and optionally when: the parameter exists.",
        "properties": {**kinds, "when": when},
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in KINDS],
    }
