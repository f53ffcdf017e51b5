"""What the shell completes: spaces, runs, trials, kinds of figures, pages. No torch, no Ray."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tune_app.errors import TuneAppError


def words(known: Callable[[dict[str, Any]], Iterable[str]]) -> dict[str, Any]:
    """The argument of a parameter that completes to the words ``known`` finds, given the line so far."""

    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        # a shell shows errors within the line that is typed; the command itself explains them
        with suppress(OSError, TuneAppError, ValueError, KeyError):
            return [CompletionItem(word) for word in known(context.params) if word.startswith(begun)]
        return []

    return {"shell_complete": complete}


def _spaces(_: dict[str, Any]) -> list[str]:
    from tune_app.space import builtin_names

    files = [*Path().glob("*.yaml"), *Path().glob("*.yml")]
    local = [path.stem for path in Path("search_spaces").glob("*.y*ml")]
    return sorted({*builtin_names(), *local, *map(str, files)})


def _runs(line: dict[str, Any]) -> list[str]:
    from tune_app.sweep.paths import find_runs

    return [folder.name for folder in find_runs(line.get("runs_dir") or "runs")]


def _trials(line: dict[str, Any]) -> list[str]:
    """The numbers of the configurations of the run that the line names."""
    from tune_app.sweep.paths import RunPaths, find_run

    record = RunPaths(find_run(str(line.get("name")), line.get("runs_dir") or "runs")).record
    with record.open("rb") as lines:
        planned = [json.loads(line) for line in lines if line.startswith(b'{"event":"planned"')]
    return [str(event["sample"]) for event in planned]


def _pages(_: dict[str, Any]) -> Iterable[str]:
    from tune_app.cli.installation import find_pages

    return find_pages()


def one_of(*known: str) -> dict[str, Any]:
    """The argument of a parameter that completes to one of these words."""
    return words(lambda _: known)


def complete_kinds(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The kinds of figures, as the help of ``plot`` lists them."""
    listed = re.findall(r"\w+", str(context.command.help).partition("KIND:")[2])
    return [CompletionItem(word) for word in listed if word.startswith(begun) and word != "or"]


SPACES, RUNS, TRIALS, PAGES = map(words, (_spaces, _runs, _trials, _pages))
