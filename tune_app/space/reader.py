"""Read a search-space file as YAML 1.2, with the line and column of every key and value.

ruamel.yaml parses; `scalars.plain` decides the type of an unquoted word, by the core schema of YAML 1.2 only:
``3e-6`` is a number, ``yes``, ``on``, ``1_000`` and ``2001-01-01`` are text. Anchors, aliases, tags and
second documents are refused: a search space needs none of them, and with them a short file can expand into a
huge one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML, events
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from tune_app.errors import SpaceError
from tune_app.space.scalars import Scalar, literal, plain, show

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, both from 0
Mark = tuple[
    int, int, str
]  # line, column, and the override (key=value) that set it, on a line after the file's

_WINDOW = 60  # columns shown on either side of a fault in a long line
_DEEPEST = 16  # a search space needs five levels: space, a parameter, its when, a list, its values


@dataclass
class Document:
    """The content of a file, and the mark of each key and of each item of a list."""

    file: str
    lines: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict)
    marks: dict[Path, Mark] = field(default_factory=dict)

    def mark(self, path: Path) -> Mark:
        """Return the mark of ``path``, or of its nearest parent."""
        parents = (path[:length] for length in range(len(path), -1, -1))
        return next((self.marks[at] for at in parents if at in self.marks), (0, 0, ""))

    def message(self, path: Path, text: str, spot: Path = ()) -> str:
        """Return ``path: text`` with the file, line, source line and caret of ``path + spot``."""
        sentence = f"{dotted(path)}: {text}" if path else text
        line, column, override = self.mark((*path, *spot))
        return f"--set {override}: {sentence}" if override else self.at((line, column), sentence)

    def at(self, place: Place, sentence: str) -> str:
        """Return ``sentence`` with the file, the line, and a caret under the column."""
        line, column = place
        if line >= len(self.lines):
            return f"{self.file}: {sentence}" if not self.lines else f"{self.file}:{line + 1}: {sentence}"
        start = max(0, column - _WINDOW)
        source = "".join(c if c.isprintable() else " " for c in self.lines[line][start : start + 2 * _WINDOW])
        wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in source[: column - start])
        caret = " " * (column - start + wide) + "^"
        return f"{self.file}:{line + 1}: {sentence}\n{line + 1:>5} | {source}\n      | {caret}"

    def get(self, path: Path) -> Any:
        """Return the value at ``path``; None where there is none."""
        inner: Any = self.tree
        for step in path:
            inner = inner.get(step) if isinstance(inner, dict) else None
        return inner

    def put(self, path: Path, value: Any, override: str) -> None:
        """Set a value, whose parents are mappings, in place of the file's own."""
        self.get(path[:-1])[path[-1]] = value
        self.forget(path)
        after = 1 + max([len(self.lines), *(line for line, _, _ in self.marks.values())])
        self.marks[path] = (after, 0, override)

    def forget(self, path: Path) -> None:
        """Remove the marks of ``path`` and of all below it."""
        self.marks = {at: mark for at, mark in self.marks.items() if at[: len(path)] != path}


def dotted(path: Path) -> str:
    """Return a path in dotted form: ``configs[0].lr``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def read(text: str, file: str) -> Document:
    """Read a whole search-space file. Raises ``SpaceError`` unless it holds one mapping."""
    document = Document(file, text.splitlines())
    document.tree = _Reader(text, document).document()
    if document.tree is None:
        raise SpaceError(
            f'{file}: the file is empty: a search space has at least a task, as in "task: pneumonia"'
        )
    if not isinstance(document.tree, dict):
        rule = f"a search space is a mapping of keys such as task and space, not {show(document.tree)}"
        raise SpaceError(document.message((), rule))
    return document


def read_value(text: str, name: str) -> Any:
    """Read the value of an override called ``name``. Raises ``SpaceError`` if it is no YAML."""
    return _Reader(text, Document(name)).document()


class _Reader:
    """Builds plain Python values and their marks in one pass over the parser's events."""

    def __init__(self, text: str, out: Document) -> None:
        self.out = out
        self.text = text
        self.events = self.checked()

    def fail(self, place: Place, sentence: str) -> NoReturn:
        raise SpaceError(self.out.at(place, sentence))

    def checked(self) -> Iterator[Any]:
        """The parser's events; refuses anchors, aliases and tags."""
        for event in YAML(typ="safe", pure=True).parse(self.text):
            if isinstance(event, events.AliasEvent) or getattr(event, "anchor", None):
                self.fail(
                    _place(event), "anchors and aliases (& and *) are not supported: write the value itself"
                )
            if (tag := getattr(event, "ctag", None)) is not None:
                rule = f"tags are not supported: leave out {show(str(tag))}, and quote what is text"
                self.fail(_place(event), rule)
            yield event

    def document(self) -> Any:
        value = None
        try:
            for event in self.events:
                if isinstance(event, events.DocumentStartEvent):
                    if () in self.out.marks:
                        rule = 'a second document starts here ("---"): one file holds one space'
                        self.fail(_place(event), rule)
                    value = self.value(next(self.events), ())
        except YAMLError as error:
            self.fail_unparsed(error)
        return value

    def value(self, event: Any, path: Path, key: Place | None = None) -> Any:
        place = _place(event)
        self.out.marks[path] = (*(key or place), "")
        if len(path) > _DEEPEST:
            self.fail(place, f"nested more than {_DEEPEST} levels deep: no key of a search space needs this")
        if isinstance(event, events.ScalarEvent):
            return self.scalar(event)
        return self.mapping(path) if isinstance(event, events.MappingStartEvent) else self.sequence(path)

    def scalar(self, event: Any) -> Scalar:
        try:
            return plain(event.value) if event.implicit[0] else str(event.value)
        except ValueError:
            self.fail(_place(event), f"a whole number of {len(event.value)} digits is too long to read")

    def sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), events.SequenceEndEvent):
            items.append(self.value(event, (*path, len(items))))
        return items

    def mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), events.MappingEndEvent):
            place = _place(event)
            if not isinstance(event, events.ScalarEvent):
                self.fail(place, "a key is one word, not a mapping or a list")
            key = self.scalar(event)
            if not isinstance(key, str):
                self.fail(place, f"a key is a word: put {show(key)} in quotes")
            step = (*path, key)
            if key in found:
                first = self.out.marks[step][0] + 1
                self.fail(place, f"{dotted(step)}: this key is here twice, first in line {first}: keep one")
            found[key] = self.value(next(self.events), step, place)
        return found

    def fail_unparsed(self, error: YAMLError) -> NoReturn:
        if isinstance(error, ReaderError):
            before = self.text[: error.position].splitlines() or [""]
            rule = f"a control character (U+{ord(self.text[error.position]):04X}) is in the file: remove it"
            self.fail((len(before) - 1, len(before[-1])), rule)
        mark, lines = getattr(error, "problem_mark", None), self.out.lines or [""]
        place = (mark.line, mark.column) if mark else (0, 0)
        if place[0] >= len(lines):  # the end of the file: show its last line
            place = len(lines) - 1, len(lines[-1])
        if "\t" in lines[place[0]][: place[1] + 1]:
            self.fail(place, "a tab is here, and YAML needs spaces: replace it")
        parts = [getattr(error, part, None) for part in ("problem", "context")]
        reason = " ".join(filter(None, parts)) or "it cannot be parsed"
        for jargon, word in (("'<stream end>'", "the end"), ("end of stream", "end"), ("scalar", "text")):
            reason = reason.replace(jargon, word)
        self.fail(place, f"not valid YAML: {reason}: close what is open, or quote what is text")


def _place(event: Any) -> Place:
    return event.start_mark.line, event.start_mark.column


def write(tree: Mapping[str, Any]) -> str:
    """Write a mapping so that :func:`read` gives it back: two levels in blocks, the rest in braces."""
    text = ""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            items = [f"{literal(k, bare=True)}: {literal(v, bare=True)}" for k, v in value.items()]
            text += f"{key}:\n" + "".join(f"  {item}\n" for item in items)
        elif isinstance(value, list | tuple) and value:
            text += f"{key}:\n" + "".join(f"  - {literal(item, bare=True)}\n" for item in value)
        else:
            text += f"{key}: {literal(value, bare=True)}\n"
    return text
