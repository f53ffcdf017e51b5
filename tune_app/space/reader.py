"""Read a search-space file as YAML 1.2, with the line and column of every key and value.

ruamel.yaml parses; the type of an unquoted word is decided here, by the core schema of YAML 1.2 only:
``3e-6`` is a number, ``yes``, ``on``, ``1_000`` and ``2001-01-01`` are text. Anchors, aliases, tags and
second documents are refused: a search space needs none of them, and with them a short file can expand into a
huge one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from tune_app.errors import SpaceError
from tune_app.space.scalars import Scalar, literal, quote, show

Path = tuple[str | int, ...]

_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BARE = re.compile(r"[A-Za-z_]([A-Za-z0-9_.:/-]*[A-Za-z0-9_])?")
_WINDOW = 60  # columns shown on either side of a fault in a long line
_DEEPEST = 8  # a search space needs five levels: space, a parameter, its when, a list, its values


@dataclass(frozen=True)
class Mark:
    """The position of a key and of its value: line and column, both from 0."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass
class Document:
    """The content of a file, and the position of each key and value."""

    file: str
    lines: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict)
    marks: dict[Path, Mark] = field(default_factory=dict)
    overrides: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path, on_key: bool = False) -> tuple[int, int, int]:
        """Return the sort key of ``path``: 0, line and column; or 1, number and 0 for an override."""
        for length in range(len(path), 0, -1):
            at = path[:length]
            if at in self.overrides:
                return 1, list(self.overrides).index(at), 0
            if at in self.marks:
                mark = self.marks[at]
                # point at the key if the value starts on a later line
                use_key = on_key or length < len(path) or mark.value[0] != mark.key[0]
                return 0, *(mark.key if use_key else mark.value)
        return 0, 0, 0

    def message(self, path: Path, text: str, spot: Path = (), on_key: bool = False) -> str:
        """Return ``path: text`` with the file, line, source line and caret of ``path + spot``."""
        sentence = f"{dotted(path)}: {text}" if path else text
        kind, line, column = self.place((*path, *spot), on_key)
        if kind == 1:
            return f"--set {list(self.overrides.values())[line]}: {sentence}"
        return self.at(line, column, sentence)

    def at(self, line: int, column: int, sentence: str) -> str:
        """Return ``sentence`` with the file, the line (from 0), and a caret under the column (from 0)."""
        if line >= len(self.lines):
            return f"{self.file}: {sentence}" if not self.lines else f"{self.file}:{line + 1}: {sentence}"
        start = max(0, column - _WINDOW)
        source = "".join(c if c.isprintable() else " " for c in self.lines[line][start : start + 2 * _WINDOW])
        wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in source[: column - start])
        caret = " " * (column - start + wide) + "^"
        return f"{self.file}:{line + 1}: {sentence}\n{line + 1:>5} | {source}\n      | {caret}"


def dotted(path: Path) -> str:
    """Return a path in dotted form: ``configs[0].lr``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


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


def read(text: str, file: str) -> Document:
    """Read a whole search-space file. Raises ``SpaceError`` unless it holds one mapping."""
    reader = _Reader(text, file)
    tree = reader.document()
    if tree is None and not reader.out.marks:
        raise SpaceError(
            f'{file}: the file is empty: a search space has at least a task, as in "task: pneumonia"'
        )
    if not isinstance(tree, dict):
        reader.fail(
            reader.start, f"a search space is a mapping of keys such as task and space, not {show(tree)}"
        )
    reader.out.tree = tree
    return reader.out


def read_value(text: str, name: str) -> Any:
    """Read the value of an override called ``name``. Raises ``SpaceError`` if it is no YAML."""
    reader = _Reader(text, name)
    reader.out.lines = []  # messages quote the whole override, and show no line of it
    return reader.document()


class _Reader:
    """Builds plain Python values and their marks in one pass over the parser's events."""

    def __init__(self, text: str, file: str) -> None:
        self.out = Document(file, text.splitlines())
        self.text = text
        self.start = (0, 0)
        self.events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)

    def fail(self, place: tuple[int, int], sentence: str) -> NoReturn:
        raise SpaceError(self.out.at(*place, sentence))

    def document(self) -> Any:
        try:
            event = self.next()
            while not isinstance(event, DocumentStartEvent):
                if isinstance(event, StreamEndEvent):
                    return None
                event = self.next()
            event = self.next()
            self.start = _place(event)
            value = self.value(event, ())
            for event in self.events:
                if isinstance(event, DocumentStartEvent):
                    self.fail(
                        _place(event), 'a second document starts here ("---"): one file holds one space'
                    )
        except YAMLError as error:
            self.fail_unparsed(error)
        return value

    def next(self) -> Any:
        return next(self.events)

    def value(self, event: Any, path: Path) -> Any:
        place = _place(event)
        if isinstance(event, AliasEvent) or event.anchor:
            self.fail(place, "anchors and aliases (& and *) are not read: write the value out")
        if event.ctag is not None:
            self.fail(place, f"tags are not read: leave out {show(str(event.ctag))}, and quote what is text")
        if len(path) > _DEEPEST:
            self.fail(place, f"nested more than {_DEEPEST} deep: no key of a search space is")
        if isinstance(event, ScalarEvent):
            return self.scalar(event, place)
        return self.mapping(path) if isinstance(event, MappingStartEvent) else self.sequence(path)

    def scalar(self, event: Any, place: tuple[int, int]) -> Scalar:
        if not event.implicit[0]:
            return str(event.value)
        try:
            return plain(event.value)
        except ValueError:
            self.fail(place, f"a whole number of {len(event.value)} digits is too long to read")

    def sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.next(), SequenceEndEvent):
            step = (*path, len(items))
            self.out.marks[step] = Mark(_place(event), _place(event))
            items.append(self.value(event, step))
        return items

    def mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self.next(), MappingEndEvent):
            place = _place(event)
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                self.fail(place, "a key is one word, not a mapping or a list")
            key = self.value(event, path)
            if not isinstance(key, str):
                self.fail(place, f"a key is a word: {show(key)} is none unless it is quoted")
            step = (*path, key)
            if step in self.out.marks:
                first = self.out.marks[step].key[0] + 1
                self.fail(place, f"{dotted(step)}: this key is here twice, first in line {first}: keep one")
            event = self.next()
            self.out.marks[step] = Mark(place, _place(event))
            found[key] = self.value(event, step)
        return found

    def fail_unparsed(self, error: YAMLError) -> NoReturn:
        if isinstance(error, ReaderError):
            before = self.text[: error.position].splitlines() or [""]
            character = (
                f"U+{error.character:04X}" if isinstance(error.character, int) else quote(error.character)
            )
            self.fail(
                (len(before) - 1, len(before[-1])),
                f"a control character ({character}) is in the file: remove it",
            )
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        place = (mark.line, mark.column) if mark else (0, 0)
        if place[0] >= len(self.out.lines):  # the end of the file: show its last line
            place = (max(len(self.out.lines) - 1, 0), len(self.out.lines[-1]) if self.out.lines else 0)
        line = self.out.lines[place[0]] if self.out.lines else ""
        if "\t" in line[: place[1] + 1]:
            self.fail(place, "a tab is here, and YAML needs spaces: replace it")
        parts = [getattr(error, part, None) for part in ("problem", "context")]
        reason = " ".join(filter(None, parts)) or "it cannot be parsed"
        for jargon, word in (("'<stream end>'", "the end"), ("end of stream", "end"), ("scalar", "text")):
            reason = reason.replace(jargon, word)
        self.fail(place, f"not valid YAML: {reason}: close what is open, or quote what is text")


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line, event.start_mark.column


def write(tree: Mapping[str, Any]) -> str:
    """Write a mapping so that :func:`read` gives it back: two levels in blocks, the rest in braces."""
    text = ""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            text += f"{key}:\n" + "".join(f"  {_flow(k)}: {_flow(v)}\n" for k, v in value.items())
        elif isinstance(value, list | tuple) and value:
            text += f"{key}:\n" + "".join(f"  - {_flow(item)}\n" for item in value)
        else:
            text += f"{key}: {_flow(value)}\n"
    return text


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _BARE.fullmatch(value) and plain(value) == value:
        return value
    return literal(value)
