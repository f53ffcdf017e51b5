"""Extend a space by samples, seeds, epochs or values. Nothing is ever removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune_app.errors import SpaceError, nearest
from tune_app.space.files import parse
from tune_app.space.model import SearchSpace
from tune_app.space.reader import read_value, write
from tune_app.space.scalars import alike, scalar_fault, show


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
            raise SpaceError(
                f"--samples {samples}: {space.name} is a grid, which has no samples: add values instead, "
                f"as in {_example(space)}"
            )
        tree["search"]["samples"] = _more("--samples", samples, space.search.samples)
    if seeds is not None:
        tree["seeds"] = _more("--seeds", seeds, space.seeds)
    if epochs is not None:
        tree["epochs"] = _more("--epochs", epochs, space.epochs)
    for text in add:
        _add(text, tree, space)
    wider = changed(space, tree, "extended")
    if wider == space:
        raise SpaceError(
            "nothing to extend by: give --samples, --seeds, --epochs or --add, as in --seeds +5 or "
            f"{_example(space)}"
        )
    return wider


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
    return parse(
        write({**space.plain(), **keys}), file=f"{space.name}, {how}", name=space.name, recorded=recorded
    )


def _more(flag: str, text: str, now: int) -> int:
    """``+5`` adds five, ``10`` makes it ten."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise SpaceError(
            f"{flag} {text}: write how many more, as in {flag} +5, or how many in all, as in {flag} {now + 5}"
        )
    total = int(digits) + (now if text.startswith("+") else 0)
    if total < now:
        raise SpaceError(
            f"{flag} {text}: there are {now} already, and extending only adds: write more than {now}"
        )
    return total


def _example(space: SearchSpace) -> str:
    """An example of ``--add`` for this space: a value of its first grid, or a point."""
    grid = next((name for name, sampler in space.space.items() if sampler.kind == "grid"), None)
    return f"--add {grid}=VALUE" if grid else _point(space)


def _point(space: SearchSpace) -> str:
    names = dict.fromkeys([*space.space, *(name for point in space.configs for name in point)])
    return "--add '{" + ", ".join(f"{name}: VALUE" for name in names) + "}'"


def _add(text: str, tree: dict[str, Any], space: SearchSpace) -> None:
    if text.lstrip().startswith("{"):
        tree.setdefault("configs", [])
        tree["configs"] = [*tree["configs"], read_value(text, f"--add {text}")]
        return
    name, equals, written = text.partition("=")
    name = name.strip()
    if not equals:
        raise SpaceError(f"--add {text}: write name=value or a point, as in {_example(space)}")
    if name not in space.space:
        fixed = f" {name} is fixed at {show(space.fixed[name])}." if name in space.fixed else ""
        guess = fixed or nearest(name, space.space) or f" Write for example {_example(space)}."
        raise SpaceError(f'--add {text}: no parameter called "{name}" is searched.{guess}')
    sampler = space.space[name]
    if sampler.kind != "grid":
        raise SpaceError(
            f"--add {text}: {name} is drawn from {show({sampler.kind: list(sampler.args)})}, and another "
            f"range would draw other points: start a new run for that, or add a whole point, as in "
            f"{_point(space)}"
        )
    value = read_value(written, f"--add {text}")
    if fault := scalar_fault(value):
        raise SpaceError(f"--add {text}: {fault}")
    grid = tree["space"][name]["grid"]  # with the values of an earlier --add
    if any(alike(value, known) for known in grid):
        raise SpaceError(f"--add {text}: {name} has {show(value)} already: {show(grid)}")
    grid.append(value)
