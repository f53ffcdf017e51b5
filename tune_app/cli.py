"""The command line: arguments in, one call, an exit code out. Heavy imports wait for their command."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app import __version__
from tune_app.errors import TuneAppError

if TYPE_CHECKING:
    from tune_app.launch import Request
    from tune_app.space import SearchSpace

_RUNS_DIR = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the run folders.",
)
_IMAGE_SIZE = click.option("--image-size", type=int, help="Pixels a side; default: as stored, 256 or 64.")
_SPLIT = click.option(
    "--split",
    type=click.Choice(["image", "patient"]),
    default="image",
    show_default=True,
    help="Draw validation images by image, as the paper did, or by patient.",
)
_EVERYTHING = click.option(
    "--all", "everything", is_flag=True, help="Of an image folder, take all images, not a draw of them."
)


def _space_options(command: Callable[..., None]) -> Callable[..., None]:
    """What ``run`` and ``check`` share: the space, changes to it, and the data."""
    for option in reversed(
        [
            click.argument("space"),
            click.option(
                "--data", metavar="SOURCE", help="phantom, course, or a folder.  [default: phantom]"
            ),
            _IMAGE_SIZE,
            _SPLIT,
            _EVERYTHING,
            click.option("--epochs", type=int, help="Epochs of each trial."),
            click.option("--seeds", type=int, help="Replicates of each configuration."),
            click.option("--seed", type=int, help="The seed that all others are derived from."),
            click.option("--stop", "stopping", metavar="SCHEDULER", help="Early stopping: asha or none."),
            click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change any key."),
            click.option("--cpus-per-trial", type=float, help="CPUs that one trial occupies."),
            click.option("--gpus-per-trial", type=float, help="GPUs, or a share of one, for each trial."),
            click.option("--max-concurrent", type=int, help="Trials at a time, at most."),
            click.option("--name", help="Name of the run; an existing one is gone on with."),
            _RUNS_DIR,
            click.option(
                "--address",
                default=lambda: os.environ.get("RAY_ADDRESS", "local"),
                metavar="ADDRESS",
                help="local, auto, a cluster's, or inline (no Ray).  [default: $RAY_ADDRESS or local]",
            ),
        ]
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tune-app")
def cli() -> None:
    """Hyperparameter sweeps for PyTorch on Ray Tune, from a search-space file to the table in a report."""


@cli.command()
@_space_options
def run(**options: Any) -> None:
    """Train every configuration of SPACE (a name or a file) and write results and report."""
    from tune_app import launch, progress, report, results, terminal

    request = _request(options)
    with progress.waiting("loading data"):
        material = launch.gather(request)
    click.echo(terminal.headline(request.space, material.identity))
    outcome: TuneAppError | None = None
    sweep = None
    view = _View()
    try:
        sweep = launch.train(request, material, view)
    except TuneAppError as error:
        if view.sweep is None:
            raise
        sweep, outcome = view.sweep, error
    with progress.waiting("writing results and report"):
        frames = results.load(sweep)
        results.write(frames)
        report.write(frames, sweep.paths.report)
    click.echo(terminal.summary(frames))
    if outcome:
        raise outcome


class _View:
    """Opens the live view, and remembers the sweep for what is to be said after an interruption."""

    def __init__(self) -> None:
        self.sweep: Any = None

    def __call__(self, sweep: Any, plan_line: str) -> Any:
        from tune_app import progress

        self.sweep = sweep
        return progress.watch(sweep, plan_line)


def _request(options: dict[str, Any]) -> Request:
    from tune_app.launch import Request

    return Request(
        space=_space(options),
        data=options["data"],
        image_size=options["image_size"],
        split=options["split"],
        everything=options["everything"],
        name=options["name"],
        runs_dir=options["runs_dir"],
        address=options["address"],
        argv=["tune-app", *sys.argv[1:]],
    )


def _space(options: dict[str, Any]) -> SearchSpace:
    """The space with its overrides; a flag is short for ``--set`` of its key."""
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


@cli.command()
@_space_options
def check(**options: Any) -> None:
    """Validate SPACE and its data; show what a run would train, and about how long it would take."""
    from tune_app import launch, progress, terminal

    request = _request(options)
    with progress.waiting("loading data"):
        material = launch.gather(request)
    click.echo(terminal.headline(request.space, material.identity))
    with progress.waiting("timing one epoch"):
        epoch_s, at_a_time = launch.estimate(request, material)
    click.echo(terminal.plan(request.space, epoch_s, at_a_time))


@cli.command()
def spaces() -> None:
    """List the search spaces: those in ./search_spaces and the built-in ones."""
    from tune_app import terminal

    click.echo(terminal.spaces())


@cli.command()
def schema() -> None:
    """Print the JSON schema of a search-space file, for editors that complete and check YAML."""
    from tune_app import space

    click.echo(json.dumps(space.json_schema(), indent=2))


@cli.command()
@_RUNS_DIR
def ls(runs_dir: Path) -> None:
    """List the runs, newest first."""
    from tune_app import terminal

    click.echo(terminal.runs(runs_dir))


@cli.command()
@click.argument("name")
@_RUNS_DIR
def show(name: str, runs_dir: Path) -> None:
    """Show the configurations of a run and how they stand."""
    from tune_app import results, terminal
    from tune_app.sweep import Sweep, find_run

    click.echo(terminal.table(results.load(Sweep.open(find_run(name, runs_dir)))))


def _view_options(command: Callable[..., None]) -> Callable[..., None]:
    """What ``report`` and ``export`` share: what is shown of the configurations."""
    for option in reversed(
        [
            click.option(
                "--columns",
                metavar="A,B,...",
                default="",
                help="Columns; a metric stands for mean and interval.",
            ),
            click.option("--sort", metavar="COLUMN[:asc|:desc]", default="", help="Order of the rows."),
            click.option(
                "--digits", type=int, default=1, show_default=True, help="Decimals of a percentage in tables."
            ),
            click.option("--top", type=int, default=None, help="The first so many rows alone."),
        ]
    ):
        command = option(command)
    return command


def _view(columns: str, sort: str, digits: int, top: int | None) -> Any:
    from tune_app.report import View

    names = [name.strip() for name in columns.split(",") if name.strip()]
    return View(tuple(names), sort, digits, top)


def _frames(name: str, runs_dir: Path) -> Any:
    from tune_app import results
    from tune_app.sweep import Sweep, find_run

    return results.load(Sweep.open(find_run(name, runs_dir)))


_OUT = click.option("--out", type=click.Path(path_type=Path), help="File to write.")


@cli.command()
@click.argument("name")
@_view_options
@click.option("--figures/--no-figures", default=True, show_default=True, help="Whether to draw figures.")
@_RUNS_DIR
def report(name: str, figures: bool, runs_dir: Path, **view: Any) -> None:
    """Write the CSV files and the report of a run again from its record: a page, tables and figures."""
    from tune_app import progress, results
    from tune_app import report as reports

    with progress.waiting("writing results and report"):
        frames = _frames(name, runs_dir)
        folder = frames.sweep.paths.report
        written = [*results.write(frames), *reports.write(frames, folder, _view(**view), figures)]
    for path in written:
        click.echo(path)


@cli.command()
@click.argument("name")
@click.option(
    "--format", "form", default="csv", show_default=True, help="csv, parquet, json, latex, markdown."
)
@click.option("--of", default="trials", show_default=True, help="trials, seeds or curves: what a row is.")
@_view_options
@_OUT
@_RUNS_DIR
def export(name: str, form: str, of: str, out: Path | None, runs_dir: Path, **view: Any) -> None:
    """Give the results of a run in another format, to a file or to the terminal."""
    from tune_app.report import exporting

    content = exporting.export(_frames(name, runs_dir), form, _view(**view), of)
    exporting.deliver(content, form, out, sys.stdout.buffer)


@cli.command()
@click.argument("name")
@click.argument("kind")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A .png, .svg or .pdf.  [default: in the run's report]"
)
@_RUNS_DIR
def plot(name: str, kind: str, out: Path | None, runs_dir: Path) -> None:
    """Draw one kind of figure of a run.

    KIND: intervals, curves, panels, heatmap, rungs, confusion, roc, history, importance, slice or parallel.
    """
    from tune_app.report import figures

    for path in figures.plot(_frames(name, runs_dir), kind, out):
        click.echo(path)


@cli.command()
@click.argument("names", nargs=-1, metavar="NAME NAME...")
@click.option("--format", "form", default="text", show_default=True, help="text, csv, latex or markdown.")
@_OUT
@_RUNS_DIR
def compare(names: Sequence[str], form: str, out: Path | None, runs_dir: Path) -> None:
    """Set the best configuration of several runs side by side; ranked where their data are the same."""
    from tune_app.report import comparing, exporting

    content = comparing.written([_frames(name, runs_dir) for name in names], form)
    exporting.deliver(content, form, out, sys.stdout.buffer)


@cli.command()
@_RUNS_DIR
@click.option("--data", metavar="SOURCE", default="phantom", help="Data to look for.  [default: phantom]")
def doctor(runs_dir: Path, data: str) -> None:
    """Check Python, torch, Ray, GPUs, memory, disk and data: what is wrong, and the mend."""
    from tune_app import doctor as doctors
    from tune_app import progress

    with progress.waiting("checking this machine"):
        checks = doctors.checks(runs_dir, data)
    click.echo(doctors.render(checks))
    raise SystemExit(doctors.exit_code(checks))


@cli.group()
def data() -> None:
    """Fetch, import and look at chest X-rays."""


@data.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder to fetch to.  [default: data/course]"
)
def fetch(out: Path | None) -> None:
    """Download the course's four files; each is checked, and a broken download goes on."""
    from tune_app import data as sources

    folder = out or sources.COURSE_DIR
    with sources.progress_bar() as on_progress:
        fetched = sources.fetch(folder, progress=on_progress)
    for word, names in (("downloaded", fetched.downloaded), ("already there", fetched.already_there)):
        for name in names:
            click.echo(f"{word}: {fetched.out / name}")
    click.echo("All four files are the course's. Next: tune-app run table3 --data course")


@data.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make; must not exist.")
@_IMAGE_SIZE
@_EVERYTHING
def import_(folder: Path, out: Path, image_size: int | None, everything: bool) -> None:
    """Turn an image folder ({train,test}/{NORMAL,PNEUMONIA}) into arrays of one size."""
    from tune_app import data as sources

    imported = sources.import_folder(folder, out, image_size=image_size or 256, everything=everything)
    for name, images in imported.counts.items():
        click.echo(f"{imported.out / name}: {images:,} images of {imported.image_size}x{imported.image_size}")
    for note in imported.notes:
        click.echo(f"  note: {note}")
    if imported.dropped:
        click.echo(f"  left out, being pixel for pixel in the test set: {', '.join(imported.dropped)}")
    click.echo(f"Next: tune-app run table3 --data {imported.out}")


@data.command("show")
@click.argument("source", default="phantom")
@_IMAGE_SIZE
@_SPLIT
@_EVERYTHING
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("contact_sheet.png"),
    show_default=True,
    help="The contact sheet.",
)
def show_data(source: str, image_size: int | None, split: str, everything: bool, out: Path) -> None:
    """Count SOURCE's images and patients, and draw a contact sheet of them."""
    from tune_app import data as sources

    dataset = sources.load(source, image_size=image_size, split=split, everything=everything)
    for line in sources.show(dataset, out).lines():
        click.echo(line)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; errors of use end with one message and exit code 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" shows "?"
    try:
        code = cli.main(args=argv, prog_name="tune-app", standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(130) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except TuneAppError as error:
        text = str(error)
        click.echo(text if _located(text) else f"tune-app: {text}", err=True)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _located(text: str) -> bool:
    """Whether a message starts with ``file:line:``, which editors turn into a link."""
    parts = text.split(":", 2)
    return len(parts) == 3 and parts[1].isdigit()
