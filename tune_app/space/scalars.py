"""The values of parameters: which are valid, which are equal, and how files and messages write them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

Scalar = str | int | float | bool | None

#: The value of a parameter.
Value = Scalar | list[Any] | dict[str, Any]

#: A configuration: one value for each parameter.
Config = Mapping[str, Value]

_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BARE = re.compile(r"[A-Za-z_]([A-Za-z0-9_.:/-]*[A-Za-z0-9_])?")


def canonical(value: Any) -> str:
    """Return canonical JSON of ``value`` for fingerprints: sorted keys, ``4`` and ``4.0`` equal.

    Takes any JSON value (tuples count as lists). Raises ``ValueError`` for a number that is
    not finite and ``TypeError`` for anything else.

    >>> canonical({"b": 4.0, "a": (True, 3e-6)})
    '{"a":[true,3e-06],"b":4}'
    """
    return json.dumps(
        whole_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def whole_numbers(value: Any) -> Any:
    """Return ``value`` with every whole float as an integer, in lists and mappings too."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    return value


def alike(a: Value, b: Value) -> bool:
    """Whether two values are equal: ``4`` and ``4.0`` are, ``1`` and ``true`` are not."""
    return canonical(a) == canonical(b)


def plain(text: str) -> Scalar:
    """Return the value of an unquoted word in the core schema of YAML 1.2.

    Raises ``ValueError`` for an integer with too many digits for Python.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if text[:2] not in ("0o", "0x") else int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def show(value: Any, limit: int = 60) -> str:
    """Return ``value`` for a message: as in a file, on one line, of at most ``limit`` characters."""
    text = literal(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def literal(value: Any, bare: bool = False) -> str:
    """Return ``value`` as YAML on one line, a text in quotes; ``bare``: only a text that needs them."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item, bare) for item in value) + "]"
    if isinstance(value, dict):
        keys = {key: literal(key, True) if bare else key for key in value}
        return "{" + ", ".join(f"{keys[key]}: {literal(item, bare)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return value if bare and _BARE.fullmatch(value) and plain(value) == value else quote(value)
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
    return json.dumps(value)


def quote(text: str) -> str:
    """Return ``text`` as a double-quoted YAML string, with unprintable characters escaped."""
    return '"' + "".join(_escape(letter) for letter in text) + '"'


def _escape(letter: str) -> str:
    if letter in '"\\\n':
        return "\\" + letter.replace("\n", "n")
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_compound(value: object) -> bool:
    """Whether a value is a list or a mapping."""
    return isinstance(value, list | tuple | dict)


def value_fault(value: object) -> str:
    """Say why ``value`` cannot be a parameter's value, or return an empty string."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        return next(filter(None, map(value_fault, value)), "")
    if not isinstance(value, str | int | float | bool | None):
        return f"{value!r} is not a number, text, true, false, null, list or mapping"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{show(value)} is not finite: no trial can be trained with it"
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return f"{show(value)} holds half a character (a lone surrogate), which no file can store"
    return ""
