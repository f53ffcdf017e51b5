"""The samplers of parameters, with Ray Tune's names, arguments and bounds: read, checked and drawn from."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tune_app.errors import closest
from tune_app.space.foreign import translate
from tune_app.space.labelled import labelled
from tune_app.space.problems import RuleError, explain
from tune_app.space.scalars import Value, alike, canonical, is_compound, literal, show, value_fault

if TYPE_CHECKING:  # numpy is needed only to draw
    import numpy as np

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
#: The bounds are far above any hyperparameter; they keep every range and sum finite.
_NUMBERS = TypeAdapter(tuple[Annotated[float, Field(ge=-1e100, le=1e100)], ...], config=_STRICT)
_LARGEST_INT = 2**53  # above it, different whole numbers are equal as floats
_INTEGERS = TypeAdapter(tuple[Annotated[int, Field(ge=-_LARGEST_INT, le=_LARGEST_INT)], ...], config=_STRICT)


@dataclass(frozen=True)
class Kind:
    """One kind of sampler: ``arguments`` and ``description`` are for people.

    ``ints``: its numbers are whole. ``log``: its bounds must be above 0. ``listed``: its values are
    countable, so that ``when:`` may compare with them.
    """

    name: str
    arguments: str
    description: str
    ints: bool = False
    log: bool = False
    listed: bool = True

    @property
    def count(self) -> int:
        """The number of its arguments; 0 for any list of values."""
        return 0 if self.arguments == _LIST else self.arguments.count(",") + 1


_LIST, _RANGE, _STEPS = "[value, ...]", "[min, max]", "[min, max, q]"
_MULTIPLE, _WHOLE = "A multiple of q from min to max, both included", "A whole number from min to max - 1"
_EVENLY = ", evenly over orders of magnitude."

KINDS = {
    kind.name: kind
    for kind in (
        Kind("grid", _LIST, "Every value is tried."),
        Kind("choice", _LIST, "One of the values, all equally likely unless p has their probabilities."),
        Kind("uniform", _RANGE, "A number from min up to, but not including, max.", listed=False),
        Kind("loguniform", _RANGE, f"A number between min and max{_EVENLY}", log=True, listed=False),
        Kind("quniform", _STEPS, f"{_MULTIPLE}."),
        Kind("qloguniform", _STEPS, f"{_MULTIPLE}{_EVENLY}", log=True),
        Kind("randint", _RANGE, f"{_WHOLE}.", ints=True),
        Kind("lograndint", _RANGE, f"{_WHOLE}{_EVENLY}", ints=True, log=True),
        Kind("qrandint", _STEPS, f"{_MULTIPLE}; q is a whole number.", ints=True),
        Kind("normal", "[mean, sd]", "A number from the normal distribution.", listed=False),
        Kind("randn", "[mean, sd]", "Ray Tune's name of normal.", listed=False),
        Kind("lognormal", "[mean, sd]", "A number whose natural logarithm is normal.", listed=False),
    )
}
#: The kinds without bounds.
BELLS = ("normal", "randn", "lognormal")
#: The largest natural logarithm of a number from a ``lognormal``, eight standard deviations out.
_LARGEST_LOG = 230


@dataclass(frozen=True)
class Sampler:
    """One parameter of a space: ``kind`` and ``args`` as in the file, and when the parameter exists.

    ``when`` maps other parameters to the values beside which this one exists; all of them must hold.
    ``p`` are the probabilities of a ``choice``; empty if they are equal.
    """

    kind: str
    args: tuple[Any, ...]
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    p: tuple[float, ...] = ()

    def draw(self, rng: np.random.Generator) -> Value:
        """Draw one plain Python value. Raises ``TypeError`` for a ``grid``, of which every value is tried."""
        if self.kind == "grid":
            raise TypeError("a grid draws nothing: every value is tried")
        if self.p:
            return self.quantile(float(rng.random()))
        if self.kind == "choice":
            chosen: Value = self.args[int(rng.integers(len(self.args)))]
            return chosen
        if self.kind in BELLS:
            drawn = float(rng.normal(*self.args))
            return math.exp(drawn) if self.kind == "lognormal" else drawn
        kind, (low, high, *step) = KINDS[self.kind], self.args
        if kind.ints and not kind.log:
            q = step[0] if step else 1
            first, last = steps(low, high, q) if step else (low, high - 1)
            return int(rng.integers(first, last + 1)) * q
        if kind.log:
            drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
            drawn = min(max(drawn, low), high)  # exp(log(x)) may miss x by a rounding
        else:
            drawn = float(rng.uniform(low, high))
        if step:
            return float(multiple(step[0], round(drawn / step[0])))
        return min(math.floor(drawn), high - 1) if kind.ints else drawn

    @property
    def by_share(self) -> bool:
        """Whether Optuna lacks the distribution, and suggests a share u for the value ``quantile(u)``."""
        return self.kind in (*BELLS, "qloguniform") or bool(self.p)

    def quantile(self, u: float) -> Value:
        """The value below which a share ``u`` of the distribution lies, 0 < u < 1, if it is ``by_share``."""
        if self.p:
            place = bisect_left([*accumulate(self.p)], u * sum(self.p))
            chosen: Value = self.args[min(place, len(self.args) - 1)]
            return chosen
        if self.kind == "qloguniform":
            low, high, q = self.args
            exact = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
            return float(multiple(q, round(min(max(exact, low), high) / q)))
        at = NormalDist(*self.args).inv_cdf(u)
        return math.exp(at) if self.kind == "lognormal" else at

    def share(self, value: Any) -> float:
        """A share whose ``quantile`` is ``value``: of a value with a probability, the middle of its share."""
        if self.p:
            place = next(place for place, arg in enumerate(self.args) if alike(arg, value))
            return (sum(self.p[:place]) + self.p[place] / 2) / sum(self.p)
        if self.kind == "qloguniform":
            low, high, _ = self.args
            return math.log(value / low) / math.log(high / low)
        return NormalDist(*self.args).cdf(math.log(value) if self.kind == "lognormal" else value)

    def extremes(self) -> tuple[Value, ...]:
        """Return every value of a ``grid`` or ``choice``, the ends of a range, nothing without bounds."""
        if self.kind in ("grid", "choice"):
            return self.args
        if self.kind in BELLS:
            return ()
        low, high, *_ = self.args
        return (low, high - 1) if self.kind in ("randint", "lograndint") else (low, high)

    def can_be(self, value: Value) -> bool:
        """Whether this sampler can give ``value`` (for kinds with countable values)."""
        if self.kind in ("grid", "choice"):
            return any(alike(value, arg) for arg in self.args)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high, *q = self.args
        if q:
            return low <= value <= high and alike(value, multiple(q[0], round(value / q[0])))
        return low <= value < high and float(value).is_integer()

    def plain(self, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the mapping that a file would have: the kind, then ``when`` if there is any."""
        when = {
            other: values[0] if len(values) == 1 and not is_compound(values[0]) else list(values)
            for other, values in self.when.items()
        }
        args = [labelled(arg, labels or {}) for arg in self.args]
        weights = {"p": list(self.p)} if self.p else {}
        return {self.kind: args, **weights, **({"when": when} if when else {})}


def steps(low: float, high: float, q: float) -> tuple[int, int]:
    """Return the first and last multiple of ``q`` within the bounds, as Ray Tune snaps them inwards."""

    def index(bound: float, inwards: Callable[[float], int]) -> int:
        return round(bound / q) if _is_multiple(bound, q) else inwards(bound / q)

    return index(low, math.ceil), index(high, math.floor)


def multiple(q: float, step: int) -> float | int:
    """Return ``step * q``: through decimals, so that three steps of 0.1 are 0.3 and one fingerprint."""
    return q * step if isinstance(q, int) else float(Decimal(repr(q)) * step)


def _is_multiple(value: float, q: float) -> bool:
    return math.isclose(value / q, round(value / q))


def read_sampler(raw: object) -> Sampler:
    """Make a sampler of ``{kind: args}``, with or without ``when``. Raises :class:`RuleError`."""
    if isinstance(raw, Sampler):
        return raw
    if not isinstance(raw, dict):
        values = raw if isinstance(raw, list | tuple) else [raw]
        grid = literal({"grid": values})
        known = "{grid: [...]}" if raw is None or len(grid) > 200 else grid
        fix = _translated(raw) or f"{known}, or move a single value to fixed:"
        raise RuleError(f"{show(raw)} is not a sampler: write {fix}")
    kinds = [key for key in raw if key not in ("when", "p")]
    for key in kinds:
        if key not in KINDS:
            raise RuleError(f'unknown sampler "{key}"{_correction(key, raw)}', spot=(key,))
    if len(kinds) != 1:
        rule = f"{' and '.join(kinds) or 'no sampler'} for one parameter: write exactly one"
        raise RuleError(f"{rule}, such as {{grid: [1, 2]}}", spot=tuple(kinds[1:2]))
    [kind] = kinds
    args = _arguments(kind, raw[kind])
    when = _conditions(raw["when"]) if "when" in raw else {}
    return Sampler(kind, args, when, _probabilities(kind, args, raw["p"]) if "p" in raw else ())


def _correction(key: str, raw: dict[str, Any]) -> str:
    """What to write instead of an unknown sampler: the translation from another tool, or the nearest name."""
    if set(raw) - {"when"} == {"value"}:
        return ": move a single value to fixed:"
    if known := _translated(raw):
        return f": write {known}"
    guess = closest(key, [*KINDS, "when"])
    is_meant = guess == "when" or (guess and _is_accepted({guess: raw[key]}))
    return f'. Did you mean "{guess}"?' if is_meant else f". The samplers are {', '.join(KINDS)}."


def _translated(raw: object) -> str:
    """The translation of a parameter in another tool's format; empty if unknown or invalid."""
    known = translate(raw)
    if known is None or not known.keys() <= {*KINDS, "p"} or not _is_accepted(known):
        return ""
    if "choice" in known and "p" not in known:
        return f"{literal({'grid': known['choice']})} to try each, or {literal(known)} to draw from them"
    return literal(known)


def _is_accepted(raw: dict[str, Any]) -> bool:
    try:
        read_sampler(raw)
    except RuleError:
        return False
    return True


def _arguments(name: str, given: object) -> tuple[Any, ...]:
    kind = KINDS[name]
    if not isinstance(given, list | tuple) or kind.count not in (0, len(given)):
        raise RuleError(f"{name} takes a list, {kind.arguments}, not {show(given)}", spot=(name,))
    if kind.count == 0:
        return _values(name, given, (name,))
    try:
        args = (_INTEGERS if kind.ints else _NUMBERS).validate_python(tuple(given))
    except ValidationError as error:
        first = next(explain(error, BaseModel))
        raise RuleError(first.text, spot=(name, *first.path)) from None
    for index, rule in _violations(kind, args):
        raise RuleError(rule, spot=(name, index))
    return args


def _probabilities(kind: str, args: tuple[Any, ...], given: object) -> tuple[float, ...]:
    if kind != "choice":
        raise RuleError(f"p has the probabilities of a choice, and this is {kind}: leave p out", spot=("p",))
    if not isinstance(given, list | tuple) or len(given) != len(args):
        rule = f"p takes a list of {len(args)} probabilities, one for each value"
        raise RuleError(f"{rule}, not {show(given)}", spot=("p",))
    try:
        p = _NUMBERS.validate_python(tuple(given))
    except ValidationError as error:
        first = next(explain(error, BaseModel))
        raise RuleError(first.text, spot=("p", *first.path)) from None
    for index, each in enumerate(p):
        if each <= 0:
            rule = f"{show(each)} is not a probability above 0: write one, or remove the value"
            raise RuleError(rule, spot=("p", index))
    if not math.isclose(sum(p), 1, abs_tol=0.01):
        fix = show([float(f"{each / sum(p):.4g}") for each in p])
        raise RuleError(f"the probabilities sum to {sum(p):.4g}, not to 1: write {fix}", spot=("p",))
    return p


def _values(name: str, given: Sequence[Any], spot: tuple[str | int, ...]) -> tuple[Value, ...]:
    """The values of a list called ``name``: at least one, and no two that are equal."""
    if not given:
        raise RuleError(f"this {name} is empty: write at least one value", spot=spot)
    seen = set[str]()
    for index, value in enumerate(given):
        if fault := value_fault(value):
            raise RuleError(fault, spot=(*spot, index))
        if canonical(value) in seen:
            same = " (4 and 4.0 are equal)" if isinstance(value, float) else ""
            raise RuleError(f"{show(value)} is in this {name} twice{same}: keep one", spot=(*spot, index))
        seen.add(canonical(value))
    return tuple(given)


def _violations(kind: Kind, args: tuple[Any, ...]) -> Iterator[tuple[int, str]]:
    """The rules that arguments break together: the index of the argument at fault, and the message."""
    low, high, *rest = args
    if kind.name in BELLS:
        if high <= 0:
            yield 1, f"sd is {show(high)}, and a standard deviation is above 0"
        elif kind.name == "lognormal" and abs(low) + 8 * high > _LARGEST_LOG:
            rule = "mean and sd are those of the natural logarithm, and with these the number is too large"
            yield 0, f"{rule}: write smaller ones"
        return
    if low >= high:
        fix = "move a single value to fixed:" if low == high else f"write {show([high, low, *rest])}"
        yield 0, f"min {show(low)} is not below max {show(high)}: {fix}"
    if kind.log and low <= 0:
        linear = kind.name.replace("log", "")
        yield 0, f"min {show(low)} has no logarithm: {kind.name} needs a min above 0, or use {linear}"
    if not rest:
        return
    [q] = rest
    if q <= 0:
        yield 2, f"q is {show(q)}, and a step is above 0"
    elif max(abs(low), abs(high)) / q > _LARGEST_INT:
        yield 2, f"q {show(q)} is too fine a step for {show([low, high])}: write a larger q"
    elif kind.ints and q == 1:
        fix = f"write {{randint: {show([low, high + 1])}}}, whose max is excluded too"
        yield 2, f"q is 1, with which Ray Tune excludes max: {fix}"
    elif kind.ints:
        first, last = steps(low, high, q)
        if last < first:
            rule = f"no multiple of q {show(q)} lies between {show(low)} and {show(high)}"
            yield 2, f"{rule}: write a smaller q, or a wider range"
    else:
        for index, bound in enumerate((low, high)):
            if not _is_multiple(bound, q):
                near = [show(multiple(q, rounded(bound / q))) for rounded in (math.floor, math.ceil)]
                yield index, f"{show(bound)} is not a multiple of q {show(q)}: write {' or '.join(near)}"


def _conditions(raw: object) -> dict[str, tuple[Value, ...]]:
    if not isinstance(raw, dict) or not raw:
        rule = "when takes a mapping of another parameter to its value, such as {loss: bce}"
        raise RuleError(f"{rule}, not {show(raw)}", spot=("when",))
    return {
        other: _values("list", given if isinstance(given, list | tuple) else [given], ("when", other))
        for other, given in raw.items()
    }


def kind_of(value: Mapping[str, Any]) -> str:
    """The sampler that a mapping is meant as, where a value is expected; empty if it may be a value."""
    kinds = [key for key, args in value.items() if key in KINDS and isinstance(args, list)]
    return kinds[0] if kinds and value.keys() <= {*kinds, "when", "p"} else ""


#: The JSON schema of a value; a mapping of ``label`` and ``value`` gives it a name.
VALUE_SCHEMA = {"type": ["string", "number", "boolean", "null", "array", "object"]}


def schema() -> dict[str, Any]:
    """Return the JSON schema of one parameter of a space, for editors."""
    value = VALUE_SCHEMA
    values = {"type": "array", "items": value, "minItems": 1}
    kinds: dict[str, Any] = {}
    for name, kind in KINDS.items():
        number = {"type": "integer" if kind.ints else "number"}
        numbers = {"type": "array", "items": number, "minItems": kind.count, "maxItems": kind.count}
        taken = numbers if kind.count else {**values, "uniqueItems": True}
        kinds[name] = {"description": f"{kind.arguments}: {kind.description}", **taken}
    when = {
        "type": "object",
        "description": "This parameter exists only if another one has this value, or one of these values.",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [value, values]},
    }
    positive = {"type": "number", "exclusiveMinimum": 0}
    probabilities = {
        "type": "array",
        "description": "The probabilities of the values of a choice. They sum to 1.",
        "items": positive,
    }
    return {
        "type": "object",
        "description": "One sampler as {kind: arguments}. when is the condition under which it exists.",
        "properties": {**kinds, "p": probabilities, "when": when},
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in KINDS],
    }
