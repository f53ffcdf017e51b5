"""What a message says, whatever its wording: places, keys, values, numbers, commands."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SOURCE = re.compile(r"^ *\d+ \| .*\n? *\^?$", re.MULTILINE)


def lacking(message: str, facts: Iterable[str]) -> list[str]:
    """The facts that a message does not name; a number or a word must stand by itself.

    A line of the file that the message shows below names nothing. 3e-05 is 3e-5.
    """
    own = _plain(_SOURCE.sub("", message))
    return [fact for fact in facts if not re.search(_bounded(_plain(fact)), own)]


def _plain(text: str) -> str:
    return re.sub(r"(?<=\de[+-])0+(?=\d)", "", text)


def _bounded(fact: str) -> str:
    start = r"(?<![\w.])" if re.match(r"\w", fact) else ""
    end = r"(?!\w)" if re.search(r"\w$", fact) else ""
    return f"{start}{re.escape(fact)}{end}"
