"""Commands that make pages, tables, figures and files for other programs from a record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.completion import RUNS, complete_kinds, one_of
from tune_app.cli.options import OF_TABLE, PATH, command, open_run, option, width

if TYPE_CHECKING:
    from tune_app.report import TableOptions
    from tune_app.results import Frames


def _view(columns: str, sort: str, digits: int, top: int | None) -> TableOptions:
    from tune_app.report import TableOptions

    names = [name.strip() for name in columns.split(",") if name.strip()]
    return TableOptions(tuple(names), sort, digits, top)


def _frames(name: str, runs_dir: Path) -> Frames:
    from tune_app import results

    return results.load(open_run(name, runs_dir))


@command(
    "NAME",
    *OF_TABLE,
    "--within",
    "--test",
    option("--figures/--no-figures", "Whether to draw figures.", default=True),
    "--runs-dir",
)
def report(
    name: str, within: float | None, test: bool, figures: bool, runs_dir: Path, **options: Any
) -> None:
    """Rewrite the CSV files and the report of a run.

    The report is a page, tables and figures, made from the record.
    """
    from tune_app import progress, results, search
    from tune_app import report as reports
    from tune_app.report import figure_processes
    from tune_app.results import json_views

    with ExitStack() as stack:
        sweep = open_run(name, runs_dir)
        helpers = stack.enter_context(figure_processes.helpers(wanted=figures))
        frames = results.load(sweep)
        stack.enter_context(progress.waiting(f"writing results, {helpers.line}"))
        stack.enter_context(sweep.rewriting())
        stack.enter_context(reports.explain_disk_errors(name))
        sweep.restore_views(progress.note)
        search.restore_study(sweep, progress.note)
        json_views.write_summary(frames)
        written = results.write(frames)
        written += reports.write(
            frames, sweep.paths.report, _view(**options), figures, within, test, helpers=helpers
        )
    for path in written:
        click.echo(path)


@command(
    "NAME",
    option(
        "--format form",
        "csv, parquet, json, latex, markdown or optuna.",
        default="csv",
        **one_of("csv", "parquet", "json", "latex", "markdown", "optuna"),
    ),
    option(
        "--of",
        "What one row is: trials, seeds or curves.",
        default="trials",
        **one_of("trials", "seeds", "curves"),
    ),
    *OF_TABLE,
    "--out",
    "--runs-dir",
)
def export(name: str, form: str, of: str, out: Path | None, runs_dir: Path, **options: Any) -> None:
    """Write the results of a run in another format.

    Without --out, a text format goes to the terminal.
    """
    from tune_app.report import exporting

    content = exporting.export(_frames(name, runs_dir), form, _view(**options), of)
    exporting.deliver(content, form, out, sys.stdout.buffer)


@command(
    "NAME",
    click.argument("kind", shell_complete=complete_kinds),
    option("--out", "A .png, .svg or .pdf file.  [default: in the run's report]", type=PATH),
    "--test",
    "--runs-dir",
)
def plot(name: str, kind: str, out: Path | None, test: bool, runs_dir: Path) -> None:
    """Draw one kind of figure of a run.

    KIND: intervals, curves, panels, heatmap, pareto, rungs, confusion, roc, history, importance, slice
    or parallel.
    """
    from tune_app import progress, results
    from tune_app.report import figures
    from tune_app.results import json_views

    frames = _frames(name, runs_dir)
    with frames.sweep.rewriting():
        drawn = figures.plot(frames if test else results.sealed(frames), kind, out)
    if test:
        json_views.open_test_set(frames, "plot", progress.note)
    for path in drawn:
        click.echo(path)


@command(
    click.argument("names", nargs=-1, metavar="NAME NAME...", **RUNS),
    option(
        "--format form",
        "text, csv, latex or markdown.",
        default="text",
        **one_of("text", "csv", "latex", "markdown"),
    ),
    "--out",
    "--runs-dir",
)
def compare(names: Sequence[str], form: str, out: Path | None, runs_dir: Path) -> None:
    """Compare the best configurations of several runs. Runs on the same data are ranked."""
    from tune_app import results
    from tune_app.report import comparing, exporting

    sweeps = [results.sealed(_frames(name, runs_dir)) for name in names]
    content = comparing.comparison_file(sweeps, form, None if out else width())
    exporting.deliver(content, form, out, sys.stdout.buffer)
