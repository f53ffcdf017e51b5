"""The group of all commands, the parameters that they share, and the decorator that declares a command."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tune_app.cli.completion import PAGES, RUNS, SPACES, TRIALS, one_of
from tune_app.engines.ray import addresses
from tune_app.errors import SpaceError
from tune_app.text import wrapped
from tune_app.version import __version__

if TYPE_CHECKING:
    from tune_app.space import SearchSpace
    from tune_app.sweep import Sweep

Decorator = Callable[[Any], Any]

#: The commands as ``--help`` lists them. A test holds that each command is in one group.
GROUPS = {
    "Sweep": ("run", "check", "resume", "extend", "settle", "confirm", "retry", "rerun", "stop"),
    "Look": ("ls", "show", "logs", "compare", "best", "plot"),
    "Results": ("report", "export", "predict", "prune"),
    "Cluster": ("submit", "attach", "pull", "cluster"),
    "Set up": ("up", "down", "data", "spaces", "schema", "docs", "doctor"),
}


def width(stream: IO[str] | None = None) -> int | None:
    """Columns of the terminal that a stream is, standard output unless given; None for a file or a pipe."""
    stream = stream or sys.stdout
    return shutil.get_terminal_size().columns if stream and stream.isatty() else None


def say(text: str, err: bool = False) -> None:
    """Print text; on a terminal, lines that are too long for it end between words."""
    click.echo(wrapped(text, width(sys.stderr if err else None)), err=err)


class _Grouped(click.Group):
    """Lists the commands by group, each in one line: the first sentence of its help."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{name:<8}", self.commands[name].get_short_help_str(limit=200)) for name in names]
                )


@click.group(cls=_Grouped, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tune-app")
def cli() -> None:
    """Hyperparameter sweeps for PyTorch on Ray Tune, from a search-space file to the table in a report."""


def seconds(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """``90s``, ``45m``, ``1.5h`` or ``1d``, in seconds. A number without a unit is refused."""
    if value is None:
        return None
    try:
        found = float(value[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[value[-1:]]
    except (KeyError, ValueError):
        found = 0.0
    if not 0 < found < 1e9:
        name = parameter.opts[0]
        raise SpaceError(f"{name} {value}: write a number with a unit, as in 90s, 45m, 2h or 1d")
    return found


def gpus(_: click.Context, parameter: click.Parameter, value: str | None) -> float | str | None:
    """A number, or ``auto``."""
    try:
        return value if value in (None, "auto") else float(value)
    except ValueError:
        name = parameter.opts[0]
        raise SpaceError(f"{name} {value}: write a number, a share such as 0.25, or auto") from None


def margin(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    """A number above 0."""
    if value is None or 0 < value < math.inf:
        return value
    rule = "write a number above 0: percentage points of a share such as accuracy, else the metric's unit"
    raise SpaceError(f"--within {value:g}: {rule}")


def place(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A path, ``s3://...`` or ``gs://...``, made absolute; ``none`` as it is."""
    from tune_app import storage

    return None if value is None else storage.normalized(value)


PATH = click.Path(path_type=Path)


def option(declared: str, told: str, **settings: Any) -> Decorator:
    """An option: its flag, and the name of its value where that differs; its help; what else click takes."""
    default = settings.get("default")
    settings["show_default"] = bool(default) and not callable(default)
    return click.option(*declared.split(), help=told, **settings)


_ARGUMENTS: dict[str, Decorator] = {
    "SPACE": click.argument("space", **SPACES),
    "NAME": click.argument("name", **RUNS),
    "TRIAL": click.argument("trial", **TRIALS),
    "[TRIAL]": click.argument("trial", required=False, **TRIALS),
    "[PAGE]": click.argument("page", required=False, **PAGES),
    "FILE": click.argument("file", type=PATH),
}
_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("--data", "phantom, course, or a folder.  [default: phantom]", {"metavar": "SOURCE"}),
    ("--image-size", "Width and height in pixels.  [default: as stored, 256 or 64]", {"type": int}),
    (
        "--split",
        "Draw the validation set by image, as the paper did, or by patient.",
        {"type": click.Choice(["image", "patient"]), "default": "image"},
    ),
    ("--all everything", "Use all images of an image folder, not a random subset.", {"is_flag": True}),
    ("--epochs", "Epochs of each trial.", {"type": int}),
    ("--seeds", "How many seeds each configuration is trained with.", {"type": int}),
    ("--seed", "The seed from which all random numbers derive.", {"type": int}),
    (
        "--stop stopping",
        "Early stopping: asha, halving, hyperband, median or none.",
        {"metavar": "SCHEDULER", **one_of("asha", "halving", "hyperband", "median", "none")},
    ),
    ("--set overrides", "Change any key of the space.", {"metavar": "KEY=VALUE", "multiple": True}),
    ("--name", "Run name. If a run of that name exists, it is resumed.", {}),
    (
        "--storage",
        "Mirror the run to a shared path, s3://... or gs://..., so that another machine can resume it; none "
        "stops mirroring.  [default: $TUNE_APP_STORAGE; for an existing run, as before]",
        {"metavar": "URI", "envvar": "TUNE_APP_STORAGE", "callback": place},
    ),
    ("--cpus-per-trial", "CPUs for each trial.", {"type": float}),
    (
        "--gpus-per-trial",
        "GPUs for each trial: a number, a share such as 0.25, or auto to measure the best share.",
        {"metavar": "SHARE", "callback": gpus},
    ),
    ("--max-concurrent", "The most trials at a time.", {"type": int}),
    (
        "--time-limit time_limit_s",
        "Stop after 90s, 45m, 2h, ...; tune-app resume continues the run.",
        {"metavar": "TIME", "callback": seconds},
    ),
    (
        "--wait-for-gpus",
        "Ask the cluster's autoscaler for N GPUs, and start once it has them.",
        {"metavar": "N", "type": click.IntRange(0), "default": 0},
    ),
    (
        "--wait-at-most wait_s",
        "The longest wait for those GPUs.",
        {"metavar": "TIME", "callback": seconds, "default": "30m"},
    ),
    ("--runs-dir", "Folder that holds the runs.", {"type": PATH, "default": Path("runs")}),
    (
        "--address",
        "local, warm (of tune-app up), auto, the address of a cluster, or inline (no Ray).  [default: "
        "$RAY_ADDRESS, else warm, else the cluster that this machine belongs to, else local]",
        {
            "metavar": "ADDRESS",
            "default": addresses.default_address,
            **one_of("local", "warm", "auto", "inline"),
        },
    ),
    (
        "--no-report",
        "Write the results, but draw no report. To draw it later: tune-app report NAME",
        {"is_flag": True},
    ),
    (
        "--trust",
        "Use the code, data and storage that the run or model names, even if someone else made it. "
        "Needed once.",
        {"is_flag": True},
    ),
    ("--json as_json", "Print JSON, for scripts.", {"is_flag": True}),
    ("--out", "File to write.", {"type": PATH}),
    (
        "--cluster file",
        "The file with which the cluster was started: ray up FILE.",
        {"metavar": "FILE", "type": PATH, "required": True},
    ),
    (
        "--columns",
        "The columns. The name of a metric selects its mean and interval.",
        {"metavar": "A,B,...", "default": ""},
    ),
    (
        "--within",
        "Say which configurations are shown to be within MARGIN of the best: percentage points of accuracy "
        "and other shares, else the metric's unit.",
        {"metavar": "MARGIN", "type": float, "callback": margin},
    ),
    (
        "--test",
        "Show the test metrics of all configurations, not only of the chosen one. The run records this.",
        {"is_flag": True},
    ),
    ("--sort", "Order of the rows.", {"metavar": "COLUMN[:asc|:desc]", "default": ""}),
    ("--digits", "Decimals of a percentage in tables.", {"type": int, "default": 1}),
    ("--top", "Only the first N rows.", {"type": int, "metavar": "N"}),
)
#: The parameters that several commands share, by the word that stands for each in the help.
PARAMETERS = _ARGUMENTS | {
    declared.split()[0]: option(declared, told, **more) for declared, told, more in _OPTIONS
}
#: A space with changes to it, and its data.
OF_SPACE = (
    *("SPACE", "--data", "--image-size", "--split", "--all", "--epochs", "--seeds", "--seed", "--stop"),
    *("--set", "--name"),
)
#: On how many resources and for how long a session trains.
OF_RESOURCES = (
    *("--cpus-per-trial", "--gpus-per-trial", "--max-concurrent", "--time-limit", "--wait-for-gpus"),
    "--wait-at-most",
)
#: What every command takes that trains here.
OF_SESSION = (*OF_RESOURCES, "--runs-dir", "--address")
#: Which columns and rows of the configurations are shown.
OF_TABLE = ("--columns", "--sort", "--digits", "--top")


def command(*parameters: str | Decorator, of: click.Group = cli, name: str | None = None) -> Decorator:
    """Declare a command with these parameters: words of ``PARAMETERS``, or decorators of its own."""

    def decorate(function: Any) -> click.Command:
        for parameter in reversed(parameters):
            function = (PARAMETERS[parameter] if isinstance(parameter, str) else parameter)(function)
        return of.command(name)(function)

    return decorate


def requested_space(options: dict[str, Any]) -> SearchSpace:
    """The space that ``OF_SPACE`` and ``OF_RESOURCES`` ask for; a flag is short for ``--set`` of its key."""
    from tune_app import space

    flags = {
        "epochs": "epochs",
        "seeds": "seeds",
        "seed": "seed",
        "cpus_per_trial": "resources.cpus_per_trial",
        "gpus_per_trial": "resources.gpus_per_trial",
        "max_concurrent": "resources.max_concurrent",
        "stopping": "stop.scheduler",
    }
    changes = [f"{key}={options[flag]}" for flag, key in flags.items() if options[flag] is not None]
    return space.load(options["space"], [*options["overrides"], *changes])


def open_run(name: str, runs_dir: Path) -> Sweep:
    """Open a run by its name or the path of its folder. Raises RunError as `Sweep.open` does."""
    from tune_app.sweep import Sweep
    from tune_app.sweep.paths import find_run

    return Sweep.open(find_run(name, runs_dir))
