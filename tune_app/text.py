"""Times, sizes, counts and tables as text; parameters are in `space.labels`, metrics in `stats.units`."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count, zip_longest

#: Shows a line to the user.
Notify = Callable[[str], None]

_NO_BREAK = "\u2060"  # no white space to textwrap, and in no text


def duration(seconds: float) -> str:
    """An elapsed time.

    >>> duration(18.04), duration(125), duration(7500)
    ('18.0 s', '2 min 05 s', '2 h 05 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if round(seconds) < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def time_left(seconds: float) -> str:
    """An estimated time, rounded to what an estimate can say.

    >>> time_left(12.7), time_left(200), time_left(7500)
    ('13 s left', '3 min left', '2 h 05 min left')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s left"
    if seconds < 3570:
        return f"{seconds / 60:.0f} min left"
    return f"{duration(max(seconds, 3600))} left"


def rate(per_second: float) -> str:
    """Replicate-epochs per second."""
    return f"{per_second:.0f} epochs/s" if per_second >= 9.5 else f"{per_second:.2g} epochs/s"


def counted(number: float, noun: str, several: str = "") -> str:
    """``1 seed``, ``5 seeds``, ``0.5 GPUs``; ``several`` is a plural that does not end with s alone."""
    return f"{number:,.15g} {noun if number == 1 else several or f'{noun}s'}"


def size(size_bytes: int) -> str:
    """A number of bytes.

    >>> size(1500), size(50 << 20), size(3 << 29)
    ('1 KiB', '50 MiB', '1.5 GiB')
    """
    for unit, digits, least in (("GiB", 1, 1 << 30), ("MiB", 0, 1 << 20)):
        if size_bytes >= least:
            return f"{size_bytes / least:.{digits}f} {unit}"
    return f"{size_bytes / 1024:.0f} KiB"


def one_line(text: str) -> str:
    """Text in which runs of white space are one space."""
    return " ".join(text.split())


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A part of a file name for each name, which may be a stranger's: no two are alike, on any disk.

    >>> slugs(["accuracy", "../a/b", "a-b", "größe", "損失"])
    {'accuracy': 'accuracy', 'a-b': 'a-b', '../a/b': 'a-b-2', 'größe': 'gro-e', '損失': 'name'}
    """
    plain = {name: _slug(name) for name in names}
    found: dict[str, str] = {}
    for name, slug in sorted(plain.items(), key=lambda item: item[0] != item[1]):
        taken = {each.casefold() for each in found.values()}
        numbered = (f"{slug}-{number}" for number in count(2))
        found[name] = next(each for each in chain([slug], numbered) if each.casefold() not in taken)
    return found


def _slug(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name)
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9_.+=-]+", "-", letters)[:80].strip("-.") or "name"


def wrapped(text: str, width: int | None, most: int | None = None) -> str:
    """Lines of at most ``width`` columns that end between words; the rest of a line is indented by two more.

    ``most`` are the lines that one line may become, the last of them cut. None for no limit.

    >>> print(wrapped("  note: chosen on 3 seeds; use --seeds 10", 24))
      note: chosen on 3
        seeds; use --seeds
        10
    """
    if width is None:
        return text
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        wrapper = textwrap.TextWrapper(
            width,
            subsequent_indent=indent,
            max_lines=most,
            placeholder=" ...",
            break_long_words=False,
            break_on_hyphens=False,
        )
        whole = line.replace(" ± ", f"{_NO_BREAK}±{_NO_BREAK}")
        lines += wrapper.wrap(whole) or [""]
    return "\n".join(lines).replace(_NO_BREAK, " ")


def padded(rows: Sequence[Sequence[str]], align: str = "", least: int = 0) -> list[list[str]]:
    """Cells padded to the width of their column; ``align`` has an ``l`` or ``r`` for each column."""
    columns = []
    for column, side in zip_longest(zip(*rows, strict=True), align, fillvalue="l"):
        width = max(least, *map(len, column))
        columns.append([cell.rjust(width) if side == "r" else cell.ljust(width) for cell in column])
    return [list(row) for row in zip(*columns, strict=True)]


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ", align: str = "") -> str:
    """Rows of cells as lines, the columns three spaces apart."""
    return "\n".join(indent + "   ".join(row).rstrip() for row in padded(rows, align))
