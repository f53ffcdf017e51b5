"""Commands that look at runs and change nothing in what they recorded."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tune_app.cli.options import JSON, RUNS_DIR


@click.command()
@RUNS_DIR
@JSON
def ls(runs_dir: Path, as_json: bool) -> None:
    """List the runs, newest first."""
    from tune_app import listing, terminal

    click.echo(json.dumps(listing.runs(runs_dir), indent=2) if as_json else terminal.runs(runs_dir))


@click.command()
@click.argument("name")
@RUNS_DIR
@JSON
@click.option("--follow", is_flag=True, help="Watch it while another process trains it; Ctrl-C only leaves.")
def show(name: str, runs_dir: Path, as_json: bool, follow: bool) -> None:
    """Show the configurations of a run and how they stand."""
    from tune_app import listing, progress, results, terminal
    from tune_app.sweep import Sweep, find_run

    sweep = Sweep.open(find_run(name, runs_dir))
    if follow:
        progress.follow(sweep)
    frames = results.load(sweep)
    click.echo(json.dumps(listing.run(frames), indent=2) if as_json else terminal.table(frames))


@click.command()
@click.argument("name")
@RUNS_DIR
@JSON
def best(name: str, runs_dir: Path, as_json: bool) -> None:
    """Print the best configuration of a run, by the metric of its space."""
    from tune_app import listing, results, terminal
    from tune_app.sweep import Sweep, find_run

    frames = results.load(Sweep.open(find_run(name, runs_dir)))
    found = listing.best(frames)
    click.echo(json.dumps(found, indent=2) if as_json else terminal.best(frames, found))


@click.command()
@click.argument("name")
@click.argument("trial")
@RUNS_DIR
def logs(name: str, trial: str, runs_dir: Path) -> None:
    """Print what the trial TRIAL of a run left when it failed: its newest log, or that of 12.1."""
    from tune_app import listing
    from tune_app.sweep import Sweep, find_run

    click.echo(listing.log(Sweep.open(find_run(name, runs_dir)), trial))


@click.command()
@click.argument("name")
@RUNS_DIR
def prune(name: str, runs_dir: Path) -> None:
    """Remove the checkpoints and weights of a run; its record and results stay."""
    from tune_app import words
    from tune_app.sweep import Sweep, find_run

    sweep = Sweep.open(find_run(name, runs_dir))
    files, size_bytes = sweep.prune()
    click.echo(f"{sweep.name}: {words.count(files, 'file')} removed, {words.size(size_bytes)} freed")


COMMANDS = (ls, show, best, logs, prune)
