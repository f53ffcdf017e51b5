"""The table of all configurations, as the user asks for it, and that of trade-offs between metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app import results
from tune_app.errors import ReportError, nearest
from tune_app.report import formats, settings
from tune_app.report.render import Column, Table
from tune_app.space.rules import is_test_metric, metric_columns
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

    ``columns`` are names of columns, a metric's name standing for its mean and interval; empty for a choice
    of ours. ``sort`` is a column, or ``column:asc`` or ``column:desc``; empty for best first. ``digits`` are
    decimals of a percentage; other numbers get two significant digits more. ``top`` is how many rows.
    """

    columns: Sequence[str] = ()
    sort: str = ""
    digits: int = DIGITS
    top: int | None = None


def overview(frames: Frames, judged: Verdict, options: TableOptions | None = None) -> Table:
    """Every configuration: finished ones best first by the space's metric, then the others, unranked.

    A row that has not finished is marked by its status, also where that column was not asked for. Raises
    ReportError where ``options`` names a column that is not there.
    """
    options = options or TableOptions()
    trials = with_ties(frames, judged)
    ordered = sorted_rows(frames, trials, options)
    names = list(options.columns) or _default_columns(frames, trials, judged)
    _check(frames, options.columns, trials)
    unfinished = (ordered["status"] != Status.FINISHED).any()
    if "status" not in names and unfinished:
        names.append("status")
    order = f"finished configurations best first by {formats.ranked_by(frames)}"
    history = frames.sweep.history
    if any(map(history.left_behind, history.configurations.values())):
        order += ", those that settling left behind after the others"
    if options.sort:
        order = f"sorted by {options.sort.partition(':')[0]}"
    about = [f"{interval_legend(trials['n'])}; {order}"]
    if TIES in names:
        about.append(
            "Ties: configurations that share a letter do not differ significantly by "
            f"{formats.chosen_by(frames)} with these seeds (paired t tests of all "
            "pairs, Holm's correction at 5%); the verdict asks only which may be the best"
        )
    if len(ordered) < len(trials):
        about.append(f"The first {len(ordered):,} of {counted(len(trials), 'configuration')}")
    if not options.sort and unfinished:
        about.append("Configurations that have not finished come last and are not ranked")
    shown = names if options.columns else _as_chosen(frames, names)
    if frames.opened is not None and any(map(is_test_metric, options.columns)):
        about.append("Test metrics are those of the chosen configuration, at the end; --test shows all")
    elif frames.opened is not None and not options.columns:
        shown = [name for name in shown if name in frames.parameters or not is_test_metric(name)]
    recorded = _recorded(names if options.columns else [*names, "epochs"], trials)
    recorded += [] if options.columns else frames.choices.values()
    title = f"Results of {frames.sweep.name}"
    return _table(frames, "results", title, ordered, shown, recorded, about, digits=options.digits)


def pareto_table(frames: Frames) -> Table | None:
    """The finished configurations that no other dominates, by what is chosen by; None for a single metric.

    One is dominated where another is at least as good in the mean of every metric, and better in one. Of
    equal points the first is shown.
    """
    space = frames.sweep.space
    metrics = {metric.name: metric.mode for metric in space.metrics}
    if len(metrics) == 1:
        return None
    best = results.ranked(frames)
    means = [frames.choices.get(name, f"{name}_mean") for name in metrics]
    ranked = best[best["twin"].isna()].dropna(subset=[name for name in means if name in best])
    front = ranked[undominated(ranked, means, list(metrics.values()))]
    goals = formats.listed([f"{formats.quantity(name)} ({mode})" for name, mode in metrics.items()])
    goals += f", each the mean of the {space.choosing_epochs}" if space.choosing_epochs else ""
    below = (
        f"{len(front)} of {counted(len(ranked), 'finished configuration')} "
        f"{'is' if len(front) == 1 else 'are'} not dominated: no other one is at least as good in "
        f"every mean, and better in one, of {goals}. Only the means decide: if intervals "
        "overlap, other seeds might change the rows."
    )
    title = f"Trade-offs of {frames.sweep.name}"
    shown = _as_chosen(frames, ["sample", *frames.varying, *metrics, "n"])
    recorded = _recorded(["sample", *frames.varying, "epochs", "n", *metrics], frames.trials)
    recorded += frames.choices.values()
    about = [f"{interval_legend(frames.trials['n'])}; the best by the first metric comes first"]
    return _table(frames, "pareto", title, front, shown, recorded, about, [below])


def undominated(frame: pd.DataFrame, columns: Sequence[str], modes: Sequence[str]) -> list[bool]:
    """Which rows are on the Pareto front of these columns, each of which is to be ``max`` or ``min``."""
    signs = [1.0 if mode == "max" else -1.0 for mode in modes]
    points = frame.reindex(columns=list(columns)).to_numpy(float) * signs
    return [not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any() for point in points]


def _table(
    frames: Frames,
    name: str,
    title: str,
    trials: pd.DataFrame,
    shown: Sequence[str],
    recorded: Sequence[str],
    about: Sequence[str],
    below: Sequence[str] = (),
    digits: int = DIGITS,
) -> Table:
    columns = [_column(frames, trials, column, digits) for column in shown]
    rows = [row for _, row in trials.iterrows()]
    about = [*settings.about(frames, beside=frames.varying), *about]
    whole = (frames.unsealed or frames).trials  # a CSV has all test metrics
    trials = trials.assign(**{str(name): whole[name] for name in whole if name in trials})
    frame = results.as_texts(frames, trials.reindex(columns=list(recorded))).assign(**frames.identity)
    return replace(Table.of(name, title, columns, rows, about, below), frame=frame)


_WORDS = ("device", TIES, "data", "data_sha256")


def _column(frames: Frames, trials: pd.DataFrame, name: str, digits: int) -> Column[pd.Series[Any]]:
    """How a column of ``trials`` is printed, or a metric with its interval."""
    units, metric = frames.units, name.removesuffix("_mean").removesuffix("_ci95")
    if by := next((each for each, column in frames.choices.items() if column == name), None):
        heading = formats.chosen_metric(frames, by)
        return Column("", lambda row: formats.choice(frames, row["sample"], by, digits), heading)
    if name in frames.parameters:
        align = formats.align(frames, name)
        return Column("", lambda row: formats.value(frames, row["sample"], name), name, align=align)
    if name == "status":
        return Column("", formats.status, name, align="l")
    if name == "duration_s":
        return Column("", lambda row: to_decimals(row[name], 1), "time, s")
    heading = formats.metric(units, metric)
    if name not in trials:
        return Column("", lambda row: formats.measure(frames, row["sample"], name, digits), heading)
    if metric != name:
        heading = f"± {heading}" if name.endswith("_ci95") else heading
        return Column("", lambda row: units.number(metric, row[name], digits), heading)
    align = "l" if name in _WORDS else "r"
    return Column(
        "", lambda row: NOTHING if pd.isna(row[name]) or row[name] == "" else row[name], heading, align=align
    )


def with_ties(frames: Frames, judged: Verdict) -> pd.DataFrame:
    """``trials`` with a column of letters: two rows that share one do not differ significantly."""
    letters = {each.sample: each.letters.get("seeds", "") for each in judged.chosen.standings}
    if TIES in frames.trials or not any(letters.values()):
        return frames.trials
    made = frames.trials.copy()
    made.insert(list(made).index("n"), TIES, [letters.get(sample, "") for sample in made["sample"]])
    return made


def sorted_rows(frames: Frames, frame: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """The rows of a frame, sorted and cut as ``options`` say, else best first; raises ReportError."""
    if options.top is not None and options.top < 1:
        raise ReportError(f"--top {options.top}: ask for 1 row or more")
    if options.digits < 0:
        raise ReportError(f"--digits {options.digits}: a number of decimals is 0 or more")
    if options.sort:
        frame = _sorted(frames, frame, options.sort)
    elif "n_diverged" in frame:  # configurations
        best = results.ranked(frames).index
        frame = frame.loc[[*best, *frame.index.difference(best, sort=False)]]
    return frame.head(len(frame) if options.top is None else options.top)


def _sorted(frames: Frames, frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    name, _, direction = sort.partition(":")
    if direction not in ("", "asc", "desc"):
        raise ReportError(f'--sort {sort}: write asc or desc after the colon, not "{direction}"')
    _check(frames, [name], frame)
    metrics = frames.sweep.space.metrics
    modes = {column: each.mode for each in metrics for column in (each.name, frames.choice_of(each.name))}
    upwards = modes[name] == "min" if name in modes else not named_share(name)
    if direction:
        upwards = direction == "asc"
    cells = frame[f"{name}_mean" if name not in frame else name].tolist()
    null = name in frames.parameters  # there None is a value
    keys = pd.Series([_key(cell, null) for cell in cells], frame.index, dtype=object).dropna()
    known = keys.sort_values(ascending=upwards, kind="stable").index
    return frame.loc[[*known, *frame.index.difference(known, sort=False)]]


def _key(cell: Any, null: bool) -> tuple[int, float, str] | None:
    """Numbers before words before null; None for what does not exist."""
    if cell is None and null:
        return 2, 0.0, ""
    if pd.isna(cell):
        return None
    return (0, float(cell), "") if isinstance(cell, int | float) else (1, 0.0, str(cell))


def _check(frames: Frames, names: Sequence[str], frame: pd.DataFrame) -> None:
    metrics = [name for name in frames.metrics if f"{name}_mean" in frame]
    parts = {column for metric in frames.metrics for column in metric_columns(metric)[1:3]}
    known = [*frame, *metrics]
    for name in names:
        if name not in known:
            short = ", ".join(each for each in known if each not in parts)
            raise ReportError(
                f'no column "{name}" in the results.{nearest(name, known)}\n  there are: {short}'
            )


def raw_table(frames: Frames, frame: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """Rows and columns of a frame with every digit, and the data's identity; raises ReportError."""
    _check(frames, options.columns, frame)
    found = sorted_rows(frames, frame, options)
    if options.columns:
        found = found[_recorded(options.columns, frame)]
    return found.assign(**frames.identity).reset_index(drop=True)


def _recorded(names: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """The columns of a CSV for these names, a metric's being two; the data's identity comes by itself."""
    found = [part for name in names for part in ([name] if name in frame else metric_columns(name)[1:3])]
    return [name for name in dict.fromkeys(found) if name not in ("data", "data_sha256")]


def _as_chosen(frames: Frames, names: Sequence[str]) -> list[str]:
    """Names of columns, with what configurations are chosen by in place of the metric of one epoch."""
    means = bool(frames.sweep.space.choosing_epochs)
    return [frames.choice_of(name) if means else name for name in names]


def _default_columns(frames: Frames, trials: pd.DataFrame, judged: Verdict) -> list[str]:
    metrics = [each.name for each in frames.sweep.space.metrics]
    if judged.test:
        metrics.append(judged.test.metric)
    ties = [TIES] if TIES in trials and TIES not in frames.parameters else []
    return ["sample", *frames.varying, "status", *metrics, *ties, "n"]
