"""Runs that a report must cope with, each written by hand: names of ``CASES``, made by ``make_case``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from records import Ended, record, right

from benchmarks.recorder import Recorder
from tune_app import results
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.results import Frames

XRAYS = DataIdentity(
    "röntgen $5 & <b>", "folder", "c0ffee" * 10, 64, "image", {"train": 1800, "val": 200, "test": 60}
)
PHANTOM = DataIdentity("phantom", "phantom", "9c1f0a" * 10, 64, "image", {"train": 18, "val": 20, "test": 60})
LONG = "a_name_of_" + "sixty_" * 8 + "xx"

GRID = """
task: pneumonia
space: {lr: {grid: [3e-6, 3e-5]}, step_size: {grid: [2, 4, 8]}}
fixed: {gamma: 0.4, loss: bce}
epochs: 4
seeds: 3
"""


Curves = Mapping[str, list[list[float]]]


def curves(sample: int, seeds: int, epochs: int, names: tuple[str, ...] = ()) -> Curves:
    """Plausible curves, the better the higher the sample's number; no two replicates are alike."""
    rng = np.random.default_rng(sample)
    rise = 1 - np.exp(-np.arange(1, epochs + 1)[:, None] / 3)
    accuracy = np.clip(0.5 + (0.2 + 0.005 * sample) * rise + rng.normal(0, 0.01, (epochs, seeds)), 0, 1)
    found = {"train_accuracy": accuracy, "train_loss": 1 - accuracy}
    found |= {"val_accuracy": accuracy - 0.02, "val_loss": 1 - accuracy}
    return {name: values.tolist() for name, values in found.items() if not names or name in names}


def full(samples: int, seeds: int = 3, epochs: int = 4, images: int = 60) -> dict[int, Ended]:
    """So many finished configurations with curves and test scores."""
    return {
        i: Ended(curves(i, seeds, epochs), right(i, [0.6 + 0.005 * i] * seeds, images))
        for i in range(1, samples + 1)
    }


def finished(folder: Path) -> Frames:
    """All of a grid finished, on X-rays whose source has an awkward name."""
    return record(folder, GRID, full(6), XRAYS)


def phantom(folder: Path) -> Frames:
    """The same on phantom images."""
    return record(folder, GRID, full(6), PHANTOM)


def running(folder: Path) -> Frames:
    """Two finished, one on its way, three planned."""
    return record(folder, GRID, {**full(2), 3: Ended(curves(3, 3, 2), end="running")}, XRAYS)


def one_trial(folder: Path) -> Frames:
    """One configuration, one epoch."""
    text = "task: pneumonia\nconfigs: [{lr: 3e-6, step_size: 4}]\nepochs: 1\nseeds: 2\n"
    return record(folder, text, {1: Ended(curves(1, 2, 1), right(1, [0.7, 0.8], 60))}, XRAYS)


def one_seed(folder: Path) -> Frames:
    """A grid with one seed."""
    return record(folder, GRID.replace("seeds: 3", "seeds: 1"), full(6, seeds=1), XRAYS)


def all_failed(folder: Path) -> Frames:
    """Nothing but failures."""
    return record(folder, GRID, {i: Ended(curves(i, 3, 1), end="failed") for i in range(1, 7)}, XRAYS)


def nothing(folder: Path) -> Frames:
    """A run that was planned and never started."""
    return record(folder, GRID, {}, XRAYS)


def forty(folder: Path) -> Frames:
    """Forty-five configurations drawn at random."""
    text = (
        "task: pneumonia\nspace: {lr: {loguniform: [1e-7, 1e-3]}, step_size: {randint: [1, 12]}, "
        "optimizer: {choice: [adam, adamw, sgd]}}\nsearch: {algorithm: random, samples: 45}\nepochs: 3\n"
        "seeds: 2\n"
    )
    return record(folder, text, full(45, seeds=2, epochs=3), XRAYS)


def stopped(folder: Path) -> Frames:
    """Early stopping after epochs 1 and 3."""
    reached = {4: 1, 5: 1, 6: 1, 1: 1, 2: 1, 3: 3}
    ended = {sample: one for sample, one in full(6).items() if sample > 3}
    ended |= {sample: Ended(curves(sample, 3, reached[sample]), end="running") for sample in (1, 2, 3)}
    with record(folder, GRID + "stop: {scheduler: asha}\n", ended, XRAYS).sweep.writing() as sweep:
        recorder = Recorder.of(sweep)
        for sample, epoch in reached.items():
            recorder.decide(f"{sample}.1", 0.5 + 0.01 * sample, 0.6, stop=sample <= 3, epoch=epoch)
        return results.load(sweep)


def waiting(folder: Path) -> Frames:
    """Rungs that decide together: one has decided, and three wait at the next, with a loss far out."""
    text = GRID + "stop: {scheduler: halving, reduction_factor: 2, by: {name: val_loss, mode: min}}\n"
    with record(folder, text.replace("[2, 4, 8]", "[1, 2, 4, 8]"), {}, XRAYS).sweep.writing() as sweep:
        recorder = Recorder.of(sweep)
        losses = {1: 0.5, 2: 0.4, 3: 0.45, 4: 0.3, 5: 0.501, 6: 0.55, 7: 2.0, 8: 4000.0}
        for sample, loss in losses.items():
            trial = recorder.start(sample)
            recorder.epoch(trial, {"val_accuracy": [0.6], "val_loss": [loss]})
            recorder.pause(trial, loss)
        for sample in (4, 2, 3, 1):
            recorder.promote(f"{sample}.1", losses[sample])
        for sample in (5, 6, 7, 8):
            recorder.decide(f"{sample}.1", losses[sample], 0.5, stop=True)
        for sample in (4, 2, 3):
            trial = recorder.start(sample, epoch=1)
            recorder.epoch(trial, {"val_accuracy": [0.7], "val_loss": [losses[sample] - 0.1]})
            recorder.pause(trial, losses[sample] - 0.1)
        recorder.promote("4.2", 0.2)
        return results.load(sweep)


def function_task(folder: Path) -> Frames:
    """A generator's metrics, names of sixty letters and of other scripts, and no data."""
    text = (
        f"task: mine:train\nspace: {{{LONG}: {{grid: [0.1, 0.2, 0.3]}}, {LONG[:-1]}y: {{grid: [1, 2]}}, "
        'kind: {grid: ["größer $x$", "中文"]}}\n'
        "epochs: 4\nseeds: 2\nmetric: {name: val_loss, mode: min}\n"
    )
    ended = {i: Ended(curves(i, 2, 4, ("train_loss", "val_loss"))) for i in range(1, 13)}
    return record(folder, text, ended, NO_DATA)


def conditional(folder: Path) -> Frames:
    """A parameter that exists only beside a value of another, and one that mixes numbers and words."""
    text = (
        "task: mine:train\nspace: {momentum: {grid: [0.1, 0.9], when: {optimizer: sgd}}, "
        "optimizer: {grid: [adam, sgd]}, depth: {grid: [1, 2, deep]}}\n"
        "epochs: 4\nseeds: 2\nmetric: {name: val_accuracy, mode: max}\n"
    )
    return record(folder, text, {i: Ended(curves(i, 2, 4)) for i in range(1, 10)}, NO_DATA)


def awkward(folder: Path) -> Frames:
    """Values that no axis would choose: far apart, of several kinds, numbers in words, or none at all."""
    text = (
        "task: mine:train\nspace: {far: {grid: [0, 1e300, -1e-300]}, "
        'kind: {grid: [true, 1, null, "1000000000000"]}, '
        "big: {grid: [1, 100000000000000000]}}\n"
        "epochs: 2\nseeds: 2\nmetric: {name: val_accuracy, mode: max}\n"
    )
    return record(folder, text, {i: Ended(curves(i, 2, 2)) for i in range(1, 25)}, NO_DATA)


def enormous(folder: Path) -> Frames:
    """A metric as large as may be: its fourth power is no number any more."""
    text = (
        "task: mine:train\nspace: {lr: {grid: [1, 2, 3]}}\n"
        "epochs: 3\nseeds: 3\nmetric: {name: val_loss, mode: min}\n"
    )
    ended = {
        i: Ended({"val_loss": [[1e100 * (1 - 0.01 * (i + r) / e) for r in range(3)] for e in range(1, 4)]})
        for i in range(1, 4)
    }
    return record(folder, text, ended, NO_DATA)


def beyond(folder: Path) -> Frames:
    """Values that no mean can be drawn over, as an earlier version recorded them, beside others."""
    text = (
        "task: mine:train\nspace: {lr: {grid: [1, 2, 3]}, big: {grid: [1e308, 1]}}\n"
        "epochs: 2\nseeds: 2\nmetric: {name: val_loss, mode: min}\n"
    )
    values = {
        1: (1.7e308, 1.7e308),
        2: (-1.7e308, 1.7e308),
        3: (1e101, 2.0),
        4: (0.0, -0.0),
        5: (5e-324, 0.1),
    }
    ended = {i: Ended({"val_loss": [list(row)] * 2}) for i, row in values.items()}
    return record(folder, text, ended, NO_DATA)


CASES: dict[str, Callable[[Path], Frames]] = {
    made.__name__: made
    for made in (
        *(finished, phantom, running, one_trial, one_seed, all_failed, nothing, forty, stopped, waiting),
        *(function_task, conditional, awkward, enormous, beyond),
    )
}
