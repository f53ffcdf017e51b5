"""Tables as Markdown, LaTeX and CSV, with text escaped and columns aligned."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from tune_app.sweep.files import write_file


@dataclass(frozen=True)
class Table:
    """One table of a report, as plain text: escaping is left to the formats.

    ``name`` is the stem of its files; ``align`` has an ``l`` or ``r`` a column; ``about`` is what must be
    known wherever the table is shown (run, data, what differs from the paper), ``below`` what it says in
    words; ``frame`` is what its CSV holds, in fractions and with every digit.
    """

    name: str
    title: str
    header: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]
    frame: pd.DataFrame
    about: Sequence[str]
    below: Sequence[str] = ()


def save(table: Table, folder: Path) -> list[Path]:
    """Write a table as ``<name>.md``, ``.csv`` and ``.tex`` into ``folder``, which is created.

    Raises:
        DiskError: the disk refused it.
    """
    texts = {
        ".md": markdown(table),
        ".csv": table.frame.to_csv(index=False, lineterminator="\n"),
        ".tex": latex(table),
    }
    return [write_file(folder / f"{table.name}{ending}", text) for ending, text in texts.items()]


def markdown(table: Table, level: int = 1) -> str:
    """The table in GitHub's Markdown, its columns padded so that it reads well as plain text too.

    ``level`` is that of its title's heading.
    """
    cells = [[markdown_text(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(table.header))]
    rule = [
        "-" * (width - 1) + (":" if align == "r" else "-")
        for width, align in zip(widths, table.align, strict=True)
    ]
    padded = _padded([cells[0], rule, *cells[1:]], widths, table.align)
    lines = [f"| {' | '.join(row)} |" for row in padded]
    blocks = [
        f"{'#' * level} {markdown_text(table.title)}",
        *(["\n".join(f"- {markdown_text(line)}" for line in table.about)] if table.about else []),
        "\n".join(lines),
        *(markdown_text(line) for line in table.below),
    ]
    return "\n\n".join(blocks) + "\n"


def _padded(cells: Sequence[Sequence[str]], widths: Sequence[int], align: str) -> Iterator[list[str]]:
    for row in cells:
        yield [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, align, strict=True)
        ]


def text(table: Table) -> str:
    """The table for a terminal: columns three spaces apart, and its notes below."""
    cells = [[_one_line(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.header))]
    lines = [f"  {'   '.join(row)}".rstrip() for row in _padded(cells, widths, table.align)]
    return "\n".join([table.title, "", *lines, "", *table.below, *table.about]) + "\n"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a cell too; runs of white space become one space.

    An underscore inside a word needs no escape, and parameters' names read better without.
    """
    escaped = re.sub(r"[\\|*`<>\[\]~$&]", r"\\\g<0>", _one_line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)


def latex(table: Table) -> str:
    """The table as a booktabs ``tabular``, ready for ``\\input``; what is said of it below the last rule.

    The caption is left to the document: title and verdict stand above as comments.
    """
    columns = len(table.header)
    across = sum(max(map(len, column)) + 2 for column in zip(table.header, *table.rows, strict=True))
    width = max(72, int(1.15 * across))  # letters of a note, which are smaller, that fit below the columns
    comments = [table.title, *table.about, *table.below, r"Needs \usepackage{booktabs}."]
    notes = [part for line in table.about for part in textwrap.wrap(_one_line(line), width)]
    lines = [
        *(f"% {_one_line(comment)}" for comment in comments),
        f"\\begin{{tabular}}{{{table.align}}}",
        r"\toprule",
        _latex_row(table.header),
        r"\midrule",
        *map(_latex_row, table.rows),
        r"\bottomrule",
        *(f"\\multicolumn{{{columns}}}{{l}}{{\\footnotesize {latex_text(note)}}} \\\\" for note in notes),
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(latex_text(cell) for cell in cells) + r" \\"


_LATEX = {
    **{each: f"\\{each}" for each in "{}$&#%_"},
    # brackets and stars after a line break would be read as its options
    **{each: f"{{{each}}}" for each in "[]*"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\`{}",
    '"': "''",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "²": "$^2$",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}
_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327",
        "`'^~=u.\"rHvc",
        strict=True,
    )
)
#: Omicron has no command, being an o.
_GREEK = {
    chr(code): f"$\\{name.removeprefix('GREEK SMALL LETTER ').lower().replace('lamda', 'lambda')}$"
    for code in range(ord("α"), ord("ω") + 1)
    if not (name := unicodedata.name(chr(code))).endswith(("OMICRON", "FINAL SIGMA"))
}


def latex_text(text: str) -> str:
    """Text that LaTeX shows as it is, with any engine; a letter that its fonts may lack as ``[U+4E2D]``."""
    text = unicodedata.normalize("NFC", _one_line(text))
    return "".join(
        "-{}" if letter + following == "--" else _latex_letter(letter)  # else a dash would come of two
        for letter, following in pairwise(text + " ")
    )


def _latex_letter(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    if letter.isascii() and letter.isprintable():
        return letter
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in _ACCENTS:
        return f"\\{_ACCENTS[marks[0]]}{{{base}}}"
    return _GREEK.get(letter, f"{{[}}U+{ord(letter):04X}{{]}}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
