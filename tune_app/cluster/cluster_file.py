"""A cluster file as Ray reads it, with the line of every key and the problems found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tune_app.errors import ClusterError, nearest
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
    """A document of a cluster file: plain values, their lines, and the problems found so far."""

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

    def error(self, key: Key, text: str) -> None:
        """Add a problem that makes the cluster fail."""
        self.problems.append(Problem(self.line(key), dotted(key), text))

    def warn(self, key: Key, text: str) -> None:
        """Add a warning."""
        self.problems.append(Problem(self.line(key), dotted(key), text, warning=True))

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

    def unknown(self, key: Key, known: Mapping[str, Any], what: str) -> None:
        """Add a problem for each unknown key, at every level that ``known`` describes.

        ``known`` maps a name to what lies below it: another mapping, or None for anything.
        """
        value = self.get(*key)
        for index, element in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(element, dict):
                continue
            at = (*key, index) if isinstance(value, list) else key
            for name in element:
                if name not in known:
                    self.error((*at, name), f"{what} knows no such key.{nearest(str(name), known)}")
                elif known[name]:
                    self.unknown((*at, name), known[name], what)


def read(file: Path) -> list[ClusterFile]:
    """The documents of a file.

    Raises:
        ClusterError: it cannot be read, is no YAML, or holds no mapping.
    """
    yaml = YAML(typ="rt")
    yaml.version = (1, 1)  # as Ray's reader, PyYAML
    try:
        text = file.read_text(encoding="utf-8")
        nodes = [node for node in yaml.load_all(text) if node is not None]
    except OSError as error:
        raise ClusterError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ClusterError(f"{file}: is no text: {error}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ClusterError(f"{file}:{line}: this is no YAML: {error.problem}") from error
    except YAMLError as error:
        raise ClusterError(f"{file}: this is no YAML: {error}") from error
    if not nodes or not all(isinstance(node, dict) for node in nodes):
        raise ClusterError(f"{file}: holds no cluster: expected keys and values, as in cluster.yaml.")
    return [ClusterFile(file, _plain(node), node) for node in nodes]


def marks(file: Path) -> Iterator[Problem]:
    """The lines with a placeholder that the user has to replace."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        found = _MARK.search(line)
        if found:
            key = line.split(":", 1)[0].strip(" -#")
            yield Problem(number, key, f"yours to set: {found[1]}. Then delete the mark.", warning=True)


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


def _plain(node: Any) -> Any:
    """Ruamel's containers and scalars as Python's own."""
    if isinstance(node, dict):
        return {(str(key) if isinstance(key, str) else key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
