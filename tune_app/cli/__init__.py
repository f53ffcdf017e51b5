"""The command line: arguments in, one call, an exit code out. Heavy modules are imported when needed."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import click

from tune_app.cli import clusters, pages, reporting, runs, training
from tune_app.cli.options import EVERYTHING, IMAGE_SIZE, RUNS_DIR, SPLIT
from tune_app.errors import DiskError, Terminated, TuneAppError, as_disk_error
from tune_app.training import streams
from tune_app.version import __version__

#: The commands as ``--help`` lists them. A test holds that each command is in one group.
GROUPS = {
    "Sweep": ("run", "check", "resume", "extend", "confirm", "retry", "rerun", "stop"),
    "Look": ("ls", "show", "logs", "compare", "best", "plot"),
    "Results": ("report", "export", "predict", "prune"),
    "Cluster": ("submit", "attach", "pull", "cluster"),
    "Set up": ("data", "spaces", "schema", "docs", "doctor"),
}


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


for _command in (
    *training.COMMANDS,
    *runs.COMMANDS,
    *reporting.COMMANDS,
    *clusters.COMMANDS,
    *pages.COMMANDS,
):
    cli.add_command(_command)


@cli.command()
def spaces() -> None:
    """List the search spaces in ./search_spaces and the built-in ones."""
    from tune_app.report import terminal

    click.echo(terminal.spaces())


@cli.command()
def schema() -> None:
    """Print the JSON schema of a search-space file.

    Editors use it to complete and check YAML.
    """
    from tune_app import space

    click.echo(json.dumps(space.json_schema(), indent=2))


@cli.command()
@RUNS_DIR
@click.option("--data", metavar="SOURCE", default="phantom", help="The data to check.  [default: phantom]")
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Check every machine of the cluster at this address; auto finds the cluster.",
)
def doctor(runs_dir: Path, data: str, address: str | None) -> None:
    """Check the installation and the data, and print fixes.

    Checks Python, torch, Ray, GPUs, memory, disk and data; with --address, every machine of a cluster.
    """
    from tune_app import doctor as doctors
    from tune_app import progress

    if address is not None and address != "local":
        with progress.waiting(f"checking the cluster at {address}"):
            checks = doctors.check_cluster(address, runs_dir)
        click.echo(doctors.render(checks))
        raise SystemExit(2 * doctors.exit_code(checks))
    with progress.waiting("checking this machine"):
        checks = doctors.check_machine(runs_dir, data)
    click.echo(doctors.render(checks))
    raise SystemExit(doctors.exit_code(checks))


@cli.group()
def data() -> None:
    """Fetch, import and show chest X-rays."""


@data.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder to download to.  [default: data/course]",
)
def fetch(out: Path | None) -> None:
    """Download the course's four files and check each. An interrupted download is continued."""
    from tune_app import data as sources

    folder = out or sources.COURSE_DIR
    with sources.progress_bar() as on_progress:
        fetched = sources.fetch(folder, progress=on_progress)
    for name, new in sorted(fetched.items(), key=lambda file: not file[1]):
        click.echo(f"{'downloaded' if new else 'already there'}: {folder / name}")
    click.echo("All four files are correct. Next: tune-app run table3 --data course")


@data.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The folder to create. It must not exist."
)
@IMAGE_SIZE
@EVERYTHING
def import_(folder: Path, out: Path, image_size: int | None, everything: bool) -> None:
    """Convert an image folder ({train,test}/{NORMAL,PNEUMONIA}) into arrays of one size."""
    from tune_app import data as sources

    imported = sources.import_folder(folder, out, image_size=image_size or 256, everything=everything)
    for name, file in imported.files.items():
        size = f"{imported.image_size}x{imported.image_size}"
        click.echo(f"{out / name}: {len(file.names):,} images of {size}")
    for note in imported.notes:
        click.echo(f"  note: {note}")
    if imported.dropped:
        click.echo(f"  left out, because the test set has the same pixels: {', '.join(imported.dropped)}")
    click.echo(f"Next: tune-app run table3 --data {out}")


@data.command("show")
@click.argument("source", default="phantom")
@IMAGE_SIZE
@SPLIT
@EVERYTHING
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("contact_sheet.png"),
    show_default=True,
    help="The file of the contact sheet.",
)
def show_data(source: str, image_size: int | None, split: str, everything: bool, out: Path) -> None:
    """Count the images and patients of SOURCE, and draw a contact sheet."""
    from tune_app import data as sources

    dataset = sources.load(source, image_size=image_size, split=split, everything=everything)
    click.echo("\n".join(sources.show(dataset, out)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. A user's mistake ends with one message and exit code 2, never a traceback."""
    # At exit the interpreter collects garbage among all loaded modules, which takes a third of a second.
    atexit.register(gc.freeze)
    streams.open_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" shows "?"
    try:
        code: str | int | None = _outcome(argv)
    except SystemExit as ended:
        code = ended.code
    _leave(code)


def _outcome(argv: Sequence[str] | None) -> int:
    """Run the command line, printing its error if there is one; returns the exit code."""
    try:
        with _terminable():
            code = cli.main(args=argv, prog_name="tune-app", standalone_mode=False)
            if sys.stdout:
                sys.stdout.flush()  # the interpreter would report a failure at exit with its own message
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except TuneAppError as error:
        return _print_error(error)
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of the output has gone
            return 1
        if disk_error := as_disk_error(error, "standard output"):
            return _print_error(disk_error)
        raise
    return code if isinstance(code, int) else 0


def _print_error(error: TuneAppError) -> int:
    text = str(error)
    if isinstance(error, DiskError) and "\n" not in text:
        text += "\n  Free some space there, and give the command again."
    click.echo(text if _located(text) else f"tune-app: {text}", err=True)
    return error.exit_code


def _leave(code: str | int | None) -> NoReturn:
    """End this process; at once if a thread hangs in a call of Ray."""
    ray_session = sys.modules.get("tune_app.engines.ray.ray_session")  # else no Ray was started
    if ray_session:
        ray_session.wait_until_gone()
    if ray_session and ray_session.abandoned:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)
    raise SystemExit(code)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command by an exception, as Ctrl-C does, so that it can clean up; the exit code is 143.

    Python drops an exception that is raised within a callback of the garbage collector. The signal is then
    sent again.
    """

    def terminate(number: int, _: object) -> None:
        raise Terminated(128 + number)

    def again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, (SystemExit, KeyboardInterrupt)):
            number = signal.SIGTERM if issubclass(lost.exc_type, SystemExit) else signal.SIGINT
            repeat = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, number])
            repeat.daemon = True
            repeat.start()  # outside of the callback
        else:
            unraisable(lost)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, unraisable = signal.signal(signal.SIGTERM, terminate), sys.unraisablehook
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        signal.signal(signal.SIGTERM, before)


def _located(text: str) -> bool:
    """Whether a message starts with ``file:line:``, which editors turn into a link."""
    parts = text.split(":", 2)
    return len(parts) == 3 and parts[1].isdigit()
