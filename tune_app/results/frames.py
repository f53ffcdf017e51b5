"""From a record to DataFrames: one row a configuration, one a replicate, one a replicate and epoch.

Shares are fractions here and in the CSV files; tables for people show per cent. ``COLUMNS`` documents
every column that is not a parameter or a metric.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_app.errors import RunError
from tune_app.space import Config, Value, canonical, quote
from tune_app.space.labelled import written
from tune_app.space.labels import SHORT, Labels
from tune_app.space.rules import choice_column
from tune_app.stats import paired_tests
from tune_app.stats.intervals import mean_interval
from tune_app.stats.paired_tests import Difference
from tune_app.stats.units import MetricUnits
from tune_app.status import Status
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Configuration, EpochRow, evaluated_epoch, window_mean
from tune_app.sweep.files import keep_writing, write_file

COLUMNS = {
    "sample": "number of the configuration in this run, from 1",
    "replicate": "number of the seed, from 0; initialisation and batch order follow from it",
    "status": "planned, running, interrupted, finished, stopped (early), diverged or failed",
    "epochs": "epochs trained; of a configuration, the most that any replicate has",
    "test_looks": "how often its test set was evaluated: more than once after an extension",
    "evaluated": "the epoch of the metrics in the row: the last, or the best by the space's metric",
    "n": "replicates behind the means",
    "n_diverged": "replicates that diverged; a configuration with any is never ranked",
    "epoch": "number of the epoch, from 1",
    "duration_s": "seconds of training and validation; of a configuration, summed over its replicates",
    "device": "cpu, or the GPU: cuda:3 on NODE; several are joined by +",
    "twin": "number of an earlier configuration with the same parameters, whose outcome is repeated here",
    "data": "the data's source",
    "data_sha256": "SHA-256 over every image and label that the sweep saw",
    "<metric>": "train_ averaged during the epoch, val_ and test_ at its end; accuracies are fractions of 1",
    "<metric>_mean": "mean over the n replicates; empty where one of them has no value",
    "<metric>_ci95": "half-width of the 95% t interval of that mean; empty when n is 1",
    "<metric>_choice": "what configurations are chosen by: the mean over the epochs that choose; see choose",
}


@dataclass(frozen=True)
class Frames:
    """The results of a sweep as plain DataFrames, with what is needed to read them.

    In a column of a parameter ``None`` is ``null``, a value like any other; NaN stands where the parameter
    does not exist. ``values`` are those behind each mean of ``trials``, by sample, then by metric.
    ``choices`` has, by metric of the space, the column of ``seeds`` with what configurations are chosen by.
    Of frames that are sealed (see `seal`), ``opened`` has the samples that keep their test metrics, and
    ``unsealed`` are the frames with all. `verdict.judge` keeps what it has found in ``verdicts``.
    """

    sweep: Sweep
    trials: pd.DataFrame
    seeds: pd.DataFrame
    curves: pd.DataFrame
    parameters: list[str]
    varying: list[str]
    values: Mapping[int, Mapping[str, tuple[float, ...]]] = field(repr=False)
    choices: Mapping[str, str]
    opened: frozenset[int] | None = None
    unsealed: Frames | None = field(default=None, repr=False)
    verdicts: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def config(self, sample: int) -> Config:
        """The parameters that exist in a configuration."""
        return self.configs[sample]

    @cached_property
    def configs(self) -> dict[int, Config]:
        """The same of all, by sample."""
        return {sample: each.config for sample, each in self.sweep.history.configurations.items()}

    def row(self, sample: int) -> pd.Series[Any]:
        """The row of a configuration in ``trials``."""
        return self.trials[self.trials["sample"] == sample].iloc[0]

    @property
    def finished(self) -> pd.DataFrame:
        """The rows of ``trials`` that have finished."""
        return self.trials[self.trials["status"] == Status.FINISHED]

    def states(self, *left_out: str) -> list[str]:
        """How many configurations have each status, but for those ``left_out``: ``4 finished``."""
        counts = self.trials["status"].value_counts().drop([*left_out], errors="ignore")
        return [f"{number} {status}" for status, number in counts.items()]

    @property
    def identity(self) -> dict[str, str]:
        """The columns that say which data the results come from."""
        return {"data": self.sweep.data.source, "data_sha256": self.sweep.data.fingerprint}

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The provenance of the first session: versions, machine, command; empty before a session."""
        openings = self.sweep.history.openings
        return openings[0].provenance if openings else {}

    def measured(self, sample: int, metric: str) -> tuple[float, ...]:
        """The values of the replicates whose mean ``trials`` shows; none where it shows no mean."""
        return self.values[sample].get(metric, ())

    def name_of(self, sample: int, short: bool = False) -> str:
        """What a configuration is called, by the parameters that vary; ``short`` for a terminal."""
        config, labels = self.configs[sample], self.short_labels if short else self.labels
        names = [name for name in self.varying if name in config] or list(config)
        return labels.point(config, names) or "the only configuration"

    @cached_property
    def labels(self) -> Labels:
        """What configurations are called: different ones never alike."""
        return Labels(self.configs.values(), given=self.sweep.space.labels)

    @cached_property
    def short_labels(self) -> Labels:
        """The same for a terminal, where long texts are cut."""
        return Labels(self.configs.values(), SHORT, self.sweep.space.labels)

    @cached_property
    def units(self) -> MetricUnits:
        """How its metrics are written."""
        return MetricUnits(self.sweep.history.shares_out_of_range)

    @cached_property
    def filled_curves(self) -> pd.DataFrame:
        """The curves, in which a replicate that ended by itself keeps its last metrics up to the last epoch.

        A mean over replicates at an epoch is made of these rows.
        """
        last = self.curves.groupby(["sample", "replicate"]).tail(1)
        last = last.set_index(["sample", "replicate"], drop=False)
        more = []
        for configuration in self.sweep.history.configurations.values():
            for replicate in self.sweep.history.counted(configuration, self.sweep.space):
                attempt = configuration.last(replicate)
                if attempt and replicate in attempt.ended_at:
                    row = last.loc[[(configuration.sample, replicate)]]
                    missing = range(attempt.ended_at[replicate] + 1, attempt.epoch + 1)
                    more += [row.assign(epoch=epoch) for epoch in missing]
        return pd.concat([self.curves, *more], ignore_index=True) if more else self.curves

    def scores(self, sample: int) -> NDArray[np.float32]:
        """Test scores of a configuration's finished replicates, (R, N): log-odds of class 1; or (R, N, C).

        Rows follow the replicates' numbers; columns follow ``test_images.csv``. Empty, (0,), without any.
        """
        history = self.sweep.history
        configuration = history.configurations[sample]
        counted = history.counted(configuration, self.sweep.space)
        rows = {}
        for attempt in configuration.attempts:
            if attempt.scores:
                raw = np.frombuffer(self.sweep.scores.read(attempt.scores), "<f4")
                for replicate, row in zip(attempt.replicates, raw.reshape(attempt.scores.shape), strict=True):
                    rows[replicate] = row
        found = [rows[replicate] for replicate in counted if replicate in rows]
        return np.stack(found) if found else np.empty(0, np.float32)

    def replicates(self, sample: int, metric: str) -> pd.Series[float]:
        """A metric of a finished configuration, by the replicates' numbers; empty unless it has finished.

        A duplicate has the values of the configuration that it repeats.
        """
        trial = self.row(sample)
        if trial["status"] != Status.FINISHED or metric not in self.seeds:
            return pd.Series(dtype=float)
        original = sample if pd.isna(trial["twin"]) else trial["twin"]
        seeds = self.seeds[(self.seeds["sample"] == original) & (self.seeds["status"] == Status.FINISHED)]
        return seeds.set_index("replicate")[metric].astype(float).dropna()

    def paired(self, metric: str, one: int, other: int) -> Difference | None:
        """The paired t test of two samples, over the finished replicates that both have.

        Of a metric of the space, it compares what configurations are chosen by.
        """
        values = [self.replicates(sample, self.choice_of(metric)) for sample in (one, other)]
        a, b = common(values).tolist()
        return paired_tests.paired(a, b, step=self.units.step(metric, [*a, *b]))

    def choice_of(self, metric: str) -> str:
        """The column of ``seeds`` by which a metric of the space chooses; another metric's own column."""
        return self.choices.get(metric, metric)

    @property
    def metrics(self) -> list[str]:
        """The metrics that ``trials`` has the mean and interval of; parameters named alike are none."""
        means = (name for name in map(str, self.trials) if name not in self.parameters)
        return [name.removesuffix("_mean") for name in means if name.endswith("_mean")]

    def test_images(self) -> pd.DataFrame | None:
        """Which image each column of ``scores`` is: index, label, name, patient; "" where unknown.

        None where the run did not write it down. Raises RunError for a damaged or changed file.
        """
        path = self.sweep.paths.test_images
        if not path.is_file():
            return None
        try:
            text = path.read_bytes()
            if self.sweep.test_images_edited(text):
                raise ValueError("it was changed since the run wrote it")
            return pd.read_csv(
                io.BytesIO(text), usecols=["index", "label", "name", "patient"], keep_default_na=False
            ).astype({"label": "int64", "name": str, "patient": str})
        except (ValueError, OSError) as error:
            raise RunError(
                f"{path}: cannot be read as the list of test images: {error}. Have it written again "
                f"with tune-app resume {self.sweep.name}, or remove it: the answers about other patients "
                "are then left out."
            ) from error


def common(values: Iterable[pd.Series[float]]) -> NDArray[np.float64]:
    """(K, R) of K configurations' values by replicate, K at least 1: of the replicates that all have."""
    return pd.concat(values, axis=1, join="inner").to_numpy(dtype=np.float64).T


def load(sweep: Sweep) -> Frames:
    """The frames of a sweep, as far as it is recorded."""
    history, live, labels = sweep.history, sweep.live(), sweep.space.labels
    configurations = list(history.configurations.values())
    parameters = list(dict.fromkeys(name for each in configurations for name in each.config))
    measured = dict.fromkeys(n for a in history.attempts.values() for e in a.epochs for n in e.metrics)
    place = ("sample", "replicate", "epoch")
    # A run of an earlier version may use such a name itself. Its metrics choose by the evaluated epoch alone.
    columns = {metric.name: choice_column(metric.name) for metric in sweep.space.metrics}
    choices = {name: each for name, each in columns.items() if each not in (*parameters, *measured)}
    # column by column: a sweep of 10,000 trials has more epochs than rows should be dicts of
    curves: dict[str, list[Any]] = {name: [] for name in (*place, *sorted(measured, key=_split_order))}
    trials, seeds = [], []
    rows: dict[int, list[dict[str, Any]]] = {}
    values: dict[int, dict[str, tuple[float, ...]]] = {}
    for configuration in configurations:
        sample, config = configuration.sample, configuration.config
        replicates = history.counted(configuration, sweep.space)
        cells = {name: written(value, labels.get(name, {})) for name, value in config.items()}
        point = {"sample": sample, **{name: cells.get(name, np.nan) for name in parameters}}
        if configuration.duplicate_of is None:
            epochs = {replicate: configuration.epochs(replicate) for replicate in replicates}
            rows[sample] = [
                _seed_row(sweep, configuration, each, epochs[each], choices, live) for each in replicates
            ]
            seeds += [point | row for row in rows[sample]]
            for replicate in replicates:
                for epoch, metrics, _ in epochs[replicate]:
                    found = {**metrics, "sample": sample, "replicate": replicate, "epoch": epoch}
                    for name, column in curves.items():
                        column.append(found.get(name))
        status = history.status(configuration, replicates, live)
        row, values[sample] = _trial_row(rows[configuration.duplicate_of or sample], status, choices)
        trials.append(point | row | {"twin": configuration.duplicate_of})
    varying = [
        name
        for name in parameters
        if len({canonical(c.config[name]) if name in c.config else "" for c in configurations}) > 1
    ]
    head, source = ["sample", *parameters], {"data": sweep.data.source, "data_sha256": sweep.data.fingerprint}
    of_curves = {name: np.array(curves[name], np.int64 if name in place else np.float64) for name in curves}
    of_trials = _frame(trials, [*head, "status", "epochs", "n", "n_diverged"], [*_LAST, "twin"])
    of_seeds = _frame(seeds, [*head, "replicate", "status", "epochs", "evaluated", "test_looks"], _LAST)
    made = (each.assign(**source) for each in (of_trials, of_seeds, pd.DataFrame(of_curves)))
    of_trials, of_seeds, every_epoch = made
    return Frames(sweep, of_trials, of_seeds, every_epoch, parameters, varying, values, choices)


def write(frames: Frames) -> list[Path]:
    """Write ``results.csv``, ``seeds.csv`` and ``curves.csv`` into the run folder; raises DiskError."""
    paths = frames.sweep.paths
    files = {paths.results: frames.trials, paths.seeds: frames.seeds, paths.curves: frames.curves}
    with keep_writing():
        return [
            write_file(path, as_texts(frames, frame).to_csv(index=False, lineterminator="\n"))
            for path, frame in files.items()
        ]


def as_texts(frames: Frames, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame as CSV and Parquet files have it: ``null`` is written out, an absent parameter stays empty.

    A text that could be taken for ``null``, for nothing, or for another value of its column, such as ``"1"``
    beside 1, is put in quotes.
    """
    changed: dict[str, pd.Series[Any]] = {}
    for name in frames.parameters:
        if name in frame and frame[name].dtype.kind not in "iufb":
            cells = frame[name].tolist()
            taken = {str(cell).lower() for cell in cells if not isinstance(cell, str)} | {"", "null"}
            texts = [_text(cell, taken) for cell in cells]
            if any(one is not other for one, other in zip(texts, cells, strict=True)):
                changed[name] = pd.Series(texts, index=frame.index, dtype=object)
    return frame.assign(**changed)


def _text(cell: Value, taken: set[str]) -> Value:
    if cell is None:
        return "null"
    return quote(cell) if isinstance(cell, str) and (cell.lower() in taken or cell.startswith('"')) else cell


def ranked(frames: Frames) -> pd.DataFrame:
    """The rows of ``trials`` that have finished, best first by the space's metric; see `History.ranked`."""
    found = frames.sweep.history.ranked(frames.sweep.space)
    order = {configuration.sample: place for place, (configuration, _) in enumerate(found)}
    finished = frames.finished[frames.finished["sample"].isin(order)]
    return finished.sort_values("sample", key=lambda samples: samples.map(order))


def _seed_row(
    sweep: Sweep,
    configuration: Configuration,
    replicate: int,
    rows: list[EpochRow],
    choices: Mapping[str, str],
    live: bool,
) -> dict[str, Any]:
    attempt = configuration.last(replicate)
    if attempt is None:
        return {"replicate": replicate, "status": str(Status.PLANNED), "epochs": 0, "test_looks": 0}
    status = attempt.status(replicate, live)
    row: dict[str, Any] = {
        "replicate": replicate,
        "status": str(status),
        "epochs": rows[-1][0] if rows else 0,
        "test_looks": configuration.looks(replicate),
    }
    counts = evaluated_epoch(rows, sweep.space.metric, sweep.space.evaluate)
    if counts and status != Status.DIVERGED:
        row |= {"evaluated": counts[0], **counts[1]}
        row |= {column: window_mean(rows, sweep.space, metric) for metric, column in choices.items()}
    if status == Status.FINISHED:
        index = attempt.replicates.index(replicate)
        row |= {name: values[index] for name, values in attempt.test.items()}
    devices = [a.device for a in configuration.attempts if replicate in a.replicates]
    return row | {"duration_s": round(sum(seconds for *_, seconds in rows), 3), "device": _joined(devices)}


def _joined(devices: Iterable[str]) -> str:
    return "+".join(dict.fromkeys(filter(None, devices)))


def _trial_row(
    rows: list[dict[str, Any]], status: Status, choices: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """One configuration from its replicates, and their values: means over those that are as far as it is."""
    every = status in (Status.RUNNING, Status.FAILED, Status.INTERRUPTED, Status.DIVERGED)
    counted = [row for row in rows if "evaluated" in row and (every or row["status"] == status)]
    known = {"replicate", "status", "epochs", "evaluated", "test_looks", *_LAST}
    found: dict[str, Any] = {
        "status": str(status),
        "epochs": max((row["epochs"] for row in rows), default=0),
        "n": len(counted),
        "n_diverged": sum(row["status"] == Status.DIVERGED for row in rows),
    }
    values: dict[str, tuple[float, ...]] = {}
    for name in dict.fromkeys(key for row in counted for key in row if key not in known):
        reported = [row[name] for row in counted if row.get(name) is not None]
        # no mean over fewer than the n that stand beside it
        values[name] = tuple(reported) if len(reported) == len(counted) else ()
        interval = mean_interval(values[name])
        if name in choices.values():
            found[name] = interval.mean
        else:
            found |= {f"{name}_mean": interval.mean, f"{name}_ci95": interval.half_width}
    found["duration_s"] = round(sum(row.get("duration_s", 0.0) for row in rows), 3)
    return found | {"device": _joined(row.get("device", "") for row in rows)}, values


_LAST = ["duration_s", "device"]


def _frame(rows: list[dict[str, Any]], first: list[str], last: list[str]) -> pd.DataFrame:
    """Rows as a frame: the named columns ``first``, then the metrics by split, then the ``last``."""
    names = dict.fromkeys(name for row in rows for name in row)
    metrics = sorted((name for name in names if name not in [*first, *last]), key=_split_order)
    frame = pd.DataFrame(rows, columns=[*first, *metrics, *last])
    for name in first:
        cells = [row.get(name, np.nan) for row in rows]
        if None in cells:  # pandas would make it the same as a missing one
            frame[name] = pd.Series(cells, index=frame.index, dtype=object)
    # Int64 knows a missing number; float64 would write 3.0.
    gaps = {name: "Int64" for name in ("evaluated", "twin") if name in frame}
    return frame.astype({"sample": "int64", **dict.fromkeys(metrics, float), **gaps})


def _split_order(name: str) -> int:
    return next((i for i, split in enumerate(("train_", "val_", "test_")) if name.startswith(split)), 1)
