"""The paper's Table 3 and its loss table measured again, and what their published figures are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.report import formats, settings
from tune_app.report.render import Column, Table, identity, intervals
from tune_app.results.verdict import LEVEL
from tune_app.space import Value, canonical
from tune_app.space.labels import text
from tune_app.stats.arithmetic import to_decimals
from tune_app.stats.intervals import prediction_interval_of_one_run
from tune_app.stats.paired_tests import significant
from tune_app.stats.units import NOTHING, interval_legend
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class Sample:
    """A row of Table 3: one run, trained with BCE; ``accuracy`` is of the test images, a fraction."""

    number: int
    lr: float
    step_size: int
    accuracy: float

    def matches(self, config: Mapping[str, Value]) -> bool:
        """Whether a configuration is this sample: its learning rate, its step size, and the loss BCE."""
        return (
            settings.same(config.get("lr"), self.lr)
            and settings.same(config.get("step_size"), self.step_size)
            and config.get("loss", "bce") == "bce"
        )


SAMPLES = (
    Sample(1, 3e-6, 4, 0.83),
    Sample(2, 3e-5, 4, 0.8025),
    Sample(3, 3e-7, 4, 0.77),
    Sample(4, 3e-6, 8, 0.7475),
    Sample(5, 3e-6, 2, 0.7525),
)

#: What the samples differ in by themselves.
_BESIDE = ("lr", "step_size")

#: The loss table: one run each, "the best try". Accuracies as fractions; no test loss is given.
LOSSES: Mapping[str, Mapping[str, float]] = {
    "train_accuracy": {"bce": 0.94, "ce": 0.92},
    "train_loss": {"bce": 0.37, "ce": 0.37},
    "val_accuracy": {"bce": 0.90, "ce": 0.87},
    "val_loss": {"bce": 0.37, "ce": 0.35},
    "test_accuracy": {"bce": 0.83, "ce": 0.8225},
}


@dataclass(frozen=True)
class MeasuredSample:
    """A configuration that the paper reports too, and the test accuracies of its finished replicates.

    ``accuracies`` are fractions; empty unless the configuration is finished. ``reach`` is where one run of it
    would end, or None where that is unknown.
    """

    sample: Sample
    trial: pd.Series[Any]
    accuracies: list[float]
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

    def shown(each: MeasuredSample) -> tuple[str, str]:
        """The mean, and beside it the interval, or both of two values."""
        mean, _, rest = frames.units.measure("test_accuracy", each.accuracies).partition(" ")
        return mean, rest or NOTHING

    columns: list[Column[MeasuredSample]] = [
        Column("sample", lambda each: each.sample.number, "paper's row"),
        Column("lr", lambda each: each.sample.lr, "lr", lambda each: text(each.sample.lr)),
        Column("step_size", lambda each: each.sample.step_size, "step_size"),
        Column(
            "published",
            lambda each: each.sample.accuracy if compared else None,
            "published" if compared else None,
            lambda each: formats.published("test_accuracy", each.sample.accuracy),
        ),
        *intervals("", lambda each: each.accuracies),
        Column("", lambda each: shown(each)[0], "mean"),
        Column("", lambda each: shown(each)[1], "ci95"),
        Column("", lambda each: len(each.accuracies), "n"),
        Column(
            "inside",
            lambda each: {True: "yes", False: "no", None: None}[each.inside] if compared else None,
            "inside" if compared else None,
            lambda each: each.verdict,
            "l",
        ),
        *([] if compared else [Column("", lambda each: formats.status(each.trial), "status", align="l")]),
        *identity(frames),
    ]
    about = [
        *settings.about(frames, [each.trial["sample"] for each in found], _BESIDE),
        "Test accuracy in per cent: the mean over n seeds, and the half-width of its 95% interval"
        + ("; of two seeds, both values" if any(len(each.accuracies) == 2 for each in found) else ""),
    ]
    title = "Table 3 of the paper: learning rate and step size"
    below = list(_verdict(frames, found)) if compared else []
    return Table.of("table3", title, columns, found, about, below)


def _measured(frames: Frames) -> list[MeasuredSample]:
    if not settings.of_paper(frames):
        return []
    images = min(settings.TEST_IMAGES, (frames.sweep.data.counts or {}).get("test", settings.TEST_IMAGES))
    found = []
    for sample in SAMPLES:
        matching = [number for number, config in frames.configs.items() if sample.matches(config)]
        if matching:
            # of several (another parameter is swept too) the one that is set most as the paper's was
            closest = min(matching, key=lambda each: settings.count_differences(frames.config(each), _BESIDE))
            accuracies = frames.replicates(closest, "test_accuracy").tolist()
            reach = prediction_interval_of_one_run(accuracies, images)
            found.append(MeasuredSample(sample, frames.row(closest), accuracies, reach))
    return found


def _verdict(frames: Frames, found: list[MeasuredSample]) -> Iterator[str]:
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
    yield from _too_wide(compared)
    if len(compared) > 1:
        yield _differences(frames, compared)


def _too_wide(found: list[MeasuredSample]) -> Iterator[str]:
    """A sentence on the ranges that are wider than all published figures lie apart: they cannot disagree."""
    published = [sample.accuracy for sample in SAMPLES]
    apart = max(published) - min(published)
    widths = sorted(high - low for low, high in (each.reach for each in found if each.reach))
    if wide := [to_decimals(width, 0, 2) for width in widths if width > apart]:
        points = " to ".join(dict.fromkeys((wide[0], wide[-1])))
        yield (
            f"{len(wide)} of {counted(len(found), 'range')} {'is' if len(wide) == 1 else 'are'} {points} "
            f"points wide. All published figures lie within {to_decimals(apart, 1, 2)} points, so a figure "
            "inside such a range shows no agreement."
        )


def _differences(frames: Frames, found: list[MeasuredSample]) -> str:
    ordered = sorted(found, key=lambda each: -each.sample.accuracy)
    pairs = sorted(combinations(ordered, 2), key=lambda pair: [each.sample.number for each in pair])
    tests = {
        (better.sample.number, worse.sample.number): frames.paired(
            "test_accuracy", better.trial["sample"], worse.trial["sample"]
        )
        for better, worse in pairs
    }
    apart = significant(tests, LEVEL)
    survive = [f"row {better} over {worse}" for better, worse in apart if (better, worse) in tests]
    reverse = [f"row {better} over {worse}" for better, worse in apart if (better, worse) not in tests]
    numbers = sorted(each.sample.number for each in found)
    among = "" if len(numbers) == len(SAMPLES) else f" among its rows {formats.listed(numbers)}"
    sizes = sorted({len(each.accuracies) for each in found})
    seeds = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))
    said = f"Of the paper's {counted(len(pairs), 'difference')}{among}, "
    said += f"{len(survive) or 'none'} {'survives' if len(survive) < 2 else 'survive'} with {seeds} seeds"
    said += f": {formats.listed(survive)}." if survive else "."
    if reverse:
        said += f" The other way round: {formats.listed(reverse)}."
    return (
        f"{said} A difference survives where ours has the published sign and is significant at {LEVEL:.0%} "
        f"(paired t test, Holm's correction for {counted(len(pairs), 'pair')})."
    )


def loss_table(frames: Frames) -> Table | None:
    """BCE beside CE, all else equal; None where this run has no such pair of configurations."""
    pair = _pair(frames)
    if pair is None:
        return None
    compared = settings.comparable(frames)
    columns: list[Column[str]] = [
        Column("quantity", str, "quantity", lambda metric: formats.metric(frames.units, metric), "l")
    ]
    for loss, sample in pair.items():
        columns += _loss_columns(frames, loss, sample, compared)
    statuses = {loss: formats.status(frames.row(sample)) for loss, sample in pair.items()}
    about = [
        *settings.about(frames, pair.values(), beside=("loss",)),
        *(
            f"{loss.upper()}: {word}, not measured"
            for loss, word in statuses.items()
            if word != Status.FINISHED
        ),
        f"Measured: {interval_legend(map(int, frames.trials['n']))}; published: one run, the best try",
    ]
    title = "The loss table of the paper: BCE and CE"
    return Table.of("loss_table", title, [*columns, *identity(frames)], [*LOSSES], about)


def _loss_columns(frames: Frames, loss: str, sample: int, compared: bool) -> list[Column[str]]:
    def values(metric: str) -> list[float]:
        return frames.replicates(sample, metric).tolist()

    heading = f"{loss.upper()} measured (n={len(values('val_accuracy'))})"
    return [
        Column("", values, heading, lambda metric: frames.units.measure(metric, values(metric))),
        *intervals(f"{loss}_", values),
        Column(
            f"{loss}_published",
            lambda metric: LOSSES[metric][loss] if compared else None,
            f"{loss.upper()} published" if compared else None,
            lambda metric: formats.published(metric, LOSSES[metric][loss]),
        ),
    ]


def _pair(frames: Frames) -> dict[str, int] | None:
    """A sample of each loss, equal in all else: the pair that is set most as the paper's was."""
    if not settings.of_paper(frames) or "loss" not in frames.varying:
        return None
    alike: dict[str, dict[str, int]] = {}
    for sample, config in frames.configs.items():
        rest = canonical({**config, "loss": None})
        alike.setdefault(rest, {}).setdefault(str(config.get("loss", "bce")), sample)
    pairs = [pair for pair in alike.values() if {"bce", "ce"} <= pair.keys()]
    if not pairs:
        return None

    def differences(pair: dict[str, int]) -> tuple[int, int]:
        return settings.count_differences(frames.config(pair["bce"]), beside=("loss",)), pair["bce"]

    closest = min(pairs, key=differences)
    return {loss: closest[loss] for loss in ("bce", "ce")}
