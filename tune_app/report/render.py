"""Tables as Markdown, LaTeX and CSV, with text escaped and columns aligned."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pandas as pd

from tune_app.stats.intervals import mean_interval
from tune_app.sweep.files import write_file
from tune_app.text import aligned, one_line, padded

if TYPE_CHECKING:
    from tune_app.results import Frames

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column of a table: its name in the CSV and, for people, its heading.

    Without ``name`` it is not in the CSV; without ``heading`` it is not printed. ``text`` is what is printed
    of a row, by default its value.
    """

    name: str
    value: Callable[[Row], object]
    heading: str | None = None
    text: Callable[[Row], str] | None = None
    align: str = "r"


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

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        columns: Sequence[Column[Row]],
        rows: Sequence[Row],
        about: Sequence[str],
        below: Sequence[str] = (),
    ) -> Table:
        """The table of these columns and rows."""
        printed = [column for column in columns if column.heading is not None]
        recorded = {column.name: [column.value(row) for row in rows] for column in columns if column.name}
        return cls(
            name,
            title,
            header=[str(column.heading) for column in printed],
            align="".join(column.align for column in printed),
            rows=[[c.text(row) if c.text else str(c.value(row)) for c in printed] for row in rows],
            frame=pd.DataFrame(recorded, dtype=object),
            about=about,
            below=below,
        )


def identity(frames: Frames) -> list[Column[Any]]:
    """The columns of every CSV that say which data it comes from."""
    data = frames.identity
    return [Column("data", lambda _: data["data"]), Column("data_sha256", lambda _: data["data_sha256"])]


def intervals(prefix: str, of: Callable[[Row], Sequence[float]]) -> list[Column[Row]]:
    """The columns of a CSV with the mean, half-width and number of some values."""
    return [
        Column(f"{prefix}mean", lambda row: mean_interval(of(row)).mean),
        Column(f"{prefix}ci95", lambda row: mean_interval(of(row)).half_width),
        Column(f"{prefix}n", lambda row: len(of(row))),
    ]


def save(table: Table, folder: Path) -> list[Path]:
    """Write a table as ``<name>.md``, ``.csv`` and ``.tex`` into ``folder``; raises DiskError."""
    writers = {".md": markdown, ".csv": csv, ".tex": latex}
    return [write_file(folder / f"{table.name}{ending}", write(table)) for ending, write in writers.items()]


def csv(table: Table) -> str:
    """The table as CSV, in fractions and with every digit."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def markdown(table: Table, level: int = 1) -> str:
    """The table in GitHub's Markdown, its title a heading of this ``level``, its columns padded."""
    header, *rows = padded(
        [[markdown_text(cell) for cell in row] for row in (table.header, *table.rows)], table.align, least=3
    )
    ends = [":" if side == "r" else "-" for side in table.align]
    rule = ["-" * (len(cell) - 1) + end for cell, end in zip(header, ends, strict=True)]
    blocks = [
        f"{'#' * level} {markdown_text(table.title)}",
        *(["\n".join(f"- {markdown_text(line)}" for line in table.about)] if table.about else []),
        "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows)),
        *map(markdown_text, table.below),
    ]
    return "\n\n".join(blocks) + "\n"


def text(table: Table, width: int | None = None) -> str:
    """The table for a terminal, its notes below; each row as a list where ``width`` columns are too few."""
    header, *rows = [[one_line(cell) for cell in row] for row in (table.header, *table.rows)]
    shown = aligned([header, *rows], align=table.align)
    if width is not None and max(map(len, shown.splitlines())) > width:
        shown = "\n\n".join(aligned([*zip(header, row, strict=True)]) for row in rows)
    return "\n".join([table.title, "", shown, "", *table.below, *table.about, ""])


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a cell too; an underscore inside a word needs no escape."""
    escaped = re.sub(r"[\\|*`<>\[\]~$&]", r"\\\g<0>", one_line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)


def latex(table: Table) -> str:
    """The table as a booktabs ``tabular``, ready for ``\\input``; title and verdict are comments."""
    across = sum(max(map(len, column)) + 2 for column in zip(table.header, *table.rows, strict=True))
    width = max(72, int(1.15 * across))  # letters of a note, which are smaller, that fit below the columns
    comments = [table.title, *table.about, *table.below, r"Needs \usepackage{booktabs}."]
    notes = [part for line in table.about for part in textwrap.wrap(one_line(line), width)]
    header, *rows = [" & ".join(map(latex_text, row)) + r" \\" for row in (table.header, *table.rows)]
    below = f"\\multicolumn{{{len(table.header)}}}{{l}}{{\\footnotesize %s}} \\\\"
    lines = [
        *(f"% {one_line(comment)}" for comment in comments),
        f"\\begin{{tabular}}{{{table.align}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        *(below.replace("%s", latex_text(note)) for note in notes),
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


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
    text = unicodedata.normalize("NFC", one_line(text))
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


#: Writes a table in a format that people or programs read.
WRITERS: dict[str, Callable[[Table], str]] = {
    "text": text,
    "csv": csv,
    "latex": latex,
    "markdown": markdown,
}
