"""The faults of a search space as messages, with the file and line of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tune_app.errors import SpaceError, nearest
from tune_app.space.reader import Document, Path, plain
from tune_app.space.scalars import canonical, literal, quote, show


class RuleError(ValueError):
    """One violated rule: the message, and where it applies.

    The message names ``path``; the caret points at ``path + spot``: its value, or its key if ``on_key``. It
    is a ``ValueError``, so that pydantic's validators may raise it.
    """

    def __init__(self, text: str, path: Path = (), spot: Path = (), on_key: bool = False) -> None:
        super().__init__(text)
        self.text, self.path, self.spot, self.on_key = text, path, spot, on_key

    def under(self, path: Path) -> RuleError:
        """Return this error with ``path`` before its own."""
        return RuleError(self.text, (*path, *self.path), self.spot, self.on_key)


class RulesError(ValueError):
    """Several violated rules, found together."""

    def __init__(self, found: Iterable[RuleError]) -> None:
        super().__init__("several rules are violated")
        self.found = list(found)


def raise_any(found: list[RuleError]) -> None:
    """Raise :class:`RulesError` if anything was found."""
    if found:
        raise RulesError(found)


def refuse(problems: list[RuleError], document: Document) -> SpaceError:
    """Return the error that names the first problem in the order of the file, and counts the others."""
    first, *others = sorted(problems, key=lambda p: document.place((*p.path, *p.spot), p.on_key))
    text = document.message(first.path, first.text, first.spot, first.on_key)
    return SpaceError(f"{text}\n(and {len(others)} more)" if others else text)


def explain(error: ValidationError, model: type[BaseModel]) -> list[RuleError]:
    """Convert pydantic's errors of ``model``."""
    found: list[RuleError] = []
    for detail in error.errors(include_url=False):
        path: Path = tuple(detail["loc"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, RulesError):
            found += [problem.under(path) for problem in cause.found]
        elif isinstance(cause, RuleError):
            found.append(cause.under(path))
        elif detail["type"] == "extra_forbidden":
            found.append(_unknown(path, model))
        elif detail["type"] == "missing":
            examples = _model_at(model, path[:-1]).model_fields[str(path[-1])].examples or ["..."]
            found.append(RuleError(f"missing: add {path[-1]}: {' or '.join(map(str, examples))}", path))
        elif detail["type"] in _NO_MAPPING and isinstance(detail["input"], str):
            key = next(iter(_model_at(model, path).model_fields))
            known = f"{{{key}: {literal(detail['input'])}}}"
            found.append(RuleError(f"{show(detail['input'])} is not a mapping: write {known}", path))
        else:
            sentence = SENTENCES.get(detail["type"], _fallback)
            found.append(RuleError(sentence(detail["input"], detail.get("ctx", {})), path))
    return found


def _unknown(path: Path, model: type[BaseModel]) -> RuleError:
    key, known = str(path[-1]), list(_model_at(model, path[:-1]).model_fields)
    if "space" in known and not nearest(key, known):
        rest = f" The keys are {', '.join(known)}; a parameter goes below space: or fixed:."
    else:
        rest = nearest(key, known) or f" The keys here are {', '.join(known)}."
    return RuleError(f'unknown key "{key}".{rest}', path[:-1], (key,), on_key=True)


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """Return the model of the mapping at ``path``."""
    for step in path:
        annotation = model.model_fields[str(step)].annotation
        model = next(
            m for m in (annotation, *get_args(annotation)) if isinstance(m, type) and issubclass(m, BaseModel)
        )
    return model


def _whole_number(value: Any, _: dict[str, Any]) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"{show(value)} is not a whole number: write {int(value)}"
    return f"{show(value)} is not a whole number{unquote(value)}"


def _number(value: Any, _: dict[str, Any]) -> str:
    return f"{show(value)} is not a number{unquote(value)}"


def unquote(value: Any) -> str:
    """The fix for a number in quotes; empty for any other value."""
    try:
        number = plain(value.strip()) if isinstance(value, str) else None
    except ValueError:  # too many digits
        return ""
    finite = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    return ": take the quotes away" if finite else ""


def _text(value: Any, _: dict[str, Any]) -> str:
    quoted = isinstance(value, int | float)
    return f"{show(value)} is not text" + (f": write {quote(literal(value))}" if quoted else "")


def _word(value: Any, context: dict[str, Any]) -> str:
    known = [
        word for word in str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ") if word
    ]
    return f"{show(value)} is not one of {', '.join(known)}.{nearest(str(value), known)}"


_NO_MAPPING = ("model_type", "model_attributes_type")


def _mapping(value: Any, _: dict[str, Any]) -> str:
    if value is None:
        return "no value is written here, and a mapping is needed: write {} or leave the key out"
    return f"{show(value)} is not a mapping: write keys and values, as in {{key: value}}"


def _list(value: Any, _: dict[str, Any]) -> str:
    return f"{show(value)} is not a list: write [...], or one item a line after a dash"


def _fallback(value: Any, _: dict[str, Any]) -> str:
    return f"{show(value)} is not a value that this key takes"


SENTENCES: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    **dict.fromkeys(["int_type", "int_from_float"], _whole_number),
    "float_type": _number,
    "string_type": _text,
    "literal_error": _word,
    **dict.fromkeys(["dict_type", "mapping_type", *_NO_MAPPING], _mapping),
    **dict.fromkeys(["tuple_type", "list_type"], _list),
    "finite_number": lambda value, _: f"{show(value)} is not finite: write a finite number",
    "greater_than": lambda value, c: f"{show(value)} is too small: it must be above {canonical(c['gt'])}",
    "greater_than_equal": lambda value, c: f"{show(value)} is too small: {canonical(c['ge'])} is the least",
    "less_than_equal": lambda value, c: f"{show(value)} is too large: {canonical(c['le'])} is the most",
}
