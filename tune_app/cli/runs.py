"""Commands that read, stop or prune runs, and never write their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tune_app.cli.options import PATH, command, open_run, option, say, width


@command("--runs-dir", "--json")
def ls(runs_dir: Path, as_json: bool) -> None:
    """List the runs, newest first."""
    from tune_app.sweep import run_summaries

    found = run_summaries.summaries(runs_dir, _summary)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        say(run_summaries.listing(found, runs_dir))


def _summary(folder: Path) -> dict[str, Any]:
    """The summary of a run whose stored one is out of date; the modules it needs are imported only then."""
    from tune_app import results
    from tune_app.results import json_views
    from tune_app.sweep import Sweep

    return json_views.summary(results.load(Sweep.open(folder)))


@command(
    "NAME",
    "--runs-dir",
    "--json",
    "--test",
    option(
        "--follow",
        "Watch the run while another process trains it. Ctrl-C does not stop the training.",
        is_flag=True,
    ),
)
def show(name: str, runs_dir: Path, as_json: bool, test: bool, follow: bool) -> None:
    """Show the configurations of a run with their status and results."""
    from tune_app import progress, results
    from tune_app.report import terminal
    from tune_app.results import json_views

    sweep = open_run(name, runs_dir)
    if follow:
        progress.follow(sweep)
    frames = results.load(sweep)
    if test:
        json_views.open_test_set(frames, "show", progress.note)
    else:
        frames = results.sealed(frames)
    click.echo(json.dumps(json_views.run(frames), indent=2)) if as_json else say(
        terminal.table(frames, width())
    )


@command(
    "NAME",
    "--within",
    "--runs-dir",
    "--json",
    option(
        "--model model_file",
        "Write the model of the best replicate (weights only) to FILE, for tune-app predict.",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
    ),
)
def best(name: str, within: float | None, runs_dir: Path, as_json: bool, model_file: Path | None) -> None:
    """Print the best configuration of a run by the metric of its space."""
    from tune_app import results
    from tune_app.report import terminal
    from tune_app.results import json_views
    from tune_app.session import saved_models

    frames = results.sealed(results.load(open_run(name, runs_dir)))
    found = json_views.best(frames, within)
    if model_file:
        found["model"] = saved_models.export(frames, found["sample"], model_file) | {"file": str(model_file)}
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        say(terminal.best(frames, found))


@command(
    click.argument("model", type=PATH),
    click.argument("images", type=PATH, nargs=-1, required=True),
    "--json",
    "--trust",
)
def predict(model: Path, images: tuple[Path, ...], as_json: bool, trust: bool) -> None:
    """Print the predictions of MODEL for IMAGES.

    MODEL is a file that tune-app best NAME --model FILE wrote.
    """
    from dataclasses import asdict

    from msgspec import structs

    from tune_app.report import terminal
    from tune_app.session import saved_models

    origin, found = saved_models.read(model)[0], saved_models.predict(model, images, trust)
    if not as_json:
        say(terminal.predictions(origin, found))
        return
    known = {**structs.asdict(origin), "warning": origin.warning}
    click.echo(json.dumps([{**asdict(each), "model": known} for each in found], indent=2))


@command("NAME", "TRIAL", "--runs-dir")
def logs(name: str, trial: str, runs_dir: Path) -> None:
    """Print the output and traceback of TRIAL.

    12.1 names one trial of configuration 12, 12 its newest.
    """
    from tune_app.results import json_views

    click.echo(json_views.log(open_run(name, runs_dir), trial))


@command("NAME", "--runs-dir")
def prune(name: str, runs_dir: Path) -> None:
    """Remove the checkpoints and weights of a run.

    Its record and results stay.
    """
    from tune_app.text import counted, size

    sweep = open_run(name, runs_dir)
    files, size_bytes = sweep.prune()
    say(f"{sweep.name}: {counted(files, 'file')} removed, {size(size_bytes)} freed")


@command("NAME", "[TRIAL]", "--runs-dir")
def stop(name: str, trial: str | None, runs_dir: Path) -> None:
    """Stop the run NAME, or only its trial TRIAL.

    Works from another terminal. What is trained is kept.
    """
    from tune_app.session.lifecycle import request_stop
    from tune_app.sweep import find_sample

    sweep = open_run(name, runs_dir)
    request_stop(sweep, trial)
    if trial:
        sample = find_sample(sweep, trial)
        waits = sweep.history.configurations[sample].paused
        when = "at once: it waits at a rung" if waits else "after its current epoch"
        say(f"configuration {sample} of {sweep.name} stops {when}.")
    else:
        say(f"{sweep.name} stops after the current epoch. To continue it: tune-app resume {name}")
