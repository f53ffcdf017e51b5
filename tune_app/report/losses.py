"""The paper's loss table measured again: binary cross-entropy beside cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.report import formats, paper, rows, settings
from tune_app.report.render import Table
from tune_app.space import canonical
from tune_app.stats.intervals import mean_interval
from tune_app.stats.units import interval_legend
from tune_app.status import Status

if TYPE_CHECKING:
    from tune_app.results import Frames


def loss_table(frames: Frames) -> Table | None:
    """BCE beside CE, all else equal; None where this run has no such pair of configurations."""
    pair = _pair(frames)
    if pair is None:
        return None
    compared = settings.comparable(frames)
    header = ["quantity"]
    for loss, trial in pair.items():
        header.append(f"{loss.upper()} measured (n={len(rows.values(frames, trial, 'val_accuracy'))})")
        if compared:
            header.append(f"{loss.upper()} published")
    cells, records = [], []
    for metric in paper.LOSSES["bce"]:
        row, record = [formats.metric(frames.units, metric)], dict[str, Any](quantity=metric)
        for loss, trial in pair.items():
            values = rows.values(frames, trial, metric)
            interval = mean_interval(values)
            figure = paper.LOSSES[loss][metric]
            row.append(frames.units.measure(metric, values))
            if compared:
                row.append(formats.published(metric, figure))
            record[f"{loss}_mean"] = interval.mean
            record[f"{loss}_ci95"] = interval.half_width
            record[f"{loss}_n"] = interval.n
            record[f"{loss}_published"] = figure if compared else None
        cells.append(row)
        records.append(record | rows.identity(frames))
    return Table(
        name="loss_table",
        title="The loss table of the paper: BCE and CE",
        header=header,
        align="l" + "r" * (len(header) - 1),
        rows=cells,
        frame=pd.DataFrame(records),
        about=[
            *settings.about(frames, rows.select(frames, list(pair.values())), beside=("loss",)),
            *(
                f"{loss.upper()}: {formats.status(trial)}, not measured"
                for loss, trial in pair.items()
                if trial["status"] != Status.FINISHED
            ),
            f"Measured: {interval_legend(map(int, frames.trials['n']))}; published: one run, the best try",
        ],
    )


def _pair(frames: Frames) -> dict[str, pd.Series[Any]] | None:
    """A configuration of each loss, equal in all else: the pair that is set most as the paper's was."""
    if not settings.of_paper(frames) or "loss" not in frames.varying:
        return None
    points = rows.points(frames, frames.trials)
    bce, ce = (
        [(row, point | {"loss": None}) for row, point in points if point.get("loss", "bce") == loss]
        for loss in ("bce", "ce")
    )
    alike = {canonical(point): (row, point) for row, point in reversed(ce)}
    pairs = [(one, alike[canonical(one[1])]) for one in bce if canonical(one[1]) in alike]
    if not pairs:
        return None
    one, other = min(pairs, key=lambda pair: settings.count_differences(pair[0][1], ("loss",)))
    return {"bce": one[0], "ce": other[0]}
