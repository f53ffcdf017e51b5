"""Text that comes through Markdown and LaTeX as it was, and LaTeX that compiles."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_run import make, write_tables
from markdown_it import MarkdownIt
from records import constant

from tune_app.data.identity import DataIdentity
from tune_app.report.render import Table, latex, latex_text, markdown

NASTY = r"""a_b_c _x_ \ { } $ & # % ~ ^ ` " ' < > | [o] * -- --- ?` é ü ñ ß Å ± × – λ ω ο 中 😀 .. !"""


EVERY_TABLE = """
task: pneumonia
space: {loss: {grid: [bce, ce]}, optimizer: {grid: [adam, sgd]}}
fixed: {lr: 3e-6, step_size: 4}
seeds: 3
"""


texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), max_size=40)


def table(*cells: str) -> Table:
    return Table(
        "t", "A title", ["one"] * len(cells), "l" * len(cells), [cells], pd.DataFrame(), ["About: it"]
    )


@given(st.lists(texts, min_size=1, max_size=4))
def test_markdown_shows_any_text_as_it_is(cells: list[str]) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(table(*cells)))
    inline = [token for token in tokens if token.type == "inline"][-len(cells) :]
    for token, cell in zip(inline, cells, strict=True):
        children = token.children or []
        assert {child.type for child in children} <= {"text", "text_special"}
        assert "".join(child.content for child in children) == " ".join(cell.split())


@given(texts)
def test_latex_leaves_no_special_character_bare(text: str) -> None:
    found = latex_text(text)
    assert found.isascii()
    for plain in ("{[}", "{]}", "{*}"):
        found = found.replace(plain, "")
    for command in (*(f"\\{each}" for each in "{}$&#%_"), r"\textbackslash{}"):
        found = found.replace(command, "")
    assert not set(found) & set("#%&_*[]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step_size", r"step\_size"),
        ("92.9 ± 0.6", r"92.9 $\pm$ 0.6"),
        ("Müller & Søn", r"M\"{u}ller \& S\o{}n"),
        ("λ = 3%", r"$\lambda$ = 3\%"),
        ("a --data", r"a -{}-data"),
        ("胸", "{[}U+80F8{]}"),
        ("e\u0301", r"\'{e}"),
        ("two\n\tlines", "two lines"),
    ],
)
def test_latex_by_example(text: str, expected: str) -> None:
    assert latex_text(text) == expected


def compile_latex(folder: Path, tables: list[str]) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    body = "\n\n".join(tables)
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    source = f"{head}{body}\n\\end{{document}}\n"
    (folder / "main.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_every_table_compiles(tmp_path: Path) -> None:
    data = DataIdentity(NASTY, "folder", "ab" * 32, 256, "image", {"train": 9, "val": 9, "test": 9}, (NASTY,))
    outcomes = {1: constant(test=[0.8, 0.82, 0.83]), 2: constant(end="diverged", epochs=1)}
    frames = make(tmp_path, EVERY_TABLE, outcomes, data)
    files = write_tables(frames, tmp_path / "report")
    assert {file.stem for file in files} == {"table1", "results", "table3", "loss_table"}
    compile_latex(tmp_path, [file.read_text(encoding="utf-8") for file in files if file.suffix == ".tex"])


def test_nasty_text_compiles(tmp_path: Path) -> None:
    letters = "".join(map(chr, [*range(0x20, 0x250), *range(0x370, 0x400), 0x2028, 0xFFFD, 0x1F600]))
    rows = table(NASTY, "[first", "*", letters[:200], letters[200:])
    compile_latex(tmp_path, [latex(rows)])
