"""The tables of a report: the run's settings, its results, and the paper's tables measured again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from tune_app.report import rows, settings
from tune_app.report.confirmation import confirmed
from tune_app.report.losses import loss_table
from tune_app.report.overview import TableOptions, overview
from tune_app.report.pareto import pareto_table
from tune_app.report.render import Table
from tune_app.report.table3 import table3
from tune_app.space import Scalar
from tune_app.space.labels import texts

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.verdict import Verdict


def make(frames: Frames, judged: Verdict, options: TableOptions | None = None) -> list[Table]:
    """Every table that applies to a run, in the order of a report.

    ``table1`` (settings) and ``results`` always; ``table3`` and ``loss_table`` where the run has
    configurations of the paper's; ``pareto`` where its space has several metrics; ``confirmed`` where it
    confirms another run.

    Raises:
        ReportError: ``options`` asks for what is not there.
        RunError: the run's provenance file is damaged.
    """
    first = (overview(frames, judged, options), pareto_table(frames), confirmed(frames))
    tables = (*first, table3(frames), loss_table(frames), table1(frames))
    return [table for table in tables if table is not None]


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


def _listed(values: Sequence[Scalar]) -> str:
    return ", ".join(texts(values))
