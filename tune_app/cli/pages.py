"""The pages of the documentation, for people who have installed a wheel."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tune_app.errors import ReportError, nearest

#: The folders of pages, in the order in which they are listed.
KINDS = ("tutorial", "how-to", "reference", "explanation")


def find_pages() -> dict[str, Path]:
    """The file of each page, by its name. A wheel has them in the package, a checkout beside it."""
    package = Path(__file__).parents[1]
    folder = package / "docs" if (package / "docs").is_dir() else package.parent / "docs"
    return {path.stem: path for kind in KINDS for path in sorted((folder / kind).glob("*.md"))}


@click.command()
@click.argument("page", required=False)
def docs(page: str | None) -> None:
    """List the pages of the documentation, or print PAGE."""
    found = find_pages()
    if page is None:
        return click.echo(_listing(found))
    if page not in found:
        raise ReportError(
            f'no page of the documentation is called "{page}".{nearest(page, found)}\n'
            "  To list the pages: tune-app docs"
        )
    text = found[page].read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        return click.echo(text, nl=False)
    from rich.console import Console
    from rich.markdown import Markdown

    return Console().print(Markdown(text))


def _listing(pages: dict[str, Path]) -> str:
    width = max(map(len, pages))
    lines = []
    for kind in KINDS:
        lines.append(f"\n{kind.capitalize()}:")
        for name, path in pages.items():
            if path.parent.name == kind:
                with path.open(encoding="utf-8") as text:
                    lines.append(f"  {name:<{width}}  {text.readline().lstrip('# ').rstrip()}")
    return "\n".join([*lines[0].splitlines()[1:], *lines[1:], "", "To read one: tune-app docs PAGE"])


COMMANDS = (docs,)
