"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tune_app.engines.ray import addresses
from tune_app.errors import SpaceError

Command = Callable[..., None]

RUNS_DIR = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the run folders.",
)
IMAGE_SIZE = click.option("--image-size", type=int, help="Pixels a side; default: as stored, 256 or 64.")
SPLIT = click.option(
    "--split",
    type=click.Choice(["image", "patient"]),
    default="image",
    show_default=True,
    help="Draw validation images by image, as the paper did, or by patient.",
)
EVERYTHING = click.option(
    "--all", "everything", is_flag=True, help="Of an image folder, take all images, not a draw of them."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
TRUST = click.option(
    "--trust",
    is_flag=True,
    help="Use the code, data and storage that it names, though it may come from a stranger; asked for once.",
)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """``90s``, ``45m``, ``1.5h`` or ``1d``, in seconds; a bare number is refused, for lack of a unit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click."""
        text = str(value).strip()
        try:
            seconds = float(text[:-1]) * _SECONDS[text[-1:]]
        except (KeyError, ValueError):
            seconds = 0.0
        if not 0 < seconds < 1e9:
            name = param.opts[0] if param else "a time"
            raise SpaceError(f"{name} {text}: write a number with a unit, as in 90s, 45m, 2h or 1d")
        return seconds


class Gpus(click.ParamType[float | str]):
    """A number, or ``auto``."""

    name = "gpus"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """See click."""
        try:
            return value if value == "auto" else float(value)
        except ValueError:
            raise SpaceError(
                f"--gpus-per-trial {value}: write a number, a share such as 0.25, or auto"
            ) from None


class Place(click.ParamType[str]):
    """A path, ``s3://...`` or ``gs://...``, made absolute; ``none`` as it is."""

    name = "uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        from tune_app import storage

        return storage.normal(str(value))


STORAGE = click.option(
    "--storage",
    type=Place(),
    metavar="URI",
    envvar="TUNE_APP_STORAGE",
    help="Mirror the run to a shared path, s3://... or gs://..., from where another machine can resume it; "
    "none ends that.  [default: $TUNE_APP_STORAGE; of a run that there is: as before]",
)


def resources(command: Command) -> Command:
    """On how much and how long a sitting trains, wherever that is."""
    for option in reversed(
        [
            click.option("--cpus-per-trial", type=float, help="CPUs that one trial occupies."),
            click.option(
                "--gpus-per-trial",
                type=Gpus(),
                metavar="SHARE",
                help="GPUs for each trial: a number, a share such as 0.25, or auto, which measures it.",
            ),
            click.option("--max-concurrent", type=int, help="Trials at a time, at most."),
            click.option(
                "--time-limit",
                "time_limit_s",
                type=Duration(),
                metavar="TIME",
                help="End after 90s, 45m, 2h, ...; go on with tune-app resume.",
            ),
            click.option(
                "--wait-for-gpus",
                type=click.IntRange(0),
                default=0,
                metavar="N",
                help="Begin once the cluster has N GPUs; its autoscaler is asked for them.",
            ),
            click.option(
                "--wait-at-most",
                "wait_s",
                type=Duration(),
                default="30m",
                show_default=True,
                metavar="TIME",
                help="How long to wait for them.",
            ),
        ]
    ):
        command = option(command)
    return command


def sitting(command: Command) -> Command:
    """Where and how long a sitting trains: what every command that trains here shares."""
    for option in reversed(
        [
            RUNS_DIR,
            click.option(
                "--address",
                default=addresses.default,
                metavar="ADDRESS",
                help="local, auto, a cluster's, or inline (no Ray).  [default: $RAY_ADDRESS, else the "
                "cluster that this machine is part of, else local]",
            ),
        ]
    ):
        command = option(command)
    return resources(command)


def space(command: Command) -> Command:
    """The space, changes to it, and the data: what ``run`` and ``check`` share."""
    for option in reversed(
        [
            click.argument("space"),
            click.option(
                "--data", metavar="SOURCE", help="phantom, course, or a folder.  [default: phantom]"
            ),
            IMAGE_SIZE,
            SPLIT,
            EVERYTHING,
            click.option("--epochs", type=int, help="Epochs of each trial."),
            click.option("--seeds", type=int, help="Replicates of each configuration."),
            click.option("--seed", type=int, help="The seed that all others are derived from."),
            click.option(
                "--stop",
                "stopping",
                metavar="SCHEDULER",
                help="Early stopping: asha, hyperband, median or none.",
            ),
            click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change any key."),
            click.option("--name", help="Name of the run; an existing one is gone on with."),
        ]
    ):
        command = option(command)
    return command
