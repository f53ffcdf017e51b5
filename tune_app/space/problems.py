"""The faults of a search space as messages, with the file and line of each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

from tune_app.errors import SpaceError, nearest
from tune_app.space.foreign import DIRECTIONS
from tune_app.space.reader import Document, Path
from tune_app.space.scalars import canonical, literal, plain, quote, show


class RuleError(ValueError):
    """One violated rule: the message, and where it applies.

    The message names ``path``; the caret points at ``path + spot``: its value, or its key if ``on_key``. It
    is a ``ValueError``, so that pydantic's validators may raise it.
    """

    def __init__(self, text: str, path: Path = (), spot: Path = (), on_key: bool = False) -> None:
        super().__init__(text)
        self.text, self.path, self.spot, self.on_key = text, path, spot, on_key


def refuse(problems: Sequence[RuleError], document: Document) -> SpaceError:
    """Return the error that names the first problem in the order of the file, and counts the others."""

    def order(problem: RuleError) -> tuple[bool, tuple[int, int]]:
        place, _ = document.place((*problem.path, *problem.spot), problem.on_key)
        return problem.text.startswith(
            "missing: add"
        ), place  # an unknown key may be the missing one, misspelled

    first, *others = sorted(problems, key=order)
    text = document.message(first.path, first.text, first.spot, first.on_key)
    return SpaceError(f"{text}\n(and {len(others)} more)" if others else text)


def explain(error: ValidationError, model: type[BaseModel]) -> list[RuleError]:
    """Convert pydantic's errors of ``model``."""
    found: list[RuleError] = []
    for detail in error.errors(include_url=False):
        path, value, kind = tuple(detail["loc"]), detail["input"], detail["type"]
        context = detail.get("ctx", {})
        if isinstance(cause := context.get("error"), RuleError):
            found.append(RuleError(cause.text, (*path, *cause.path), cause.spot, cause.on_key))
        elif kind == "extra_forbidden":
            known = list(_model_at(model, path[:-1]).model_fields)
            rule = f'unknown key "{path[-1]}"{_right_key(str(path[-1]), value, known)}'
            found.append(RuleError(rule, path[:-1], path[-1:], on_key=True))
        elif kind == "missing":
            examples = _model_at(model, path[:-1]).model_fields[str(path[-1])].examples or ["..."]
            found.append(RuleError(f"missing: add {path[-1]}: {' or '.join(examples)}", path))
        elif kind in ("model_type", "model_attributes_type") and isinstance(value, str):
            rule = f"{show(value)} is not a mapping: write {_section(value, _model_at(model, path))}"
            found.append(RuleError(rule, path))
        else:
            facts = {key: canonical(limit) for key, limit in context.items() if key in ("gt", "ge", "le")}
            sentence = SENTENCES.get(kind, "is not a value that this key takes")
            words = _right_word(str(value), str(context.get("expected")))
            text = f"{show(value)} {sentence.format(fix=_right_type(kind, value), words=words, **facts)}"
            found.append(RuleError(text, path))
    return found


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """Return the model of the mapping at ``path``, in which numbers are places in a list."""
    for step in path:
        if isinstance(step, str):
            annotation = model.model_fields[step].annotation
            classes = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
            model = next(each for each in classes if issubclass(each, BaseModel))
    return model


def _right_key(key: str, value: object, known: list[str]) -> str:
    if "mode" in known and (word := DIRECTIONS.get(str(value).lower())):
        return f": write mode: {word}"
    if guess := nearest(key, known):
        return f".{guess}"
    rest = "; a parameter goes below space: or fixed:" if "space" in known else ""
    return f". The keys here are {', '.join(known)}{rest}."


def _section(value: str, model: type[BaseModel]) -> str:
    """The mapping of a section of which only the first value is written."""
    first, *others = [key for key, field in model.model_fields.items() if field.is_required()] or ["key"]
    missing = [f", {key}: {' or '.join(model.model_fields[key].examples or [])}" for key in others]
    return f"{{{first}: {literal(value)}{''.join(missing)}}}"


def _right_word(value: str, expected: str) -> str:
    known = re.findall("'([^']*)'", expected)
    word = DIRECTIONS.get(value.lower())
    return f"{', '.join(known)}" + (f": write {word}" if word in known else f".{nearest(value, known)}")


def _right_type(kind: str, value: object) -> str:
    if kind == "string_type":
        return f": write {quote(literal(value))}" if isinstance(value, int | float) else ""
    whole = kind.startswith("int") and isinstance(value, float) and value.is_integer()
    return f": write {value:.0f}" if whole else unquote(value)


def unquote(value: object) -> str:
    """The fix for a number in quotes; empty for any other value."""
    try:
        number = plain(value.strip()) if isinstance(value, str) else None
    except ValueError:  # too many digits
        return ""
    finite = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    return ": take the quotes away" if finite else ""


_MAPPING = "is not a mapping: write keys and values, as in {{key: value}}, or {{}} for none"
_LIST = "is not a list: write [...], or one item a line after a dash"

#: What a message says after the value, by pydantic's type of the error.
SENTENCES = {
    **dict.fromkeys(["int_type", "int_from_float"], "is not a whole number{fix}"),
    **dict.fromkeys(["dict_type", "mapping_type", "model_type", "model_attributes_type"], _MAPPING),
    **dict.fromkeys(["tuple_type", "list_type"], _LIST),
    "float_type": "is not a number{fix}",
    "string_type": "is not text{fix}",
    "literal_error": "is not one of {words}",
    "finite_number": "is not finite: write a finite number",
    "greater_than": "is too small: it must be above {gt}",
    "greater_than_equal": "is too small: {ge} is the least",
    "less_than_equal": "is too large: {le} is the most",
}
