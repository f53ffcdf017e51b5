"""The reference has each command, option, key, column, metric and status that the program has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import click
import pytest
from docs_pages import page

from tune_app import cli, results, space
from tune_app.engines.ray import prometheus
from tune_app.report import comparing, exporting, figures
from tune_app.space.rules import COLUMNS, MEASURES
from tune_app.status import WAITING, Status
from tune_app.sweep import events

COMMANDS_PAGE = page("commands")


def commands(group: click.Group = cli.cli, before: str = "tune-app") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def section(command: str) -> str:
    """What the page says of a command, with the sections of options to which it refers."""
    texts = COMMANDS_PAGE.sections.values()
    [text] = [each for each in texts if re.match(rf"### `{command}[ `]", each)]
    referred: list[str] = []
    while new := set(re.findall(r"\(#(options-[\w-]+)\)", text)) - set(referred):
        referred += new
        text += "".join(COMMANDS_PAGE.sections[anchor] for anchor in new)
    return text


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_each_command_and_option_is_documented(name: str, command: click.Command) -> None:
    text = section(name)
    options = [each for each in command.params if isinstance(each, click.Option)]
    flags = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
    told = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", re.sub(r"`tune-app .*?`", "", text)))
    told |= set(re.findall(r"--[a-z][\w-]*", text.splitlines()[0]))
    assert told == flags
    for argument in command.params:
        if isinstance(argument, click.Argument):
            assert str(argument.name).rstrip("s").upper() in text.splitlines()[0]


def rows(name: str) -> set[str]:
    """The first cells, between backticks, of the tables of a page."""
    cells = re.findall(r"^ *\| ([^|]*) \|", page(name).text, re.M)
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


def schema_keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in (schema, *schema["$defs"].values()):
        yield from part["properties"].items()


def choices(entry: Any) -> Iterator[str]:
    """The texts that a key of the schema may have."""
    if isinstance(entry, dict):
        found = [*entry.get("enum", []), entry.get("const")]
        yield from (choice for choice in found if isinstance(choice, str))
        for inner in entry.get("anyOf", []):
            yield from choices(inner)


def test_each_key_of_a_space_is_documented_with_its_choices() -> None:
    schema = space.json_schema()
    keys = dict(schema_keys(schema))
    samplers = schema["properties"]["space"]["additionalProperties"]["properties"]
    # `name` and `mode` of a metric stand in a paragraph of their own.
    assert set(keys) - rows("search-space") == {"name", "mode"}
    beside = {"when", "p"}  # keys beside that of the sampler
    assert set(samplers) - beside <= rows("samplers")
    assert set(samplers) - beside == set(space.KINDS)
    assert [key for key in beside if f"`{key}" not in page("samplers").text] == []
    text = page("search-space").text
    for key, entry in keys.items():
        assert [choice for choice in (key, *choices(entry)) if f"`{choice}`" not in text] == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("columns", results.COLUMNS),
        ("columns", MEASURES),
        ("columns", [*Status, WAITING]),
        ("report", figures.KINDS),
        ("clusters", [f"ray_{metric}" for metric in prometheus.METRICS]),
    ],
    ids=["columns", "metrics", "statuses", "figures", "prometheus"],
)
def test_each_has_a_row(name: str, known: Iterable[str]) -> None:
    assert set(known) - rows(name) == set()


def test_each_column_is_explained_in_the_program_too() -> None:
    tables = {"ties", *(column for column in COLUMNS if column.startswith(("chosen_", "confirmed_")))}
    assert (
        set(results.COLUMNS) - {"<metric>", "<metric>_mean", "<metric>_ci95", "<metric>_choice"}
        == COLUMNS - tables
    )
    assert {column for column in tables if f"`{column}`" not in page("search-space").text} == set()


def test_each_event_of_a_record_is_named() -> None:
    kinds = {kind.__name__.lower() for kind in get_args(events.Event)}
    assert {kind for kind in kinds if f"`{kind}`" not in page("run-folder").text} == set()


@pytest.mark.parametrize(
    ("command", "formats"), [("export", exporting.FORMATS), ("compare", comparing.FORMATS)]
)
def test_each_format_is_named(command: str, formats: tuple[str, ...]) -> None:
    text = section(f"tune-app {command}")
    assert [name for name in formats if not re.search(rf"[` ]{name}`", text)] == []
