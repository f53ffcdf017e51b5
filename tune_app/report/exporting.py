"""Exports results: frames with every digit for programs, or the table for people."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from tune_app import results
from tune_app.errors import ReportError, nearest
from tune_app.report import render
from tune_app.report.overview import TableOptions, overview, raw_table, with_ties
from tune_app.results import json_views, verdict
from tune_app.stats.units import DIGITS
from tune_app.sweep.files import write_file
from tune_app.version import __version__

if TYPE_CHECKING:
    from tune_app.results import Frames

FORMATS = ("csv", "parquet", "json", "latex", "markdown", "optuna")
#: Those that are no text.
BINARY = ("parquet", "optuna")
FRAMES = ("trials", "seeds", "curves")


def deliver(content: bytes, form: str, out: Path | None, terminal: IO[bytes]) -> None:
    """Write content to a file, or to the terminal without one.

    Raises ReportError for a format that is no text without a file, DiskError where the disk refuses it.
    """
    if out is not None:
        write_file(out, content)
    elif form in BINARY:
        raise ReportError(f"--format {form}: is not text; give a file with --out")
    else:
        terminal.write(content)
        terminal.flush()


def export(frames: Frames, form: str, options: TableOptions | None = None, of: str = "trials") -> bytes:
    """A run's results as a file's content, in one of ``FORMATS``.

    ``latex`` and ``markdown`` give the table for people, ``optuna`` the study as a sqlite file, test metrics
    included; the others a row for each configuration, replicate or epoch, as ``of``, one of ``FRAMES``, says.
    Raises ReportError for an unknown format, frame or column, or digits for a format that keeps all.
    """
    options = options or TableOptions()
    one_of("--format", form, FORMATS)
    one_of("--of", of, FRAMES)
    if form == "optuna":
        if of != "trials" or options != TableOptions():
            raise ReportError(
                "--format optuna: writes the whole study; leave out --of, --columns, --sort, ..."
            )
        from tune_app.report import optuna_export  # here, for it loads a database's library

        return optuna_export.content(frames)
    if form in ("latex", "markdown"):
        if of != "trials":
            raise ReportError(f"--of {of}: {form} is the table of configurations; use csv, parquet or json")
        return render.WRITERS[form](overview(frames, verdict.judge(frames), options)).encode()
    if options.digits != DIGITS:
        raise ReportError(f"--digits {options.digits}: {form} keeps every digit; use latex or markdown")
    trials = with_ties(frames, verdict.judge(frames))
    frame = {"trials": trials, "seeds": frames.seeds, "curves": frames.curves}[of]
    write = {"csv": _csv, "parquet": _parquet, "json": _json}[form]
    return write(frames, raw_table(frames, frame, options))


def one_of(option: str, value: str, known: Sequence[str]) -> None:
    """Raise a ReportError for a value of an option that is unknown."""
    if value not in known:
        raise ReportError(f"{option} {value}: it is one of {', '.join(known)}.{nearest(value, known)}")


def _csv(frames: Frames, frame: pd.DataFrame) -> bytes:
    return results.as_texts(frames, frame).to_csv(index=False, lineterminator="\n").encode()


def _parquet(frames: Frames, frame: pd.DataFrame) -> bytes:
    """Columns of one type each: one that mixes numbers and words, or of too large integers, becomes text."""
    buffer = io.BytesIO()
    frame = results.as_texts(frames, frame)
    texts = {
        str(name): [None if pd.isna(value) else str(value) for value in column]
        for name, column in frame.items()
        if not _has_one_type(column)
    }
    frame.assign(**texts).to_parquet(buffer, index=False)  # type: ignore[arg-type]
    return buffer.getvalue()


def _has_one_type(column: pd.Series[Any]) -> bool:
    try:
        pa.Array.from_pandas(column)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def _json(frames: Frames, frame: pd.DataFrame) -> bytes:
    metric = frames.sweep.space.metric
    found = {
        "tune_app": __version__,
        "run": frames.sweep.name,
        "task": frames.sweep.space.task,
        "metric": {"name": metric.name, "mode": metric.mode},
        "data": asdict(frames.sweep.data),
        "columns": list(frame),
        "rows": json_views.rows(frames, frame),
    }
    return (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
