"""Search spaces from text, and the messages for wrong ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from facts import lacking

from tune_app import space
from tune_app.errors import SpaceError

TASK = "task: pneumonia\n"
#: A name, the text of a file, and what the message must name.
Case = tuple[str, str, list[str]]


def parse(text: str, *overrides: str) -> space.SearchSpace:
    return space.parse(text, overrides, file="my.yaml", name="my")


def one(parameter: str) -> str:
    """A file whose third line is the parameter in question."""
    return f"{TASK}space:\n  {parameter}\nsearch: {{algorithm: random, samples: 3}}\n"


def refused(text: str, *overrides: str) -> str:
    """The message that refuses a file."""
    with pytest.raises(SpaceError) as caught:
        parse(text, *overrides)
    return str(caught.value)


def cases(malformed: Iterable[Case]) -> list[Any]:
    return [pytest.param(text, facts, id=name) for name, text, facts in malformed]


def check_refused(text: str, facts: list[str]) -> None:
    """A file is refused by a message with a place in it and these facts, in our words alone."""
    message = refused(text)
    assert lacking(message, facts) == [], message
    assert not re.search(r"pydantic|Traceback|validation error|Input should|ruamel", message)
    assert message.startswith("my.yaml:")
