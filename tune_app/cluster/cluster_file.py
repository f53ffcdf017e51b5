"""A cluster file as Ray reads it, with the line of every key and the problems found."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tune_app.errors import ClusterError
from tune_app.space.reader import Path as Key
from tune_app.space.reader import dotted
from tune_app.text import counted

#: The mark of a line that a user must set, and what it says.
_MARK = re.compile(r"#\s*CHANGE:\s*(.+?)\s*$")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the line (from 1, 0 for the file), the key, the rule and the fix.

    A ``warning`` costs money, time or safety, or needs the user's input; any other problem is fatal.
    """

    line: int
    key: str
    text: str
    warning: bool = False


@dataclass
class ClusterFile:
    """A document of a cluster file: its values, ruamel's ``node`` with their lines, the problems found."""

    file: Path
    values: dict[str, Any]
    node: Any = None
    problems: list[Problem] = field(default_factory=list)

    def get(self, *key: str | int) -> Any:
        """The value at a key, None where there is none."""
        value: Any = self.values
        for step in key:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def mapping(self, *key: str | int) -> dict[str, Any]:
        """The mapping at a key, empty where there is none."""
        value = self.get(*key)
        return value if isinstance(value, dict) else {}

    def elements(self, *key: str | int) -> list[Any]:
        """The list at a key, empty where there is none."""
        value = self.get(*key)
        return value if isinstance(value, list) else []

    def error(self, key: Key, text: str) -> None:
        """Add a problem that makes the cluster fail."""
        self.problems.append(Problem(self.line(key), dotted(key), text))

    def warn(self, key: Key, text: str) -> None:
        """Add a warning."""
        self.problems.append(Problem(self.line(key), dotted(key), text, warning=True))

    def require(self, key: Key, name: str, example: str) -> None:
        """Add a problem if there is no ``name`` at a key; the example shows how to give it."""
        if self.get(*key, name) in (None, "", [], {}):
            self.error(key, f"{name} is missing. Add it, as in {example}")

    def line(self, key: Key) -> int:
        """The line of a key, or of the nearest parent that exists."""
        node, line = self.node, 0
        for step in key:
            try:
                line = node.lc.data[step][0] + 1
                node = node[step]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return line

    def warn_of_typos(self, key: Key, known: Iterable[str]) -> None:
        """Add a warning for each key below ``key`` that is nearly, and not quite, one of the ``known``."""
        words = list(known)
        for at in _keys(self.get(*key), key):
            close = difflib.get_close_matches(str(at[-1]), words, n=1, cutoff=0.8)
            if close and at[-1] != close[0]:
                self.warn(at, f'unknown key. Did you mean "{close[0]}"?')


def _keys(value: Any, at: Key) -> Iterator[Key]:
    """Every key of the mappings in a value, with the steps that lead to it."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in steps:
        if isinstance(value, dict):
            yield (*at, step)
        yield from _keys(below, (*at, step))


def read(file: Path) -> list[ClusterFile]:
    """The documents of a file.

    Raises:
        ClusterError: it cannot be read, is no YAML, holds no mapping, or a value contains itself.
    """
    try:
        text = file.read_text(encoding="utf-8")
        nodes = _documents(YAML(typ="rt"), text)
        values = _documents(YAML(typ="safe", pure=True), text)
    except OSError as error:
        raise ClusterError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ClusterError(f"{file}: is not text: {error}") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or error
        raise ClusterError(f"{file}:{mark.line + 1 if mark else 1}: not valid YAML: {reason}") from error
    if not values or not all(isinstance(each, dict) for each in values):
        raise ClusterError(f"{file}: is not a cluster file: expected keys and values, as in cluster.yaml.")
    try:
        json.dumps(values, skipkeys=True, default=str)
    except ValueError as error:  # a circular reference, which every walk through the values would follow
        raise ClusterError(
            f"{file}: a value contains itself by an alias. Remove that alias (*name)."
        ) from error
    return [ClusterFile(file, value, node) for value, node in zip(values, nodes, strict=True)]


def _documents(yaml: YAML, text: str) -> list[Any]:
    yaml.version = (1, 1)  # as Ray's reader, PyYAML
    return [document for document in yaml.load_all(text) if document is not None]


def marks(file: Path) -> Iterator[Problem]:
    """The lines with a placeholder that the user has to replace."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if found := _MARK.search(line):
            key = line.split(":", 1)[0].strip(" -#")
            yield Problem(number, key, f"set this line ({found[1]}). Then delete the mark.", warning=True)


def render(file: Path, problems: list[Problem]) -> str:
    """The problems, one per line as ``file:line: ...``, and their number."""
    lines = [
        f"{file}:{p.line or 1}: {'warning: ' if p.warning else ''}{p.key + ': ' if p.key else ''}{p.text}"
        for p in sorted(problems, key=lambda p: (p.warning, p.line))
    ]
    warnings = sum(p.warning for p in problems)
    kinds = {"error": len(problems) - warnings, "warning": warnings}
    counts = [counted(number, kind) for kind, number in kinds.items() if number]
    return "\n".join([*lines, f"{file}: {', '.join(counts) or 'no mistake found'}"])
