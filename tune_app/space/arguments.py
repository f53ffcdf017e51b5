"""Make the sampler of one parameter from its entry in the file, and check every argument."""

from __future__ import annotations

import math
from typing import Any

from tune_app.errors import closest
from tune_app.space.foreign import translate
from tune_app.space.problems import RuleError, unquote
from tune_app.space.samplers import KINDS, Sampler, multiple, steps
from tune_app.space.scalars import Scalar, alike, canonical, literal, scalar_fault, show

LARGEST_FLOAT = 1e100  # far above any hyperparameter; keeps every range and sum finite
LARGEST_INT = 2**53  # above it, different whole numbers are equal as floats
_LONGEST = 200  # characters of a list that a message suggests


def sampler(raw: object) -> Sampler:
    """Make a sampler of ``{kind: args}``, with or without ``when``. Raises :class:`RuleError`."""
    if isinstance(raw, Sampler):
        return raw
    if isinstance(raw, list | tuple):
        raise RuleError(f"a list needs a sampler: write {_grid(raw)}")
    if raw is None:
        raise RuleError("no value is written here: write {grid: [...]}, or move a single value to fixed:")
    if not isinstance(raw, dict):
        if known := _translated(raw):
            raise RuleError(f"{show(raw)} is text, not a sampler: write {known}")
        raise RuleError(f"a single value cannot be searched: write {_grid([raw])}, or move it to fixed:")
    kinds = [key for key in raw if key != "when"]
    for key in kinds:
        if key not in KINDS:
            raise RuleError(f'unknown sampler "{key}"{_correction(key, raw)}', spot=(key,), on_key=True)
    if len(kinds) != 1:
        rule = "two samplers, " + " and ".join(kinds) if kinds else "no sampler"
        raise RuleError(
            f"{rule}, for one parameter: write exactly one, such as {{grid: [1, 2]}}",
            spot=tuple(kinds[1:2]),
            on_key=True,
        )
    args = _arguments(kinds[0], raw[kinds[0]])
    return Sampler(kinds[0], args, _conditions(raw["when"]) if "when" in raw else {})


def _grid(values: list[Any] | tuple[Any, ...]) -> str:
    text = literal({"grid": values})
    return text if len(text) <= _LONGEST else "{grid: [...]}"


def _correction(key: str, raw: dict[str, Any]) -> str:
    """What to write instead of an unknown sampler: the translation from another tool, or the nearest name."""
    if set(raw) - {"when"} == {"value"}:
        return ": move a single value to fixed:"
    if known := _translated(raw):
        return f": write {known}"
    guess = closest(key, [*KINDS, "when"])
    if guess == "when" or (guess and _accepted({guess: raw[key]})):
        return f'. Did you mean "{guess}"?'
    return f". The samplers are {', '.join(KINDS)}."


def _translated(raw: object) -> str:
    """The translation of a parameter in another tool's format; empty if unknown or invalid."""
    known = translate(raw)
    if known is None or not _accepted(known):
        return ""
    if known.get("choice"):
        return f"{_grid(known['choice'])} to try each, or {literal(known)} to draw from them"
    return literal(known)


def _accepted(raw: dict[str, Any]) -> bool:
    try:
        sampler(raw)
    except RuleError:
        return False
    return True


def _arguments(name: str, given: object) -> tuple[Any, ...]:
    kind, spot = KINDS[name], (name,)
    if not isinstance(given, list | tuple):
        raise RuleError(f"{name} takes a list, {kind.arguments}, not {show(given)}", spot=spot)
    if kind.count == 0:
        return _values(name, given)
    if len(given) != kind.count:
        raise RuleError(f"{name} takes {kind.arguments}, not {_count(given)}", spot=spot)
    args = tuple(_number(name, arg, (name, index)) for index, arg in enumerate(given))
    _bounds(name, args)
    return args


def _count(given: list[Any] | tuple[Any, ...]) -> str:
    return f"{show(given)} ({len(given)} value{'' if len(given) == 1 else 's'})"


def _values(name: str, given: list[Any] | tuple[Any, ...]) -> tuple[Scalar, ...]:
    if not given:
        raise RuleError(f"this {name} is empty: write at least one value", spot=(name,))
    seen: dict[str, Scalar] = {}
    for index, value in enumerate(given):
        if fault := scalar_fault(value):
            raise RuleError(fault, spot=(name, index))
        key = canonical(value)
        if key in seen:
            same = (
                "" if type(seen[key]) is type(value) else f" ({show(seen[key])} and {show(value)} are equal)"
            )
            raise RuleError(f"{show(value)} is in this {name} twice{same}: keep one", spot=(name, index))
        seen[key] = value
    return tuple(given)


def _number(name: str, value: object, spot: tuple[str | int, ...]) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError(
            f"{show(value)} is not a number, and {name} takes {KINDS[name].arguments}{unquote(value)}",
            spot=spot,
        )
    if not math.isfinite(value):
        raise RuleError(f"{show(value)} is not finite, and {name} takes finite numbers", spot=spot)
    if KINDS[name].ints:
        if not isinstance(value, int):
            fix = f": write {int(value)}" if value.is_integer() else ""
            raise RuleError(
                f"{show(value)} is not a whole number, and {name} takes whole numbers{fix}", spot=spot
            )
        if abs(value) > LARGEST_INT:
            raise RuleError(
                f"{show(value)} is beyond 2**53, the largest whole number that {name} takes", spot=spot
            )
        return value
    if abs(value) > LARGEST_FLOAT:
        raise RuleError(f"{show(value)} is beyond 1e100, the largest number that {name} takes", spot=spot)
    return float(value)


def _bounds(name: str, args: tuple[Any, ...]) -> None:
    low, high, *rest = args
    kind = KINDS[name]
    if name == "randn":
        if high <= 0:
            fix = f": write {show(-high)}" if high else ""
            raise RuleError(f"sd is {show(high)}, and a standard deviation is above 0{fix}", spot=(name, 1))
        return
    if low == high:
        rule = f"min {show(low)} is not below max {show(high)}"
        raise RuleError(f"{rule}: move a single value to fixed:", spot=(name, 0))
    if low > high:
        turned = [high, low, *rest]
        fix = f": write {show(turned)}" if _accepted({name: turned}) else ""
        raise RuleError(f"min {show(low)} is not below max {show(high)}{fix}", spot=(name, 0))
    if kind.log and low <= 0:
        other = name.replace("log", "")
        fix = f", or use {other}" if _accepted({other: [*args]}) else ""
        raise RuleError(f"min {show(low)} has no logarithm: {name} needs a min above 0{fix}", spot=(name, 0))
    if kind.quantised:
        _quantum(name, low, high, rest[0])


def _quantum(name: str, low: float, high: float, q: float) -> None:
    if q <= 0:
        fix = f": write {show(-q)}" if q else ""
        raise RuleError(f"q is {show(q)}, and a step is above 0{fix}", spot=(name, 2))
    if max(abs(low), abs(high)) / q > LARGEST_INT:
        raise RuleError(
            f"q {show(q)} is too fine a step for {show([low, high])}: write a larger q", spot=(name, 2)
        )
    if name == "qrandint":
        if q == 1:
            raise RuleError(
                f"q is 1, with which Ray Tune excludes max: write {{randint: {show([low, high + 1])}}}, "
                "whose max is excluded too",
                spot=(name, 2),
            )
        first, last = steps(low, high, q)
        if last < first:
            rule = f"no multiple of q {show(q)} lies between {show(low)} and {show(high)}"
            raise RuleError(f"{rule}: write a smaller q, or a wider range", spot=(name, 2))
        return
    for index, bound in enumerate((low, high)):
        step = round(bound / q)
        if not math.isclose(bound / q, step):
            near = sorted({multiple(q, math.floor(bound / q)), multiple(q, math.ceil(bound / q))})
            fits = [each for each in near if (each < high if index == 0 else each > low)]
            fits = [each for each in fits if each > 0 or not KINDS[name].log]
            fix = f"write {' or '.join(map(show, fits))}" if fits else "write a smaller q"
            raise RuleError(f"{show(bound)} is not a multiple of q {show(q)}: {fix}", spot=(name, index))


def _conditions(raw: object) -> dict[str, tuple[Scalar, ...]]:
    if not isinstance(raw, dict) or not raw:
        raise RuleError(
            f"when takes a mapping of another parameter to its value, such as {{loss: bce}}, not {show(raw)}",
            spot=("when",),
        )
    found: dict[str, tuple[Scalar, ...]] = {}
    for other, given in raw.items():
        values = given if isinstance(given, list | tuple) else [given]
        if not values:
            raise RuleError(
                f"when {other} has an empty list, and can never hold: write at least one value",
                spot=("when", other),
            )
        for index, value in enumerate(values):
            spot = ("when", other, index) if values is given else ("when", other)
            if fault := scalar_fault(value):
                raise RuleError(fault, spot=spot)
            if any(alike(value, earlier) for earlier in values[:index]):
                raise RuleError(f"{show(value)} is in this list twice: keep one", spot=spot)
        found[other] = tuple(values)
    return found
