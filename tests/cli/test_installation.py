"""The documentation as a command prints it."""

from __future__ import annotations

import io
import sys

import commands
import pytest
from commands import Tool
from docs_pages import PAGES, ROOT

from tune_app.cli import installation

tool = commands.tool


def test_each_page_is_listed_in_one_line(tool: Tool) -> None:
    lines = tool("docs").splitlines()
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    expected = {page.path.stem: page for page in PAGES if len(page.path.relative_to(ROOT).parts) == 3}
    assert listed.keys() == expected.keys() == installation.find_pages().keys()
    for name, title in listed.items():
        assert f"# {title}\n" in expected[name].text
    assert max(map(len, lines)) <= 80


def test_a_page_is_printed_as_it_is_unless_to_a_terminal(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = installation.find_pages()["columns"].read_text(encoding="utf-8")
    assert tool("docs", "columns") == text

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert commands.call("docs", "columns") == 0
    assert "# Columns" not in terminal.getvalue()
    assert "Columns" in terminal.getvalue()


def test_for_an_unknown_page_the_nearest_is_named(tool: Tool) -> None:
    assert '"samplers"' in tool("docs", "sampler", code=2)
    assert "tune-app docs" in tool("docs", "zzz", code=2)
