"""The table of all configurations, with the columns, order, digits and length that the user asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app import results
from tune_app.errors import ReportError, nearest
from tune_app.report import formats, rows, settings
from tune_app.report.render import Table
from tune_app.space.rules import metric_columns
from tune_app.stats.arithmetic import to_decimals
from tune_app.stats.units import DIGITS, NOTHING, interval_legend, named_share
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.verdict import Verdict

#: Two configurations that share a letter here cannot be told apart by the metric that ranks.
TIES = "ties"


@dataclass(frozen=True)
class TableOptions:
    """What to show of a frame.

    Args:
        columns: names of columns; a metric's name stands for its mean and interval. None: a choice of ours.
        sort: a column, or ``column:asc`` or ``column:desc``; empty for best first.
        digits: decimals of a percentage; other numbers get two significant digits more than that.
        top: how many rows, from the first on; None for all.
    """

    columns: Sequence[str] = ()
    sort: str = ""
    digits: int = DIGITS
    top: int | None = None


def overview(frames: Frames, judged: Verdict, options: TableOptions | None = None) -> Table:
    """Every configuration: finished ones best first by the space's metric, then the others, unranked.

    A row that has not finished is marked by its status, also where that column was not asked for.

    Raises:
        ReportError: ``options`` names a column that is not there.
    """
    options = options or TableOptions()
    trials = with_ties(frames, judged)
    ordered = sorted_rows(frames, trials, options)
    shown = list(options.columns) or _default_columns(frames, trials, judged)
    _check(frames, options.columns, trials)
    unfinished = ordered["status"] != Status.FINISHED
    if "status" not in shown and unfinished.any():
        shown.append("status")
    cells = [[_cell(frames, row, name, options.digits) for name in shown] for _, row in ordered.iterrows()]
    columns = _raw_columns(shown if options.columns else [*shown, "epochs"], trials)
    return Table(
        name="results",
        title=f"Results of {frames.sweep.name}",
        header=[_header(frames, name) for name in shown],
        align="".join(_align(frames, name) for name in shown),
        rows=cells,
        frame=results.as_texts(frames, ordered.reindex(columns=columns)).assign(**rows.identity(frames)),
        about=_about(frames, trials, ordered, shown, options),
    )


def with_ties(frames: Frames, judged: Verdict) -> pd.DataFrame:
    """``trials`` with a column of letters: two rows that share one do not differ significantly."""
    letters = {each.sample: each.letters.get("seeds", "") for each in judged.chosen.standings}
    if TIES in frames.trials or not any(letters.values()):
        return frames.trials
    ties = [letters.get(int(sample), "") for sample in frames.trials["sample"]]
    place = frames.trials.columns.get_loc("n")
    made = frames.trials.copy()
    made.insert(int(place) if isinstance(place, int) else len(made.columns), TIES, ties)
    return made


def sorted_rows(frames: Frames, frame: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """The rows of a frame, sorted and cut as ``options`` say; best first by default.

    Raises:
        ReportError: an unknown column to sort by, or fewer than one row.
    """
    if options.top is not None and options.top < 1:
        raise ReportError(f"--top {options.top}: ask for 1 row or more")
    if options.digits < 0:
        raise ReportError(f"--digits {options.digits}: a number of decimals is 0 or more")
    if options.sort:
        ordered = _sorted(frames, frame, options.sort)
    elif "n_diverged" in frame:  # configurations
        best = results.ranked(frames)
        others = frame[~frame["sample"].isin(best["sample"])]
        ordered = frame.loc[[*best.index, *others.index]]
    else:
        ordered = frame
    return ordered if options.top is None else ordered.head(options.top)


def _sorted(frames: Frames, frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    name, _, direction = sort.partition(":")
    if direction not in ("", "asc", "desc"):
        raise ReportError(f'--sort {sort}: after the colon stands asc or desc, not "{direction}"')
    _check(frames, [name], frame)
    metric = frames.sweep.space.metric
    upwards = metric.mode == "min" if name == metric.name else not named_share(name)
    if direction:
        upwards = direction == "asc"
    values = frame[f"{name}_mean" if name not in frame else name].tolist()
    if name in frames.parameters:  # where None is the value null
        absent = [value is not None and pd.isna(value) for value in values]
    else:
        absent = list(map(pd.isna, values))
    known = [place for place, gone in enumerate(absent) if not gone]
    known.sort(key=lambda place: _key(values[place]), reverse=not upwards)
    return frame.iloc[[*known, *(place for place, gone in enumerate(absent) if gone)]]


def _key(value: object) -> tuple[int, float, str]:
    """Numbers before words before null."""
    if value is None:
        return 2, 0.0, ""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def known_columns(frames: Frames, frame: pd.DataFrame) -> list[str]:
    """The names that a user can give: every column, and each metric."""
    return [*map(str, frame), *(name for name in frames.metrics if f"{name}_mean" in frame)]


def _check(frames: Frames, names: Sequence[str], frame: pd.DataFrame) -> None:
    known = known_columns(frames, frame)
    for name in names:
        if name not in known:
            parts = {column for metric in frames.metrics for column in metric_columns(metric)[1:]}
            short = [each for each in known if each not in parts]
            raise ReportError(
                f'no column "{name}" in the results.{nearest(name, known)}\n  there are: {", ".join(short)}'
            )


def raw_table(frames: Frames, frame: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """Rows and columns of a frame with every digit, and the data's identity at the end.

    Raises:
        ReportError: ``options`` names a column that is not there.
    """
    _check(frames, options.columns, frame)
    found = sorted_rows(frames, frame, options)
    if options.columns:
        found = found[_raw_columns(options.columns, frame)]
    return found.assign(**rows.identity(frames)).reset_index(drop=True)


def _raw_columns(names: Sequence[str], frame: pd.DataFrame) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        pair = {f"{name}_mean": None, f"{name}_ci95": None}
        found |= {name: None} if name in frame else pair
    return [name for name in found if name not in ("data", "data_sha256")]


def _default_columns(frames: Frames, trials: pd.DataFrame, judged: Verdict) -> list[str]:
    metrics = [each.name for each in frames.sweep.space.metrics]
    if judged.test:
        metrics.append(judged.test.metric)
    ties = [TIES] if TIES in trials and TIES not in frames.parameters else []
    return ["sample", *frames.varying, "status", *metrics, *ties, "n"]


def _header(frames: Frames, name: str) -> str:
    if name in frames.parameters:
        return name
    if name.endswith("_ci95"):
        return f"± {formats.metric(frames.units, name.removesuffix('_ci95'))}"
    return "time, s" if name == "duration_s" else formats.metric(frames.units, name.removesuffix("_mean"))


def _cell(frames: Frames, row: pd.Series[Any], name: str, digits: int) -> str:
    if name in frames.parameters:
        return rows.value(frames, row, name)
    if name == "status":
        return formats.status(row)
    if name not in row:
        return rows.measure(frames, row, name, digits)
    value = row[name]
    if name.endswith(("_mean", "_ci95")):
        return frames.units.number(name.removesuffix("_mean").removesuffix("_ci95"), value, digits)
    if name == "duration_s":
        return to_decimals(value, 1)
    return NOTHING if pd.isna(value) or value == "" else str(value)


_WORDS = ("status", "device", TIES, "data", "data_sha256")


def _align(frames: Frames, name: str) -> str:
    if name in frames.parameters:
        return rows.align(frames, name)
    return "l" if name in _WORDS else "r"


def _about(
    frames: Frames, trials: pd.DataFrame, ordered: pd.DataFrame, shown: Sequence[str], options: TableOptions
) -> list[str]:
    metric = frames.sweep.space.metric
    order = (
        f"sorted by {options.sort.partition(':')[0]}"
        if options.sort
        else f"finished configurations best first by {formats.quantity(metric.name)} ({metric.mode})"
    )
    about = [
        *settings.about(frames, trials, beside=frames.varying),
        f"{interval_legend(trials['n'])}; {order}",
    ]
    if TIES in shown:
        about.append(
            "Ties: configurations that share a letter cannot be told apart by "
            f"{formats.quantity(metric.name)} with these seeds (paired t tests, Holm's correction at 5%)"
        )
    if len(ordered) < len(trials):
        about.append(f"The first {len(ordered):,} of {counted(len(trials), 'configuration')}")
    if not options.sort and (ordered["status"] != Status.FINISHED).any():
        about.append("Configurations that have not finished come last and are not ranked")
    return about
