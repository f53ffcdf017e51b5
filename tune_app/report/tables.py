"""The tables of a report: the run's settings, its results, and the paper's tables measured again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tune_app import results
from tune_app.report import formats, rows, settings
from tune_app.report.losses import loss_table
from tune_app.report.pareto import pareto_table
from tune_app.report.render import Table, save
from tune_app.report.table3 import table3
from tune_app.space import Scalar

if TYPE_CHECKING:
    from tune_app.results import Frames


def write(frames: Frames, folder: Path) -> list[Path]:
    """Write every table that applies to a run into ``folder``, each as Markdown, CSV and LaTeX.

    ``table1`` (settings) and ``results`` always; ``table3`` and ``loss_table`` where the run has
    configurations of the paper's; ``pareto`` where its space has several metrics.

    Raises:
        StorageError: the disk refused it.
        RunError: the run's provenance file is damaged.
    """
    tables = (table1(frames), results_table(frames), pareto_table(frames), table3(frames), loss_table(frames))
    return [path for table in tables if table is not None for path in save(table, folder)]


def table1(frames: Frames) -> Table:
    """Every setting of the run, laid out as the paper's Table 1 and set beside it where they compare."""
    lines = settings.lines(frames, frames.trials)
    compared = settings.comparable(frames)
    cells, records = [], []
    for i, line in enumerate(lines):
        first = i == 0 or lines[i - 1].setting.group != line.setting.group
        row = [line.setting.group if first else "", line.setting.title, line.used]
        if compared:
            row += [line.published, line.mark]
        cells.append(row)
        records.append(
            {
                "group": line.setting.group,
                "setting": line.setting.name,
                "value": _listed(line.values),
                "published": _listed(line.setting.published) if compared and line.setting.stated else None,
                "mark": line.mark if compared else None,
                **rows.identity(frames),
            }
        )
    header = ["", "setting", "this run", *(["paper", "mark"] if compared else [])]
    return Table(
        name="table1",
        title="Table 1: settings",
        header=header,
        align="l" * len(header),
        rows=cells,
        frame=pd.DataFrame(records),
        about=settings.about(frames, frames.trials),
    )


def results_table(frames: Frames) -> Table:
    """Every configuration: finished ones best first by the space's metric, then the others, unranked."""
    metric = frames.sweep.space.metric
    best = results.ranked(frames)
    others = frames.trials[~frames.trials["sample"].isin(best["sample"])]
    ordered = frames.trials.loc[[*best.index, *others.index]]
    shown = [each.name for each in frames.sweep.space.metrics] + ["test_accuracy"] * (
        "test_accuracy_mean" in ordered
    )
    cells = [
        [
            str(row["sample"]),
            *(formats.value(formats.plain(row[name])) for name in frames.varying),
            formats.status(row),
            *(rows.measure(row, name) for name in shown),
            str(row["n"]),
        ]
        for _, row in ordered.iterrows()
    ]
    columns = ["sample", *frames.varying, "status", "epochs", "n"]
    columns += [f"{name}_{part}" for name in shown for part in ("mean", "ci95")]
    about = [
        *settings.about(frames, frames.trials, beside=frames.varying),
        "Mean ± half-width of its 95% interval, over n seeds; finished configurations best first "
        f"by {formats.metric(metric.name).removesuffix(', %')} ({metric.mode})",
    ]
    if len(others):
        about.append("Configurations that have not finished come last and are not ranked")
    return Table(
        name="results",
        title=f"Results of {frames.sweep.name}",
        header=["sample", *frames.varying, "status", *map(formats.metric, shown), "n"],
        align=f"r{''.join(rows.align(frames.trials[each]) for each in frames.varying)}l"
        + "r" * (len(shown) + 1),
        rows=cells,
        frame=ordered.reindex(columns=columns).assign(**rows.identity(frames)),
        about=about,
    )


def _listed(values: Iterable[Scalar]) -> str:
    return ", ".join(map(formats.value, values))
