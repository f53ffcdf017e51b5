"""Apply `--set key=value` to a document before it is checked, as if the file had that value."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tune_app.errors import SpaceError, nearest
from tune_app.space.reader import Document, Path, dotted, read_value
from tune_app.space.scalars import literal, show


def apply(override: str, document: Document, keys: Collection[str]) -> None:
    """Change ``document`` in place; ``keys`` are the top-level keys of a search space.

    Raises ``SpaceError``, which names the override, if ``=``, a readable value or a known key is missing.
    """
    key, equals, text = override.partition("=")
    steps: Path = tuple(step.strip() for step in key.split("."))
    if not equals or not all(steps):
        raise SpaceError(f"--set {override}: not key=value: write for example --set epochs=5")
    value = read_value(text, f"--set {override}")
    if steps[0] not in keys:
        if len(steps) > 1:
            raise SpaceError(f'--set {override}: unknown key "{steps[0]}".{nearest(str(steps[0]), keys)}')
        steps = _parameter(str(steps[0]), value, override, document, keys)
    _put(steps, value, override, document)


def _parameter(name: str, value: Any, override: str, document: Document, keys: Collection[str]) -> Path:
    """Return the path at which to set a parameter that is given by name, and remove its old entry."""
    space, fixed = (_mapping(document, part) for part in ("space", "fixed"))
    if name not in space and name not in fixed:
        points = document.tree.get("configs")
        if isinstance(points, list) and any(isinstance(point, dict) and name in point for point in points):
            raise SpaceError(f'--set {override}: "{name}" is set point by point in configs: edit them there')
        guess = nearest(name, [*keys, *space, *fixed])
        known = ", ".join([*space, *fixed])
        rest = guess or (f" The parameters are {known}." if known else " This space has no parameters.")
        raise SpaceError(f'--set {override}: no key and no parameter is called "{name}".{rest}')
    searched = isinstance(value, dict | list)
    if not searched and isinstance(space.get(name), dict) and "when" in space[name]:
        fix = f"{name}={{grid: [{show(value)}], when: {literal(space[name]['when'])}}}"
        raise SpaceError(f"--set {override}: {name} exists only on a condition (when:): write --set '{fix}'")
    here, there = ("space", "fixed") if searched else ("fixed", "space")
    if name in _mapping(document, there):
        del document.tree[there][name]
        _forget((there, name), document)
    return here, name


def _mapping(document: Document, key: str) -> dict[str, Any]:
    found = document.tree.get(key)
    return found if isinstance(found, dict) else {}


def _put(steps: Path, value: Any, override: str, document: Document) -> None:
    inner = document.tree
    for depth, step in enumerate(steps[:-1], start=1):
        following = inner.get(str(step))
        if following is None:  # not in the file, or there without a value
            following = inner[str(step)] = {}
            document.overrides[steps[:depth]] = override
        if not isinstance(following, dict):
            rule = f"{dotted(steps[:depth])} is {show(following)}, which has no keys"
            raise SpaceError(f"--set {override}: {rule}: set it as a whole")
        inner = following
    inner[str(steps[-1])] = value
    _forget(steps, document)
    document.overrides[steps] = override


def _forget(path: Path, document: Document) -> None:
    """Remove the marks of ``path`` and of all below it."""
    for places in (document.marks, document.overrides):
        for place in [place for place in places if place[: len(path)] == path]:
            del places[place]
