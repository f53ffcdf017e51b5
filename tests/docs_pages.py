"""The pages of the documentation, their headings, links and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Block:
    """A block of code: its language, and whether it runs; ``no-run`` needs a cluster, a GPU or minutes."""

    where: str
    language: str
    runs: bool
    content: str

    @property
    def file(self) -> str | None:
        """The file that its first line names: ``# my.yaml``."""
        named = re.match(r"# ([\w./-]+\.(?:yaml|py))\n", self.content)
        return named[1] if named else None

    @property
    def commands(self) -> list[str]:
        """The command lines of a block for a shell, or of a transcript, where each follows a ``$``."""
        text = self.content.replace("\\\n", " ")
        if self.language == "console":
            return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @property
    def inline(self) -> Iterator[Token]:
        for token in self.tokens:
            yield from token.children or ()

    @property
    def blocks(self) -> list[Block]:
        found = []
        for token in self.tokens:
            if token.type in ("fence", "code_block") and token.map:
                language, *flags = token.info.split() or [""]
                where = f"{self.name}:{token.map[0] + 1}"
                found.append(Block(where, language, "no-run" not in flags, token.content))
        return found

    @property
    def spans(self) -> list[str]:
        """What stands between backticks in the text."""
        return [token.content for token in self.inline if token.type == "code_inline"]

    @property
    def links(self) -> list[str]:
        """The targets of links and pictures."""
        found = [token.attrGet("href") or token.attrGet("src") for token in self.inline]
        return [str(target) for target in found if target]

    @cached_property
    def sections(self) -> dict[str, str]:
        """The text below each heading, by the heading's anchor."""
        found, anchor = {"": ""}, ""
        for line in re.sub(r"^```.*?^```$", "", self.text, flags=re.S | re.M).splitlines():
            if heading := re.match(r"#+ (.*)", line):
                anchor = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
                found[anchor] = ""
            found[anchor] += line + "\n"
        return found


PAGES = [Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


def page(name: str) -> Page:
    """The page of a name, as in ``commands``."""
    [found] = [each for each in PAGES if each.path.stem == name]
    return found
