"""A run's report: a page, tables and figures, with the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app import progress, results
from tune_app.errors import DiskError, RunError, StorageError, TuneAppError
from tune_app.report.comparing import compare, confirmed
from tune_app.report.exporting import export
from tune_app.report.figure_processes import Helpers
from tune_app.report.overview import TableOptions, overview, pareto_table
from tune_app.report.paper_tables import loss_table, table3
from tune_app.report.render import Table, save
from tune_app.report.rung_table import rung_table
from tune_app.report.settings import table1
from tune_app.results import json_views, verdict, warnings
from tune_app.results.verdict import Verdict
from tune_app.sweep.files import keep_writing, write_file

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.warnings import ResultWarning

__all__ = ["TableOptions", "compare", "explain_disk_errors", "export", "tables", "write", "write_results"]

#: The tables that show test figures of several configurations beside those of the paper.
_OF_PAPER = ("table3", "loss_table")


def write_results(frames: Frames) -> TuneAppError | None:
    """Write a run's CSV files and summary; returns the first error, after writing the rest."""
    found = None
    for write_part in (results.write, json_views.write_summary):
        try:
            with explain_disk_errors(frames.sweep.name):
                write_part(frames)
        except (StorageError, RunError) as error:
            found = found or error
    return found


@contextmanager
def explain_disk_errors(run: str) -> Iterator[None]:
    """Add to a DiskError how to write the report again."""
    try:
        yield
    except DiskError as error:
        raise DiskError(f"{error}\n  Make room there. Then: tune-app report {run}") from error


def tables(frames: Frames, judged: Verdict, options: TableOptions | None = None) -> list[Table]:
    """Every table that applies to a run, in the order of a report; see `write` for the errors."""
    whole = frames.unsealed or frames
    some = (pareto_table(frames), rung_table(frames), confirmed(frames), table3(whole), loss_table(whole))
    return [overview(frames, judged, options), *(table for table in some if table), table1(frames)]


def write(
    frames: Frames,
    folder: Path,
    options: TableOptions | None = None,
    figures: bool = True,
    margin: float | None = None,
    test: bool = False,
    found_warnings: Sequence[ResultWarning] | None = None,
    helpers: Helpers | None = None,
) -> list[Path]:
    """Write tables, ``index.html``, ``report.md`` and ``figures/`` into ``folder``; returns the files.

    ``options`` say what the table of all configurations shows; ``margin`` is that of `verdict.judge`. Test
    figures of all configurations are shown, and that is recorded, for ``test``, and in the paper's tables
    once everything is trained; else those of `results.sealed`. ``found_warnings`` are those of
    `warnings.check` if they are known; ``helpers`` draw some of the figures.

    Raises:
        DiskError: the disk refused one of the files; the others are written.
        ReportError: ``options`` asks for what is not there.
        RunError: a file of the run is damaged.
    """
    from tune_app.report import page  # here, for it loads matplotlib
    from tune_app.report.figures import KINDS, NotDrawn

    with keep_writing():
        if test:
            json_views.open_test_set(frames, "report", progress.note)
        judged = verdict.judge(frames, margin=margin)
        if found_warnings is None:
            found_warnings = warnings.check(frames, judged)
        frames = frames if test else results.sealed(frames)
        judged = judged.sealed(frames.opened)
        made = tables(frames, judged, options)
        files = [file for table in made for file in save(table, folder)]
        drawn = (helpers or Helpers(0)).draw(frames, KINDS if figures else ())
        for pictures in drawn.values():
            for each in () if isinstance(pictures, NotDrawn) else pictures:
                files.append(write_file(folder / f"figures/{each.name}.svg", each.svg))
                files.append(write_file(folder / f"figures/{each.name}.png", each.png))
        if frames.opened is not None and any(table.name in _OF_PAPER for table in made):
            if frames.sweep.complete_and_trained():
                json_views.open_test_set(frames, "paper", progress.note)
            else:
                made = [table for table in made if table.name not in _OF_PAPER]
        written = page.gather(frames, judged, found_warnings, made, drawn)
        return [
            write_file(folder / "index.html", page.html(written)),
            write_file(folder / "report.md", page.markdown(written)),
            *files,
        ]
