"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tune_app.cli import options
from tune_app.errors import RunError, SpaceError


@click.group()
def group() -> None:
    """Holds the command, which is none of the program's."""


@options.command(*options.OF_SPACE, *options.OF_SESSION, "--storage", of=group)
def command(**given: Any) -> None:
    click.get_current_context().obj = given


def given(*argv: str) -> dict[str, Any]:
    """The options of a command line."""
    context = command.make_context("command", ["grid", *argv])
    command.invoke(context)
    found: dict[str, Any] = context.obj
    return found


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("45m", 2700), ("1.5h", 5400), ("1d", 86400)])
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert given("--time-limit", text)["time_limit_s"] == seconds
    with pytest.raises(SpaceError, match=f"--time-limit {text[:-1]}: "):
        given("--time-limit", text[:-1])


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf"])
def test_a_margin_is_above_zero(text: str) -> None:
    with pytest.raises(SpaceError, match=f"--within {text}: "):
        options.margin(click.Context(command), command.params[0], float(text))
    assert options.margin(click.Context(command), command.params[0], 0.5) == 0.5


def test_a_share_of_a_gpu_is_a_number_or_auto() -> None:
    assert given("--gpus-per-trial", "0.25")["gpus_per_trial"] == 0.25
    assert given("--gpus-per-trial", "auto")["gpus_per_trial"] == "auto"
    with pytest.raises(SpaceError, match="--gpus-per-trial half: "):
        given("--gpus-per-trial", "half")


def test_a_storage_is_made_absolute_or_refused() -> None:
    assert given("--storage", "none")["storage"] == "none"
    assert given("--storage", "here")["storage"].startswith("/")
    with pytest.raises(RunError, match="--storage ftp://x: "):
        given("--storage", "ftp://x")


def test_flags_and_overrides_change_the_space() -> None:
    space = options.requested_space(
        given(*("--seeds", "2", "--stop", "asha", "--max-concurrent", "3"), *("--set", "epochs=7"))
    )
    assert (space.name, space.seeds, space.epochs) == ("grid", 2, 7)
    assert (space.stop.scheduler, space.resources.max_concurrent) == ("asha", 3)


def test_options_keep_their_order_in_the_help() -> None:
    names = [parameter.name for parameter in command.params]
    assert names[0] == "space"
    assert (
        names.index("data") < names.index("cpus_per_trial") < names.index("address") < names.index("storage")
    )
