"""The paper's Table 3 measured again: its five samples, and what their published figures are worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tune_app.report import formats, paper, rows, settings
from tune_app.report.render import Table
from tune_app.space.labels import text
from tune_app.stats.arithmetic import to_decimals
from tune_app.stats.intervals import mean_interval, prediction_interval_of_one_run
from tune_app.stats.multiple_testing import holm
from tune_app.stats.units import NOTHING, MetricUnits
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Differences are told from chance at this level, after Holm's correction.
LEVEL = 0.05

#: What the rows differ in by themselves.
_BESIDE = ("lr", "step_size")


@dataclass(frozen=True)
class MeasuredSample:
    """A configuration that the paper reports too, and the test accuracies of its finished replicates.

    ``accuracies`` are fractions by the replicate's number; empty unless the configuration is finished.
    ``reach`` is where one run of it would end, or None where that is unknown.
    """

    sample: paper.Sample
    trial: pd.Series[Any]
    accuracies: pd.Series[float]
    reach: tuple[float, float] | None

    @property
    def inside(self) -> bool | None:
        """Whether the published figure lies where one run would end; None where nothing is known of that."""
        return None if self.reach is None else self.reach[0] <= self.sample.accuracy <= self.reach[1]

    @property
    def verdict(self) -> str:
        """``inside`` in words, with the range, or the reason why there is none."""
        if self.reach is not None:
            low, high = (to_decimals(end, 1, 2) for end in self.reach)
            return f"{'yes' if self.inside else 'no'} ({low} to {high})"
        if self.trial["status"] != Status.FINISHED:
            return f"not compared: {formats.status(self.trial)}"
        return f"not compared: {counted(len(self.accuracies), 'run')}"


def table3(frames: Frames) -> Table | None:
    """The paper's five samples, as far as this run has them; None where it has none of them.

    ``inside`` says whether a published figure, being one run, lies where one run of ours would.
    """
    found = _measured(frames)
    if not found:
        return None
    compared = settings.comparable(frames)
    cells, records = [], []
    for each in found:
        interval = mean_interval(each.accuracies.tolist())
        figure = each.sample.accuracy
        mean, interval_text = _in_words(frames.units, each.accuracies.tolist())
        cells.append(
            {
                "sample": str(each.sample.number),
                "lr": text(each.sample.lr),
                "step_size": text(each.sample.step_size),
                **({"published": formats.published("test_accuracy", figure)} if compared else {}),
                "mean": mean,
                "ci95": interval_text,
                "n": str(interval.n),
                **({"inside": each.verdict} if compared else {"status": formats.status(each.trial)}),
            }
        )
        records.append(
            {
                "sample": each.sample.number,
                "lr": each.sample.lr,
                "step_size": each.sample.step_size,
                "published": figure if compared else None,
                "mean": interval.mean,
                "ci95": interval.half_width,
                "n": interval.n,
                "inside": {True: "yes", False: "no", None: None}[each.inside if compared else None],
                **rows.identity(frames),
            }
        )
    chosen = rows.select(frames, [each.trial for each in found])
    return Table(
        name="table3",
        title="Table 3 of the paper: learning rate and step size",
        header=list(cells[0]),
        align="r" * (len(cells[0]) - 1) + "l",
        rows=[list(row.values()) for row in cells],
        frame=pd.DataFrame(records),
        about=[
            *settings.about(frames, chosen, beside=_BESIDE),
            "Test accuracy in per cent: the mean over n seeds, and the half-width of its 95% interval"
            + ("; of two seeds, both values" if any(len(each.accuracies) == 2 for each in found) else ""),
        ],
        below=list(_verdict(found, frames.units)) if compared else [],
    )


def _in_words(units: MetricUnits, accuracies: list[float]) -> tuple[str, str]:
    """The mean, and beside it the interval, or both of two values."""
    mean, _, rest = units.measure("test_accuracy", accuracies).partition(" ")
    return mean, rest or NOTHING


def _measured(frames: Frames) -> list[MeasuredSample]:
    if not settings.of_paper(frames) or not set(_BESIDE) <= set(frames.parameters):
        return []
    points = rows.points(frames, _candidates(frames))
    images = min(paper.TEST_IMAGES, (frames.sweep.data.counts or {}).get("test", paper.TEST_IMAGES))
    found = []
    for sample in paper.SAMPLES:
        matching = [point for point in points if sample.matches(point[1])]
        if matching:
            # of several (another parameter is swept too) the one that is set most as the paper's was
            trial, _ = min(matching, key=lambda point: settings.count_differences(point[1], _BESIDE))
            accuracies = frames.replicates(int(trial["sample"]), "test_accuracy")
            reach = prediction_interval_of_one_run(accuracies.tolist(), images)
            found.append(MeasuredSample(sample, trial, accuracies, reach))
    return found


def _candidates(frames: Frames) -> pd.DataFrame:
    """The few configurations, of maybe thousands, that have a learning rate of the paper's."""
    rates = pd.to_numeric(frames.trials["lr"], errors="coerce").to_numpy(dtype=float)[:, None]
    published = [sample.lr for sample in paper.SAMPLES]
    near = np.isclose(rates, published, rtol=1e-6, atol=0).any(axis=1)
    return frames.trials.iloc[np.flatnonzero(near)]


def _verdict(found: list[MeasuredSample], units: MetricUnits) -> Iterator[str]:
    compared = [each for each in found if each.inside is not None]
    if not compared:
        yield "Nothing is compared with the paper: that takes at least two finished seeds of a configuration."
        return
    inside = sum(each.inside is True for each in compared)
    yield (
        f"{inside} of {counted(len(compared), 'published figure')} {'lies' if inside == 1 else 'lie'} "
        "inside the range that one run of the same configuration would show."
    )
    yield (
        "Inside: a published figure is one run (n = 1). It is compared with the 95% prediction interval of "
        "one run, made of the spread between our seeds and the binomial error of its test images; not with "
        "the interval of our mean, which is narrower."
    )
    if len(compared) > 1:
        yield _differences(compared, units)


def _differences(found: list[MeasuredSample], units: MetricUnits) -> str:
    """Which published differences are more than chance, by the same differences measured."""
    ordered = sorted(found, key=lambda each: -each.sample.accuracy)
    pairs = sorted(combinations(ordered, 2), key=lambda pair: [each.sample.number for each in pair])
    tests = [
        rows.paired(units, "test_accuracy", better.accuracies, worse.accuracies) for better, worse in pairs
    ]
    adjusted = holm([1.0 if test is None else test.p for test in tests])
    survive, reverse = [], []
    for (better, worse), test, p in zip(pairs, tests, adjusted, strict=True):
        if test is not None and p < LEVEL:
            if test.difference > 0:
                survive.append(f"sample {better.sample.number} over {worse.sample.number}")
            else:
                reverse.append(f"sample {worse.sample.number} over {better.sample.number}")
    numbers = sorted(each.sample.number for each in found)
    among = "" if len(numbers) == len(paper.SAMPLES) else f" among samples {formats.listed(numbers)}"
    sizes = sorted({len(each.accuracies) for each in found})
    seeds = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    text = f"Of the paper's {counted(len(pairs), 'difference')}{among}, "
    text += f"{len(survive) or 'none'} {'survives' if len(survive) < 2 else 'survive'} with {seeds} seeds"
    text += f": {formats.listed(survive)}." if survive else "."
    if reverse:
        text += f" The other way round: {formats.listed(reverse)}."
    return (
        f"{text} A difference survives where ours has the published sign and is significant at {LEVEL:.0%} "
        f"(paired t test, Holm's correction for {counted(len(pairs), 'pair')})."
    )
