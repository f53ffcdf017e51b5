"""Spaces that are changed in some keys, or extended by samples, seeds, epochs or values; how two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune_app.errors import SpaceError, nearest
from tune_app.space.files import parse
from tune_app.space.model import SearchSpace
from tune_app.space.problems import RuleError
from tune_app.space.reader import read_value, write
from tune_app.space.scalars import is_compound, show, whole_numbers


def build(tree: Mapping[str, Any], name: str = "space") -> SearchSpace:
    """Make a search space from the content of its file.

    Raises:
        SpaceError: a value violates a rule.
    """
    return parse(write(tree), file=name, name=name)


def changed(space: SearchSpace, keys: Mapping[str, Any], how: str, recorded: bool = False) -> SearchSpace:
    """A space with new values for some keys, checked like a file (``recorded``: see `parse`).

    Raises:
        SpaceError: a value violates a rule; the message has ``how`` in place of a file's name.
    """
    tree = {**space.plain(), **keys}
    return parse(write(tree), file=f"{space.name}, {how}", name=space.name, recorded=recorded)


def difference(a: SearchSpace, b: SearchSpace) -> list[str]:
    """List the keys in which recorded ``a`` and requested ``b`` differ; empty if they are equal."""
    old, new = _flat(a), _flat(b)
    found = [
        f"{key}: {old.get(key, 'nothing')} recorded, {new.get(key, 'nothing')} asked"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    if not found and a != b:
        found.append("the order of the parameters: configurations would be planned in another order")
    return found


def _flat(space: SearchSpace) -> dict[str, str]:
    """Return the dotted keys of a space with their values as text, in which 4 and 4.0 are equal."""
    flat: dict[str, Any] = {}
    for key, value in space.plain().items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{key}.{inner}".removesuffix("."): part for inner, part in parts if key != "description"}
    return {key: show(whole_numbers(value), limit=120) for key, value in flat.items()}


def extend(
    space: SearchSpace,
    *,
    samples: str | None = None,
    seeds: str | None = None,
    epochs: str | None = None,
    add: Sequence[str] = (),
) -> SearchSpace:
    """The space that ``tune-app extend`` asks for: all of ``space``, and more.

    Args:
        samples: the new number, ``50``, or the number to add, ``+20``; likewise ``seeds`` and ``epochs``.
        add: ``name=value`` for one more value of a grid, or a whole point as a YAML mapping.

    Raises:
        SpaceError: nothing is added, a number is below the present one, or a value cannot be added.
    """
    tree = space.plain()
    if samples is not None:
        if space.search.samples is None:
            rule = f"{space.name} is a grid, which has no samples: add values, as in {_example(space)}"
            raise SpaceError(f"--samples {samples}: {rule}")
        tree["search"]["samples"] = _more("--samples", samples, space.search.samples)
    if seeds is not None:
        tree["seeds"] = _more("--seeds", seeds, space.seeds)
    if epochs is not None:
        tree["epochs"] = _more("--epochs", epochs, space.epochs)
    for text in add:
        try:
            _add(text, tree, space)
        except RuleError as error:
            raise SpaceError(f"--add {text}: {error.text}") from None
    wider = changed(space, tree, "extended")
    if wider == space:
        known = f"--seeds +5 or {_example(space)}"
        raise SpaceError(f"nothing to extend by: give --samples, --seeds, --epochs or --add, as in {known}")
    return wider


def _more(flag: str, text: str, now: int) -> int:
    """``+5`` adds five, ``10`` makes it ten."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        rule = f"write how many more, as in {flag} +5, or how many in all, as in {flag} {now + 5}"
        raise SpaceError(f"{flag} {text}: {rule}")
    total = int(digits) + (now if text.startswith("+") else 0)
    if total < now:
        rule = f"there are {now} already, and extending only adds: write more than {now}"
        raise SpaceError(f"{flag} {text}: {rule}")
    return total


def _example(space: SearchSpace) -> str:
    grid = next((name for name, sampler in space.space.items() if sampler.kind == "grid"), None)
    return f"--add {grid}=VALUE" if grid else _point(space)


def _point(space: SearchSpace) -> str:
    names = dict.fromkeys([*space.space, *(name for point in space.configs for name in point)])
    return "--add '{" + ", ".join(f"{name}: VALUE" for name in names) + "}'"


def _add(text: str, tree: dict[str, Any], space: SearchSpace) -> None:
    """Add the point or the value of ``--add``. Raises ``RuleError``, or ``SpaceError`` if it is no YAML."""
    if text.lstrip().startswith("{"):
        tree["configs"] = [*tree["configs"], read_value(text, f"--add {text}")]
        return
    name, equals, written = text.partition("=")
    name = name.strip()
    if not equals:
        raise RuleError(f"write name=value or a point, as in {_example(space)}")
    if name not in space.space:
        fixed = f" {name} is fixed at {show(space.fixed[name])}." if name in space.fixed else ""
        guess = fixed or nearest(name, space.space) or f" Write for example {_example(space)}."
        raise RuleError(f'no parameter called "{name}" is searched.{guess}')
    grid = tree["space"][name].get("grid")  # with the values of an earlier --add
    if grid is None:
        rule = f"{name} is drawn from {show(tree['space'][name])}, and another range would draw other points"
        raise RuleError(f"{rule}: start a new run for that, or add a whole point, as in {_point(space)}")
    value = read_value(written, f"--add {text}")
    if isinstance(value, list) and not any(map(is_compound, space.space[name].args)):
        raise RuleError(f"write one value; for several, give --add {name}=VALUE again")
    grid.append(value)
