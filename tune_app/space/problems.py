"""The faults of a search space as messages, with the file and line of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import get_args

from pydantic import BaseModel, ValidationError

from tune_app.errors import SpaceError, nearest
from tune_app.space.foreign import DIRECTIONS, STOP_KEYS, TOP_KEYS
from tune_app.space.labels import text
from tune_app.space.reader import Document, Mark, Path
from tune_app.space.scalars import literal, plain, quote, show


class RuleError(ValueError):
    """One violated rule: the message, and where it applies.

    The message names ``path``; the caret points at ``path + spot``. Validators of pydantic may raise it.
    """

    def __init__(self, text: str, path: Path = (), spot: Path = ()) -> None:
        super().__init__(text)
        self.text, self.path, self.spot = text, path, spot


def refuse(problems: Iterable[RuleError], document: Document) -> SpaceError:
    """Return the error that names the first problem in the order of the file, and counts the others."""

    def order(problem: RuleError) -> tuple[bool, Mark]:
        missing = problem.text.startswith("missing: add")  # an unknown key may be a missing one, misspelled
        return missing, document.mark((*problem.path, *problem.spot))

    first, *others = sorted(problems, key=order)
    message = document.message(first.path, first.text, first.spot)
    return SpaceError(f"{message}\n(and {len(others)} more)" if others else message)


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[RuleError]:
    """Convert pydantic's errors of ``model``."""
    for detail in error.errors(include_url=False):
        path, value, kind = tuple(detail["loc"]), detail["input"], detail["type"]
        context, key = detail.get("ctx", {}), str(path[-1]) if path else ""
        if kind == "default_factory_not_called":  # because of another of these errors
            continue
        if isinstance(cause := context.get("error"), RuleError):
            yield RuleError(cause.text, (*path, *cause.path), cause.spot)
        elif kind == "extra_forbidden":
            known = list(_model_at(model, path[:-1]).model_fields)
            yield RuleError(f'unknown key "{key}"{_right_key(key, value, known)}', path[:-1], path[-1:])
        elif kind == "missing":
            examples = _model_at(model, path[:-1]).model_fields[key].examples or []
            yield RuleError(f"missing: add {key}: {' or '.join(map(str, examples))}", path)
        elif kind == "string_pattern_mismatch":
            field = _model_at(model, path[:-1]).model_fields[key]
            guess = nearest(value, map(str, field.examples or []))
            yield RuleError(f"{show(value)} does not fit. {field.description}{guess}", path)
        elif kind in ("model_type", "model_attributes_type") and isinstance(value, str):
            section = _section(value, _model_at(model, path))
            yield RuleError(f"{show(value)} is not a mapping: write {section}", path)
        else:
            facts = {name: text(limit) for name, limit in context.items() if name in ("gt", "ge", "le")}
            facts["words"] = _right_word(str(value), str(context.get("expected")))
            sentence = SENTENCES.get(kind, "is not a value that this key takes")
            yield RuleError(f"{show(value)} {sentence.format(fix=_right_type(kind, value), **facts)}", path)


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
    words = TOP_KEYS if "space" in known else STOP_KEYS if "grace_period" in known else {}
    if key in words:
        return f": write {words[key].replace('{value}', show(value))}"
    if guess := nearest(key, known):
        return f".{guess}"
    rest = "; a parameter goes below space: or fixed:" if "space" in known else ""
    return f". The keys here are {', '.join(known)}{rest}."


def _section(value: str, model: type[BaseModel]) -> str:
    """The mapping of a section of which only the first value is written."""
    first, *others = [key for key, field in model.model_fields.items() if field.is_required()] or ["key"]
    missing = [f", {key}: {' or '.join(map(str, model.model_fields[key].examples or []))}" for key in others]
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
    return ": remove the quotes" if finite else ""


_MAPPING = "is not a mapping: write keys and values, as in {{key: value}}, or {{}} for none"
_LIST = "is not a list: write [...], or one item per line after a dash"

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
    "greater_than_equal": "is too small: the least value is {ge}",
    "less_than_equal": "is too large: the largest value is {le}",
}
