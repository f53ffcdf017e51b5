"""Commands that train. Each makes one `Session`, and ends with the same summary."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.completion import TRIALS
from tune_app.cli.options import OF_SESSION, OF_SPACE, command, margin, option, requested_space, say
from tune_app.errors import FolderChanged, Interrupted, RunError, StorageError, TuneAppError

if TYPE_CHECKING:
    from tune_app.session.request import LoadedTask, Request
    from tune_app.session.session import Session
    from tune_app.sweep import Sweep

_MOVED_DATA = option(
    "--data", "Where the data is now. It must be the data that the run began with.", metavar="SOURCE"
)


def _train(session: Session, no_report: bool, headline: str | None = None) -> None:
    """Train with the live view, then `_write`; then raise the error of the session."""
    from tune_app import progress
    from tune_app.session import preview

    if session.sweep and (settling := session.sweep.history.settling):
        headline = f"{session.sweep.name}: {settling.line}"
    say(headline or preview.headline(session.request.space, session.loaded.identity))
    outcome: TuneAppError | None = None
    # Loading what `_write` needs takes a second.
    modules = [f"tune_app.report.{each}" for each in ("terminal", "page")[: 1 if no_report else 2]]
    try:
        sweep = session.train(progress.Watch, lambda: [*map(import_module, modules)])
    except TuneAppError as error:
        if session.sweep is None or not session.began or isinstance(error, FolderChanged):
            raise
        sweep, outcome = session.sweep, error
    refused = _write(sweep, no_report)
    if outcome and refused:
        progress.note(f"note: {refused}")
    if outcome := outcome or refused:
        raise outcome


def _write(sweep: Sweep, no_report: bool) -> TuneAppError | None:
    """Write results, print the summary, draw the report; returns the first error once all else is written."""
    from tune_app import progress, report, results
    from tune_app.report import figure_processes, terminal
    from tune_app.results import verdict, warnings

    with figure_processes.helpers(wanted=not no_report) as helpers:
        frames = results.load(sweep)
        with sweep.rewriting():
            refused = report.write_results(frames)
        found = warnings.check(frames, verdict.judge(frames))
        say(terminal.summary(frames, found))
        if no_report:
            say(f"Report:  not drawn. To draw it: tune-app report {sweep.name}")
            return refused
        try:
            with progress.waiting(helpers.line), sweep.rewriting(), report.explain_disk_errors(sweep.name):
                report.write(frames, sweep.paths.report, found_warnings=found, helpers=helpers)
        except KeyboardInterrupt:
            return Interrupted(f"The report is not drawn. To draw it: tune-app report {sweep.name}", 130)
        except (StorageError, RunError) as error:
            return refused or error
    say(f"Report:  {sweep.paths.report}/index.html (also report.md, figures, tables)")
    return refused


def _print_finished(sweep: Sweep, no_report: bool) -> None:
    """Print the summary of a run that lacks nothing. Results that are missing are written first.

    Raises:
        TrialsFailed: some of its configurations failed.
    """
    from tune_app.session import outcome

    with sweep.writing():
        outcome.tidy(sweep)
    refused: TuneAppError | None = None
    if summary := outcome.summary(sweep, no_report):
        say(summary)
    else:
        refused = _write(sweep, no_report)
    if error := outcome.failures(sweep) or refused:
        raise error


def survives_hangup(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that continues when its terminal is closed."""

    @wraps(command)
    def survivor(*args: Any, **options: Any) -> Any:
        from tune_app.session import signals

        with signals.survived():
            return command(*args, **options)

    return survivor


#: What the commands take that train an existing run.
_EXISTING = (_MOVED_DATA, "--storage", "--trust", *OF_SESSION, "--no-report", survives_hangup)


def _given(options: dict[str, Any], *more: str) -> dict[str, Any]:
    """The fields of a request that bear the name of an option."""
    names = ("data", "address", "time_limit_s", "wait_for_gpus", "wait_s", *more)
    return {"argv": ["tune-app", *sys.argv[1:]], **{name: options[name] for name in names}}


def _open(name: str, options: dict[str, Any]) -> tuple[Sweep, Request]:
    """An existing run, and the request for another session of it."""
    from tune_app.session.request import request_for
    from tune_app.sweep import Sweep

    sweep = Sweep.open(_folder(name, options))
    resources = {key: options[key] for key in ("cpus_per_trial", "gpus_per_trial", "max_concurrent")}
    given = _given(options, "trust")
    return sweep, request_for(sweep, resources=resources, storage=options.get("storage"), **given)


def _load(request: Request, sweep: Sweep | None = None) -> LoadedTask:
    from tune_app import progress

    with progress.waiting("loading data"):
        return request.load(sweep)


def _folder(name: str, options: dict[str, Any]) -> Path:
    """The folder of a run. A run that is only on the storage is fetched from there."""
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


@command(*OF_SPACE, "--storage", *OF_SESSION, "--no-report", survives_hangup)
def run(**options: Any) -> None:
    """Train SPACE (a name or a file) and write results and report.

    Ctrl-C, SIGTERM or SIGHUP stops the run; tune-app resume continues it. Closing the terminal does not stop
    it.
    """
    from tune_app.session import lifecycle

    request = _request(options)
    if sweep := lifecycle.find_finished(request):
        return _print_finished(sweep, options["no_report"])
    return _train(lifecycle.run(request, _load(request)), options["no_report"])


@command(*OF_SPACE, *OF_SESSION)
def check(**options: Any) -> None:
    """Check SPACE and its data without training a sweep.

    Prints what a run would train, and estimates of its time and disk space.
    """
    from tune_app import progress
    from tune_app.results import seeds_needed
    from tune_app.session import preview

    request = _request(options)
    loaded = _load(request)
    say(preview.headline(request.space, loaded.identity))
    with progress.waiting("timing one epoch"):
        estimate = preview.estimate(request, loaded)
    say(preview.plan(request.space, estimate))
    if seeds := seeds_needed.of_earlier_run(request.space, loaded.identity, request.runs_dir):
        say(seeds)


def _request(options: dict[str, Any]) -> Request:
    from tune_app import storage
    from tune_app.session.request import Request

    place = options.get("storage")
    given = _given(options, "image_size", "split", "everything", "name", "runs_dir")
    return Request(requested_space(options), storage=None if place == storage.NONE else place, **given)


@command("NAME", *_EXISTING)
def resume(name: str, **options: Any) -> None:
    """Resume the run NAME: train what it lacks."""
    from tune_app.session import outcome
    from tune_app.sweep import Sweep

    sweep = Sweep.open(_folder(name, options))
    if outcome.lacks_nothing(sweep, options["storage"]):
        return _print_finished(sweep, options["no_report"])
    from tune_app.session import lifecycle

    sweep, request = _open(name, options)
    return _train(lifecycle.resume(request, _load(request, sweep), sweep), options["no_report"])


@command(
    "NAME",
    option("--samples", "More samples of a random or Optuna search, as in +20.", metavar="+N"),
    option("--seeds", "More seeds for each configuration, as in +5.", metavar="+N"),
    option("--epochs", "Train to N epochs, or +N for N more.", metavar="N"),
    option(
        "--add",
        "One more value of a grid, as in lr=1e-5, or one more configuration, as in "
        "'{lr: 1e-5, step_size: 4}'.",
        metavar="NAME=VALUE",
        multiple=True,
    ),
    option(
        "--code-changed",
        "Add seeds or epochs although the code has changed; each mean then covers both versions.",
        is_flag=True,
    ),
    option("--revive", "Train what early stopping has paused or stopped to the end.", is_flag=True),
    option(
        "--undo",
        "Remove the part of the last extension that is not trained yet. Trains nothing.",
        is_flag=True,
    ),
    *_EXISTING,
)
def extend(
    name: str,
    samples: str | None,
    seeds: str | None,
    epochs: str | None,
    add: tuple[str, ...],
    code_changed: bool,
    revive: bool,
    undo: bool,
    **options: Any,
) -> None:
    """Add seeds, samples, epochs or grid values to the run NAME.

    Only what is new is trained; everything recorded stays as it is.
    """
    from tune_app import space as spaces
    from tune_app.session import lifecycle
    from tune_app.sweep.configurations import UNREVIVED

    if undo:
        if samples or seeds or epochs or add or revive:
            raise RunError("--undo removes an extension: leave out all that would add to the run.")
        return _undo(name, options)
    sweep, request = _open(name, options)
    if sweep.history.settling:
        raise RunError(
            f"{name} is being settled. Go on with: tune-app resume {name}\n"
            f"  To end that, without the seeds that are not trained yet: tune-app extend {name} --undo"
        )
    revival = lifecycle.revivable(sweep) if revive else UNREVIVED
    wider = sweep.space
    if samples or seeds or epochs or add or not revive:
        wider = spaces.extend(sweep.space, samples=samples, seeds=seeds, epochs=epochs, add=add)
    # +5 adds to each configuration's own number; 10 is the number of each, unless it has more
    absorbs = wider.seeds - sweep.space.seeds if seeds and not seeds.startswith("+") else 0
    loaded = _load(request, sweep)
    for note in lifecycle.extension_notes(sweep, wider, loaded, revival):
        say(note)
    if wider.seeds > sweep.space.seeds:
        from tune_app.results import seeds_needed  # loads pandas and scipy

        if needed := seeds_needed.of_next_look(sweep):
            say(needed)
    flags = {"--samples": samples, "--seeds": seeds, "--epochs": epochs}
    asked = [f"{flag} {text}" for flag, text in flags.items() if text] + [f"--add {text}" for text in add]
    asked += ["--revive"] if revive else []
    session = lifecycle.extend(request, loaded, sweep, wider, " ".join(asked), code_changed, absorbs, revival)
    return _train(session, options["no_report"])


@command(
    "NAME",
    option(
        "--within",
        "End also once all that are left are within MARGIN of each other: percentage points of accuracy and "
        "other shares, else the metric's unit.",
        metavar="MARGIN",
        type=float,
        callback=margin,
    ),
    option(
        "--budget",
        "The most seeds to add in all.  [default: 35 for each configuration that may be the best]",
        metavar="N",
        type=click.IntRange(1),
    ),
    option("--code-changed", "Add seeds although the code has changed.", is_flag=True),
    *_EXISTING,
)
def settle(name: str, within: float | None, budget: int | None, code_changed: bool, **options: Any) -> None:
    """Add seeds where they decide which configuration of NAME is the best.

    After each batch of seeds it looks which may still be the best, until one is left. Ctrl-C stops it, and
    tune-app resume continues it.
    """
    from tune_app.session import lifecycle
    from tune_app.session import settle as settling

    sweep, request = _open(name, options)
    if sweep.history.settling:
        settling.require_same(sweep, within, budget)
        return _train(lifecycle.resume(request, _load(request, sweep), sweep), options["no_report"])
    try:
        batch, headline = settling.begin(sweep, within, budget)
    except settling.NothingToSettle as reason:
        return say(f"{name}: nothing to settle: {reason}")
    session = lifecycle.settle(request, _load(request, sweep), sweep, batch, code_changed)
    return _train(session, options["no_report"], headline)


def _undo(name: str, options: dict[str, Any]) -> None:
    from tune_app.session import outcome, undo
    from tune_app.sweep import Sweep
    from tune_app.text import counted

    sweep = Sweep.open(_folder(name, options), to_undo=True)
    asked = undo.undo(sweep, options["trust"])
    space = sweep.space
    say(
        f"{name}: the part of {asked} that is not trained yet is removed. The run now has "
        f"{counted(space.size(), 'configuration')}, {counted(space.seeds, 'seed')} and "
        f"{counted(space.epochs, 'epoch')}."
    )
    if not sweep.complete_and_trained():
        click.echo(outcome.next_command(sweep))
    if refused := _write(sweep, options["no_report"]):
        raise refused


@command(
    "NAME",
    option("--top", "How many of the best to train.", type=click.IntRange(1), default=5),
    option("--seeds", "New seeds for each.", type=click.IntRange(2), default=20),
    *_EXISTING,
)
def confirm(name: str, top: int, seeds: int, **options: Any) -> None:
    """Train the best configurations of NAME on new seeds.

    The report of the new run shows how much of their lead was luck.
    """
    from tune_app.session import lifecycle
    from tune_app.session.session import Session

    sweep, request = _open(name, options)
    confirming = lifecycle.confirmation(request, sweep, top, seeds)
    loaded = _load(request, sweep)
    lifecycle.note_changed_code(sweep, confirming.space.configs)
    _train(Session(confirming, loaded), options["no_report"])


@command("NAME", click.argument("trials", nargs=-1, **TRIALS), *_EXISTING)
def retry(name: str, trials: tuple[str, ...], **options: Any) -> None:
    """Train the failed configurations of the run NAME again.

    With TRIALS, only these are trained.
    """
    from tune_app.session import lifecycle

    sweep, request = _open(name, options)
    samples = lifecycle.failed(sweep, trials)
    _train(lifecycle.retry(request, _load(request, sweep), sweep, samples), options["no_report"])


@command("NAME", "TRIAL", _MOVED_DATA, "--trust", *OF_SESSION, survives_hangup)
def rerun(name: str, trial: str, **options: Any) -> None:
    """Train TRIAL of the run NAME once more and compare the results."""
    from tune_app import progress
    from tune_app.report import terminal
    from tune_app.session import lifecycle
    from tune_app.sweep import find_sample

    sweep, request = _open(name, options)
    sample = find_sample(sweep, trial)
    loaded = _load(request, sweep)
    lifecycle.note_changed_code(sweep, [sweep.history.configurations[sample].config])
    with progress.waiting(f"training configuration {sample} again"):
        found, differences = lifecycle.rerun(request, loaded, sweep, sample)
    say(terminal.rerun(found.sample, found.compared, differences, found.device))
    raise SystemExit(1 if differences else 0)
