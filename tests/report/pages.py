"""Reports as they lie on the disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from tune_app import report
from tune_app.results import Frames


class Page(HTMLParser):
    """Tags of a page in order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, *names: str) -> Iterator[tuple[str, dict[str, str | None]]]:
        return ((tag, attributes) for tag, attributes in self.tags if tag in names)


class Written:
    """A case's report as it lies on the disk."""

    def __init__(self, frames: Frames, folder: Path) -> None:
        self.frames = frames
        self.files = {str(path.relative_to(folder)): path for path in report.write(frames, folder)}
        self.html = self.files["index.html"].read_text(encoding="utf-8")
        self.markdown = self.files["report.md"].read_text(encoding="utf-8")
        self.page = Page(self.html)
        self.headings = re.findall(r"<h2[^>]*>(.*?)</h2>", self.html)


Make = Callable[[str], Written]


def says(text: str, *facts: str) -> bool:
    """Whether the facts stand in a text one after the other, and near each other."""
    return re.search(".{1,200}?".join(map(re.escape, facts)), text) is not None
