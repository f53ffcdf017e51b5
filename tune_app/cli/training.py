"""Commands that train, or go on with what was trained: each one call, and the same summary at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import RUNS_DIR, STORAGE, TRUST, sitting, space
from tune_app.errors import FolderChanged, RunError, TuneAppError

if TYPE_CHECKING:
    from tune_app.session.launch import Material, Request, View
    from tune_app.space import SearchSpace
    from tune_app.sweep import Sweep

_DATA = click.option("--data", metavar="SOURCE", help="Where the same data lies now, if it has moved.")


def train(wanted: SearchSpace, material: Material, conduct: Callable[[View], Sweep]) -> None:
    """Show a sitting while it lasts, write results and report, and sum up; then raise what ended it."""
    from tune_app import progress
    from tune_app.session import preview

    click.echo(preview.headline(wanted, material.identity))
    outcome: TuneAppError | None = None
    view = _View()
    try:
        sweep = conduct(view)
    except TuneAppError as error:
        if view.sweep is None or isinstance(error, FolderChanged):
            raise
        sweep, outcome = view.sweep, error
    refused = _write(sweep)
    if outcome and refused:
        progress.note(f"note: {refused}")
    if outcome := outcome or refused:
        raise outcome


def _write(sweep: Sweep) -> TuneAppError | None:
    """Write results and report of a sweep, and sum up; returns the first error, after all else is written."""
    # Not above: all that only results need would keep the engine from starting at once.
    from tune_app import progress, report, results
    from tune_app.report import terminal

    frames = results.load(sweep)
    with progress.waiting("writing results and report"), sweep.rewriting():
        refused = report.write_all(frames)
    click.echo(terminal.summary(frames))
    return refused


def _finished(sweep: Sweep) -> None:
    """Say how a run stands that lacks nothing; what is missing of its results is written first.

    Raises:
        TrialsFailed: of its configurations some have failed.
    """
    from tune_app import progress
    from tune_app.session import finished

    with sweep.writing():
        finished.tidy(sweep, progress.note)
    outcome: TuneAppError | None = None
    if said := finished.described(sweep):
        click.echo(said)
    else:
        outcome = _write(sweep)
    if outcome := finished.failures(sweep) or outcome:
        raise outcome


def outliving(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that the loss of its terminal does not end."""

    @wraps(command)
    def outlived(*given: Any, **named: Any) -> Any:
        from tune_app.session import hangup

        with hangup.outlived():
            return command(*given, **named)

    return outlived


class _View:
    """Opens the live view, and remembers the sweep for what is to be said after an interruption."""

    def __init__(self) -> None:
        self.sweep: Any = None

    def __call__(self, sweep: Any, plan_line: str) -> Any:
        from tune_app import progress

        self.sweep = sweep
        return progress.watch(sweep, plan_line)


def _again(name: str, options: dict[str, Any]) -> tuple[Sweep, Request]:
    """A run that there is, with the request to go on with it."""
    from tune_app.session import lifecycle
    from tune_app.sweep import Sweep

    sweep = Sweep.open(_folder(name, options))
    asked = ("cpus_per_trial", "gpus_per_trial", "max_concurrent")
    request = lifecycle.request_for(
        sweep,
        data=options["data"],
        address=options["address"],
        time_limit_s=options["time_limit_s"],
        argv=["tune-app", *sys.argv[1:]],
        resources={key: options[key] for key in asked},
        storage=options.get("storage"),
        trust=options["trust"],
    )
    return sweep, replace(request, wait_for_gpus=options["wait_for_gpus"], wait_s=options["wait_s"])


def _loaded(sweep: Sweep, request: Request) -> Material:
    from tune_app import progress
    from tune_app.session import lifecycle

    with progress.waiting("loading data"):
        return lifecycle.gather(request, sweep)


def _folder(name: str, options: dict[str, Any]) -> Path:
    """The folder of a run; one that is on the storage alone is fetched from there."""
    from tune_app.sweep.paths import NO_STORAGE, find_run

    place = options.get("storage") or NO_STORAGE
    try:
        return find_run(name, options["runs_dir"])
    except RunError:
        if place == NO_STORAGE:
            raise
    from tune_app import progress, storage

    with progress.waiting(f"fetching {name} from {place}"):
        return storage.fetch(place, name, options["runs_dir"], progress.note)


@click.command()
@space
@STORAGE
@sitting
@outliving
def run(**options: Any) -> None:
    """Train every configuration of SPACE (a name or a file) and write results and report.

    Ctrl-C, SIGTERM or SIGHUP ends it in good order, for tune-app resume; it outlives its terminal.
    """
    from tune_app import progress
    from tune_app.session import launch

    request = _request(options)
    if sweep := launch.nothing_left(request):
        return _finished(sweep)
    with progress.waiting("loading data"):
        material = launch.gather(request)
    return train(request.space, material, lambda view: launch.train(request, material, view))


@click.command()
@space
@sitting
def check(**options: Any) -> None:
    """Validate SPACE and its data; show what a run would train, and about how long it would take."""
    from tune_app import progress
    from tune_app.session import launch, preview

    request = _request(options)
    with progress.waiting("loading data"):
        material = launch.gather(request)
    click.echo(preview.headline(request.space, material.identity))
    with progress.waiting("timing one epoch"):
        estimate = launch.estimate(request, material)
    click.echo(preview.plan(request.space, estimate))


def _request(options: dict[str, Any]) -> Request:
    from tune_app import storage
    from tune_app.session.launch import Request

    place = options.get("storage")
    return Request(
        space=wanted(options),
        data=options["data"],
        image_size=options["image_size"],
        split=options["split"],
        everything=options["everything"],
        name=options["name"],
        runs_dir=options["runs_dir"],
        address=options["address"],
        argv=["tune-app", *sys.argv[1:]],
        time_limit_s=options["time_limit_s"],
        storage=None if place == storage.NONE else place,
        wait_for_gpus=options["wait_for_gpus"],
        wait_s=options["wait_s"],
    )


def wanted(options: dict[str, Any]) -> SearchSpace:
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


@click.command()
@click.argument("name")
@_DATA
@STORAGE
@TRUST
@sitting
@outliving
def resume(name: str, **options: Any) -> None:
    """Go on with the run NAME: train what it lacks, from the last checkpoints, and nothing more."""
    from tune_app.session import finished
    from tune_app.sweep import Sweep

    sweep = Sweep.open(_folder(name, options))
    if finished.lacks_nothing(sweep, options["storage"]):
        return _finished(sweep)
    from tune_app.session import lifecycle

    sweep, request = _again(name, options)
    material = _loaded(sweep, request)
    return train(sweep.space, material, lambda view: lifecycle.resume(request, material, sweep, view))


@click.command()
@click.argument("name")
@click.option("--samples", metavar="+N", help="More samples of a random or Optuna search, as in +20.")
@click.option("--seeds", metavar="+N", help="More replicates of each configuration, as in +5.")
@click.option("--epochs", metavar="N", help="Train on to so many epochs, or +N more.")
@click.option(
    "--add",
    metavar="NAME=VALUE",
    multiple=True,
    help="One more value of a grid, as in lr=1e-5, or a whole point, as in '{lr: 1e-5, step_size: 4}'.",
)
@click.option(
    "--code-changed",
    is_flag=True,
    help="Add to configurations that were trained with other code: their means then have both.",
)
@click.option(
    "--undo",
    is_flag=True,
    help="Take back what the last extension added and nobody has trained. Trains nothing.",
)
@_DATA
@STORAGE
@TRUST
@sitting
@outliving
def extend(
    name: str,
    samples: str | None,
    seeds: str | None,
    epochs: str | None,
    add: tuple[str, ...],
    code_changed: bool,
    undo: bool,
    **options: Any,
) -> None:
    """Want more of the run NAME, and train what is lacking; all that it has stays as it is."""
    from tune_app import space as spaces
    from tune_app.session import lifecycle

    if undo:
        if samples or seeds or epochs or add:
            raise RunError("--undo takes an extension back: leave out --samples, --seeds, --epochs, --add.")
        return _undo(name, options)
    sweep, request = _again(name, options)
    wider = spaces.extend(sweep.space, samples=samples, seeds=seeds, epochs=epochs, add=add)
    material = _loaded(sweep, request)
    if lifecycle.restarts(sweep.space, wider, material):
        click.echo("note: this task's schedule hangs on the number of epochs: every trial starts again.")
    elif wider.epochs > sweep.space.epochs and sweep.space.keep != "last":
        click.echo(
            f"note: {name} keeps no states of finished trials (keep: {sweep.space.keep}), so they are "
            "trained again from the first epoch; keep: last makes this cheap."
        )
    flags = {"--samples": samples, "--seeds": seeds, "--epochs": epochs}
    asked = [f"{flag} {text}" for flag, text in flags.items() if text] + [f"--add {text}" for text in add]
    return train(
        wider,
        material,
        lambda view: lifecycle.extend(request, material, sweep, wider, " ".join(asked), view, code_changed),
    )


def _undo(name: str, options: dict[str, Any]) -> None:
    from tune_app import words
    from tune_app.session import lifecycle
    from tune_app.sweep import Sweep

    sweep = Sweep.open(_folder(name, options), to_undo=True)
    asked = lifecycle.undo(sweep, options["trust"])
    space = sweep.space
    click.echo(
        f"{name}: {asked} is undone, as far as it was not trained. The run wants "
        f"{words.count(space.size(), 'configuration')}, {words.count(space.seeds, 'seed')}, "
        f"{words.count(space.epochs, 'epoch')}."
    )
    if refused := _write(sweep):
        raise refused


@click.command()
@click.argument("name")
@click.argument("trials", nargs=-1)
@_DATA
@STORAGE
@TRUST
@sitting
@outliving
def retry(name: str, trials: tuple[str, ...], **options: Any) -> None:
    """Try the failed configurations of the run NAME again, or those of TRIALS alone."""
    from tune_app.session import lifecycle

    sweep, request = _again(name, options)
    samples = lifecycle.failed(sweep, trials)
    material = _loaded(sweep, request)
    train(sweep.space, material, lambda view: lifecycle.retry(request, material, sweep, samples, view))


@click.command()
@click.argument("name")
@click.argument("trial")
@_DATA
@TRUST
@sitting
@outliving
def rerun(name: str, trial: str, **options: Any) -> None:
    """Train the configuration TRIAL of the run NAME once more, and say whether it came out the same."""
    from tune_app import progress
    from tune_app.report import terminal
    from tune_app.session import lifecycle
    from tune_app.sweep import find_sample

    sweep, request = _again(name, options)
    sample = find_sample(sweep, trial)
    material = _loaded(sweep, request)
    lifecycle.say_of_code(sweep, [sweep.history.configurations[sample].config])
    with progress.waiting(f"training configuration {sample} again"):
        found = lifecycle.rerun(request, material, sweep, sample)
    click.echo(terminal.rerun(found.sample, found.compared, found.differences, found.device))
    raise SystemExit(1 if found.differences else 0)


@click.command()
@click.argument("name")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many of the best.")
@click.option("--seeds", type=click.IntRange(2), default=20, show_default=True, help="New seeds for each.")
@_DATA
@STORAGE
@TRUST
@sitting
@outliving
def confirm(name: str, top: int, seeds: int, **options: Any) -> None:
    """Train the best configurations of the run NAME on new seeds: how much of their lead was luck?"""
    from tune_app.session import launch, lifecycle

    sweep, request = _again(name, options)
    confirmed, confirming = lifecycle.confirmation(sweep, top, seeds)
    material = _loaded(sweep, request)
    lifecycle.say_of_code(sweep, confirmed.configs)
    request = replace(request, space=confirmed, name=confirming, confirms=sweep.name)
    train(confirmed, material, lambda view: launch.conduct(request, material, None, view))


@click.command()
@click.argument("name")
@click.argument("trial", required=False)
@RUNS_DIR
def stop(name: str, trial: str | None, runs_dir: Path) -> None:
    """End the run NAME in good order, or its trial TRIAL alone, from another terminal."""
    from tune_app.session import lifecycle
    from tune_app.sweep import Sweep, find_sample
    from tune_app.sweep.paths import find_run

    sweep = Sweep.open(find_run(name, runs_dir))
    lifecycle.ask_to_stop(sweep, trial)
    what = f"configuration {find_sample(sweep, trial)} of {sweep.name}" if trial else sweep.name
    click.echo(f"{what} stops after its epoch" + ("." if trial else f". Go on with: tune-app resume {name}"))


COMMANDS = (run, check, resume, extend, retry, rerun, confirm, stop)
