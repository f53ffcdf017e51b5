"""The keys in which two search spaces differ, for messages."""

from __future__ import annotations

from typing import Any

from tune_app.space.model import SearchSpace
from tune_app.space.scalars import show, whole_numbers


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
        if key == "description":
            continue
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return {key: show(whole_numbers(value), limit=120) for key, value in flat.items()}
