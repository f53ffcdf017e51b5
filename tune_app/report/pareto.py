"""Where a space has several metrics: the configurations that no other one beats in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from tune_app import results
from tune_app.report import formats, rows, settings
from tune_app.report.render import Table
from tune_app.stats.units import interval_legend
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


def pareto_table(frames: Frames) -> Table | None:
    """The finished configurations that are not dominated, by their means; None where there is one metric.

    One is dominated where another is at least as good in the mean of every metric, and better in one. Of
    equal points the first is shown.
    """
    metrics = frames.sweep.space.metrics
    if len(metrics) == 1:
        return None
    best = results.ranked(frames)
    names = [metric.name for metric in metrics]
    columns = [f"{name}_mean" for name in names]
    ranked = best[best["twin"].isna()].dropna(subset=[c for c in columns if c in best])
    front = ranked[undominated(ranked, columns, [metric.mode for metric in metrics])]
    cells = [
        [
            str(row["sample"]),
            *(rows.value(frames, row, name) for name in frames.varying),
            *(rows.measure(frames, row, name) for name in names),
            str(row["n"]),
        ]
        for _, row in front.iterrows()
    ]
    goals = formats.listed([f"{formats.quantity(m.name)} ({m.mode})" for m in metrics])
    kept = ["sample", *frames.varying, "epochs", "n"]
    kept += [f"{name}_{part}" for name in names for part in ("mean", "ci95")]
    return Table(
        name="pareto",
        title=f"Trade-offs of {frames.sweep.name}",
        header=["sample", *frames.varying, *(formats.metric(frames.units, name) for name in names), "n"],
        align="".join(["r", *(rows.align(frames, name) for name in frames.varying), "r" * (len(names) + 1)]),
        rows=cells,
        frame=results.as_texts(frames, front.reindex(columns=kept)).assign(**rows.identity(frames)),
        about=[
            *settings.about(frames, frames.trials, beside=frames.varying),
            f"{interval_legend(frames.trials['n'])}; the best by the first metric comes first",
        ],
        below=[
            f"{len(front)} of {counted(len(ranked), 'finished configuration')} "
            f"{'is' if len(front) == 1 else 'are'} not dominated: no other one is at least as good in "
            f"every mean, and better in one, of {goals}. By the means alone: within the intervals, a row may "
            "owe its place to its seeds."
        ],
    )


def undominated(frame: pd.DataFrame, columns: Sequence[str], modes: Sequence[str]) -> list[bool]:
    """Which rows are on the Pareto front of these columns, each of which is to be ``max`` or ``min``."""
    signs = [1.0 if mode == "max" else -1.0 for mode in modes]
    points = frame.reindex(columns=list(columns)).to_numpy(float) * signs
    return [not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any() for point in points]
