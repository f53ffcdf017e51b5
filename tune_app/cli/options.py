"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app.engines.ray import addresses
from tune_app.errors import SpaceError

if TYPE_CHECKING:
    from tune_app.space import SearchSpace
    from tune_app.sweep import Sweep

RUNS_DIR = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that holds the runs.",
)
IMAGE_SIZE = click.option(
    "--image-size", type=int, help="Width and height in pixels.  [default: as stored, 256 or 64]"
)
SPLIT = click.option(
    "--split",
    type=click.Choice(["image", "patient"]),
    default="image",
    show_default=True,
    help="Draw the validation set by image, as the paper did, or by patient.",
)
EVERYTHING = click.option(
    "--all", "everything", is_flag=True, help="Use all images of an image folder, not a random subset."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
TRUST = click.option(
    "--trust",
    is_flag=True,
    help="Use the code, data and storage that the run or model names, though a stranger may have made it. "
    "Needed once.",
)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """``90s``, ``45m``, ``1.5h`` or ``1d``, in seconds. A number without a unit is refused."""

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

        return storage.normalized(str(value))


STORAGE = click.option(
    "--storage",
    type=Place(),
    metavar="URI",
    envvar="TUNE_APP_STORAGE",
    help="Mirror the run to a shared path, s3://... or gs://..., so that another machine can resume it; "
    "none stops mirroring.  [default: $TUNE_APP_STORAGE; for an existing run, as before]",
)


def group(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decorator that gives a command several options, in this order in its help."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: On how many resources and for how long a session trains.
resource_options = group(
    click.option("--cpus-per-trial", type=float, help="CPUs for each trial."),
    click.option(
        "--gpus-per-trial",
        type=Gpus(),
        metavar="SHARE",
        help="GPUs for each trial: a number, a share such as 0.25, or auto to measure the best share.",
    ),
    click.option("--max-concurrent", type=int, help="The most trials at a time."),
    click.option(
        "--time-limit",
        "time_limit_s",
        type=Duration(),
        metavar="TIME",
        help="Stop after 90s, 45m, 2h, ...; tune-app resume continues the run.",
    ),
    click.option(
        "--wait-for-gpus",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help="Ask the cluster's autoscaler for N GPUs, and start once it has them.",
    ),
    click.option(
        "--wait-at-most",
        "wait_s",
        type=Duration(),
        default="30m",
        show_default=True,
        metavar="TIME",
        help="The longest wait for those GPUs.",
    ),
)

#: What every command that trains here takes.
training_options = group(
    resource_options,
    RUNS_DIR,
    click.option(
        "--address",
        default=addresses.default_address,
        metavar="ADDRESS",
        help="local, auto, the address of a cluster, or inline (no Ray).  [default: $RAY_ADDRESS, else the "
        "cluster that this machine belongs to, else local]",
    ),
)

#: A space with changes to it, and its data: for ``run``, ``check`` and ``submit``.
space_options = group(
    click.argument("space"),
    click.option("--data", metavar="SOURCE", help="phantom, course, or a folder.  [default: phantom]"),
    IMAGE_SIZE,
    SPLIT,
    EVERYTHING,
    click.option("--epochs", type=int, help="Epochs of each trial."),
    click.option("--seeds", type=int, help="How many seeds each configuration is trained with."),
    click.option("--seed", type=int, help="The seed from which all random numbers derive."),
    click.option(
        "--stop",
        "stopping",
        metavar="SCHEDULER",
        help="Early stopping: asha, hyperband, median or none.",
    ),
    click.option(
        "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change any key of the space."
    ),
    click.option("--name", help="Run name. If a run of that name exists, it is resumed."),
)


def requested_space(options: dict[str, Any]) -> SearchSpace:
    """The space of `space_options` and `training_options`; a flag is short for ``--set`` of its key."""
    from tune_app import space

    overrides = list(options["overrides"])
    flags = {
        "epochs": "epochs",
        "seeds": "seeds",
        "seed": "seed",
        "cpus_per_trial": "resources.cpus_per_trial",
        "gpus_per_trial": "resources.gpus_per_trial",
        "max_concurrent": "resources.max_concurrent",
        "stopping": "stop.scheduler",
    }
    for flag, key in flags.items():
        if options[flag] is not None:
            overrides.append(f"{key}={options[flag]}")
    return space.load(options["space"], overrides)


def open_run(name: str, runs_dir: Path) -> Sweep:
    """Open a run by its name or the path of its folder. Raises RunError as `Sweep.open` does."""
    from tune_app.sweep import Sweep
    from tune_app.sweep.paths import find_run

    return Sweep.open(find_run(name, runs_dir))
