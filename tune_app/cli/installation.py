"""Commands that set up: data, spaces, the documentation, checks of the installation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tune_app.cli.options import PATH, cli, command, option, say, seconds
from tune_app.errors import ReportError, nearest

#: The folders of pages, in the order in which they are listed.
KINDS = ("tutorial", "how-to", "reference", "explanation")


def find_pages() -> dict[str, Path]:
    """The file of each page, by its name. A wheel has them in the package, a checkout beside it."""
    package = Path(__file__).parents[1]
    folder = package / "docs" if (package / "docs").is_dir() else package.parent / "docs"
    return {path.stem: path for kind in KINDS for path in sorted((folder / kind).glob("*.md"))}


@command("[PAGE]")
def docs(page: str | None) -> None:
    """List the pages of the documentation, or print PAGE."""
    found = find_pages()
    if page is None:
        return say(_listing(found))
    if page not in found:
        raise ReportError(
            f'no page of the documentation is called "{page}".{nearest(page, found)}\n'
            "  To list the pages: tune-app docs"
        )
    text = found[page].read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        return click.echo(text, nl=False)
    from rich.console import Console
    from rich.markdown import Markdown

    return Console().print(Markdown(text))


def _listing(pages: dict[str, Path]) -> str:
    titles = {name: path.read_text(encoding="utf-8").partition("\n")[0] for name, path in pages.items()}
    width = max(map(len, pages))
    parts = []
    for kind in KINDS:
        names = [name for name, path in pages.items() if path.parent.name == kind]
        lines = [f"  {name:<{width}}  {titles[name].lstrip('# ')}" for name in names]
        parts.append("\n".join([f"{kind.capitalize()}:", *lines]))
    return "\n\n".join([*parts, "To read one: tune-app docs PAGE"])


@command()
def spaces() -> None:
    """List the search spaces in ./search_spaces and the built-in ones."""
    from tune_app.report import terminal

    say(terminal.spaces())


@command()
def schema() -> None:
    """Print the JSON schema of a search-space file.

    Editors use it to complete and check YAML.
    """
    from tune_app import space

    click.echo(json.dumps(space.json_schema(), indent=2))


@command(
    "--runs-dir",
    option("--data", "The data to check.", metavar="SOURCE", default="phantom"),
    option(
        "--address",
        "Check every machine of the cluster at this address; auto finds the cluster.",
        metavar="ADDRESS",
    ),
)
def doctor(runs_dir: Path, data: str, address: str | None) -> None:
    """Check the installation and the data, and print fixes.

    Checks Python, torch, Ray, GPUs, memory, disk and data; with --address, every machine of a cluster.
    """
    from tune_app import doctor as doctors
    from tune_app import progress

    cluster = address if address != "local" else None
    with progress.waiting(f"checking the cluster at {cluster}" if cluster else "checking this machine"):
        checks = (
            doctors.check_cluster(cluster, runs_dir) if cluster else doctors.check_machine(runs_dir, data)
        )
    say(doctors.render(checks))
    raise SystemExit(doctors.exit_code(checks) * (2 if cluster else 1))


@command(
    option(
        "--idle idle_s",
        "End it once no run has used it for 90s, 45m, 2h, ...",
        metavar="TIME",
        callback=seconds,
        default="2h",
    )
)
def up(idle_s: float) -> None:
    """Start a warm Ray: later runs on this machine start faster.

    It stays, with torch loaded in its workers, and runs find it by themselves. It listens on this machine
    only, and lets in only this user.
    """
    from tune_app import progress
    from tune_app.engines.ray import warm

    with progress.waiting("starting a warm Ray"):
        found, new = warm.up(idle_s)
    say(f"{'A' if new else 'There already is a'} warm Ray: {found.line}")
    say("tune-app run uses it from now on. To end it: tune-app down")


@command(option("--force", "End it although runs use it; tune-app resume continues them.", is_flag=True))
def down(force: bool) -> None:
    """End the warm Ray of tune-app up. Nothing of it is left."""
    from tune_app import progress
    from tune_app.engines.ray import warm

    with progress.waiting("ending the warm Ray"):
        ended = warm.down(force)
    say("The warm Ray has ended." if ended else "There is no warm Ray.")


@cli.group()
def data() -> None:
    """Fetch, import and show chest X-rays."""


@command(option("--out", "The folder to download to.  [default: data/course]", type=PATH), of=data)
def fetch(out: Path | None) -> None:
    """Download the course's four files and check each. An interrupted download is continued."""
    from tune_app import data as sources

    folder = out or sources.COURSE_DIR
    with sources.progress_bar() as on_progress:
        fetched = sources.fetch(folder, progress=on_progress)
    for name, new in sorted(fetched.items(), key=lambda file: not file[1]):
        say(f"{'downloaded' if new else 'already there'}: {folder / name}")
    say("All four files are correct. Next: tune-app run table3 --data course")


@command(
    click.argument("folder", type=PATH),
    option("--out", "The folder to create. It must not exist.", type=PATH, required=True),
    "--image-size",
    "--all",
    of=data,
    name="import",
)
def import_(folder: Path, out: Path, image_size: int | None, everything: bool) -> None:
    """Convert an image folder ({train,test}/{NORMAL,PNEUMONIA}) into arrays of one size."""
    from tune_app import data as sources

    imported = sources.import_folder(folder, out, image_size=image_size or 256, everything=everything)
    for name, file in imported.files.items():
        size = f"{imported.image_size}x{imported.image_size}"
        say(f"{out / name}: {len(file.names):,} images of {size}")
    for note in imported.notes:
        say(f"  note: {note}")
    if imported.dropped:
        say(f"  left out, because the test set has the same pixels: {', '.join(imported.dropped)}")
    say(f"Next: tune-app run table3 --data {out}")


@command(
    click.argument("source", default="phantom"),
    "--image-size",
    "--split",
    "--all",
    option("--out", "The file of the contact sheet.", type=PATH, default=Path("contact_sheet.png")),
    of=data,
    name="show",
)
def show_data(source: str, image_size: int | None, split: str, everything: bool, out: Path) -> None:
    """Count the images and patients of SOURCE, and draw a contact sheet."""
    from tune_app import data as sources

    dataset = sources.load(source, image_size=image_size, split=split, everything=everything)
    say("\n".join(sources.show(dataset, out)))
