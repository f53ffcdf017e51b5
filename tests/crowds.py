"""Runs of any number of configurations and parameters, whose figures must stay legible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from edge_cases import XRAYS
from records import Ended, record, right

from benchmarks.recorder import Recorder
from tune_app import results
from tune_app.results import Frames

PARAMETERS = {
    "lr": "{loguniform: [1e-6, 1e-1]}",
    "optimizer": "{choice: [adam, adamw, sgd]}",
    "augment": "{choice: [true, false]}",
    "class_weight": "{choice: [null, balanced]}",
    "depth": "{randint: [1, 12]}",
    "activation_of_the_last_layer": "{choice: [relu, gelu, a_rather_long_name_of_a_function]}",
}

_EPOCHS = 3


def crowd(folder: Path, count: int, parameters: int, first: int = 0) -> Frames:
    """A search of ``count`` configurations over so many of ``PARAMETERS``, from the ``first`` on.

    It ranks by a loss that spans decades, and has a second metric. Some have not finished.
    """
    names = [*PARAMETERS][first:] + [*PARAMETERS][:first]
    space = ", ".join(f"{name}: {PARAMETERS[name]}" for name in names[:parameters])
    text = (
        f"task: pneumonia\nspace: {{{space}}}\nsearch: {{algorithm: random, samples: {count}}}\n"
        f"epochs: {_EPOCHS}\nseeds: 3\nstop: {{scheduler: asha, grace_period: 1}}\n"
        "metric: [{name: val_loss, mode: min}, {name: val_accuracy, mode: max}]\n"
    )
    rng = np.random.default_rng(count)
    planned = record(folder / "planned", text, {}, XRAYS).trials
    distinct = list(map(int, planned.loc[planned["twin"].isna(), "sample"]))
    ends = {number: _END.get(number % 8 if number > 2 else 0, "finished") for number in distinct}
    ended = {number: _one(rng, end, count) for number, end in ends.items()}
    with record(folder, text, ended, XRAYS).sweep.writing() as sweep:
        recorder = Recorder.of(sweep)
        for number, end in ends.items():
            if end == "running":
                recorder.decide(f"{number}.1", 2.0, 1.0, stop=True, epoch=1)
        return results.load(sweep)


_END = {3: "running", 5: "failed", 7: "diverged"}


def _one(rng: np.random.Generator, end: str, count: int) -> Ended:
    level = 10 ** rng.uniform(-2, 1)
    epochs = _EPOCHS if end == "finished" else 1
    loss = level * rng.lognormal(0, 0.1, (epochs, 3))
    accuracy = np.clip(0.9 - 0.05 * loss + rng.normal(0, 0.01, (epochs, 3)), 0, 1)
    found = {"val_loss": loss, "train_loss": 0.5 * loss, "val_accuracy": accuracy, "train_accuracy": accuracy}
    scores = right(int(rng.integers(1000)), [0.7] * 3, 20) if end == "finished" and count < 50 else None
    return Ended({name: rows.tolist() for name, rows in found.items()}, scores, end)
