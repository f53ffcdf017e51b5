"""Labels of values: a file may write ``{label: small, value: [32, 32]}`` wherever it writes a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tune_app.space.problems import RuleError
from tune_app.space.reader import Path
from tune_app.space.scalars import Value, canonical, is_compound, show, value_fault

#: The label of each labelled value, by parameter and the value's ``canonical`` form.
Labels = Mapping[str, Mapping[str, str]]


def labelled(value: Value, labels: Mapping[str, str]) -> Any:
    """A value as a file would have it: with its label, if it has one."""
    label = labels.get(canonical(value))
    return value if label is None else {"label": label, "value": value}


def written(value: Value, labels: Mapping[str, str]) -> Value:
    """A value as a cell of a table has it: its label, else itself, a list or a mapping as JSON."""
    label = labels.get(canonical(value))
    if label is not None:
        return label
    return json.dumps(value, ensure_ascii=False) if is_compound(value) else value


def separate(tree: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Take the labels out of a file's content, in which each labelled value becomes the value itself.

    A condition may name a value by its label.

    Raises:
        RuleError: a label is no text, a value has two labels, or tables would show two values as one.
    """
    labels: dict[str, dict[str, str]] = {}
    seen: dict[str, dict[str, tuple[Value, Path]]] = {}
    for name, holder, key, path in _places(tree):
        value = holder[key]
        if isinstance(value, dict) and value.keys() == {"label", "value"}:
            holder[key], label = value["value"], value["label"]
            value, own = value["value"], labels.setdefault(name, {})
            if not isinstance(label, str) or not label.strip() or not label.isprintable():
                raise RuleError(f"{show(label)} is not a label: write a word", path)
            if not value_fault(value) and (other := own.setdefault(canonical(value), label)) != label:
                raise RuleError(
                    f"{show(value)} has two labels, {show(other)} and {show(label)}: keep one", path
                )
        if not value_fault(value):
            seen.setdefault(name, {}).setdefault(canonical(value), (value, path))
    for name, values in seen.items():
        first: dict[str, Value] = {}
        for value, path in values.values():
            text = written(value, labels.get(name, {}))
            if isinstance(text, str) and (earlier := first.setdefault(text, value)) is not value:
                rule = f"tables would show {show(value)} and {show(earlier)} as {show(text)}"
                raise RuleError(f"{rule}: give one of them another label", path)
    for _, raw in _items(tree.get("space")):
        conditions: Any = raw.get("when") if isinstance(raw, dict) else None
        for other, given in _items(conditions):
            known = {label: seen[other][key][0] for key, label in labels.get(other, {}).items()}
            if isinstance(given, str) and given in known:
                conditions[other] = [known[given]]
            elif isinstance(given, list):
                conditions[other] = [
                    known.get(each, each) if isinstance(each, str) else each for each in given
                ]
    return labels


def _places(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, Path]]:
    """Where a file has values: the parameter, the list or mapping that holds one, its key there, its path."""
    for name, raw in _items(tree.get("space")):
        for kind, values in _items(raw):
            if kind in ("grid", "choice") and isinstance(values, list):
                yield from (
                    (name, values, index, ("space", name, kind, index)) for index in range(len(values))
                )
    points = tree.get("configs")
    holders: list[tuple[Any, Path]] = [(tree.get("fixed"), ("fixed",))]
    holders += [
        (point, ("configs", index)) for index, point in enumerate(points if isinstance(points, list) else [])
    ]
    for holder, path in holders:
        yield from ((name, holder, name, (*path, name)) for name, _ in _items(holder))


def _items(raw: object) -> list[tuple[str, Any]]:
    return list(raw.items()) if isinstance(raw, dict) else []
