"""Runs made by hand: what a sweep would have recorded, without training anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_app import results, space
from tune_app.data.identity import DataIdentity
from tune_app.report import View, tables
from tune_app.report.render import save
from tune_app.results import Frames, verdict
from tune_app.sweep import Sweep
from tune_app.sweep.events import Diverged, Epoch, Failed, Finished, Opened, Started, Stopped, Values

SHA = "9c1f0a" + "0" * 58
XRAYS = DataIdentity(
    source="chest_xray_256",
    kind="folder",
    fingerprint=SHA,
    image_size=256,
    split="image",
    counts={"train": 1800, "val": 200, "test": 400},
    notes=("34 of 200 validation images show a patient who is in the training images too.",),
)
PHANTOM = DataIdentity("phantom", "phantom", SHA, 64, "image", {"train": 1800, "val": 200, "test": 400})

SAMPLES = """
task: pneumonia
configs:
  - {lr: 3e-6, step_size: 4}
  - {lr: 3e-5, step_size: 4}
  - {lr: 3e-7, step_size: 4}
  - {lr: 3e-6, step_size: 8}
  - {lr: 3e-6, step_size: 2}
fixed: {gamma: 0.4, batch_size: 128, loss: bce}
epochs: 30
seeds: 3
"""

#: What the pneumonia task leaves at its defaults in these spaces.
DEFAULTS = {
    "test_batch_size": 32,
    "optimizer": "adam",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "hidden_layers": 3,
    "nodes": 64,
    "dropout": 0.0,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one configuration: its epochs, each with the same metrics, and its end."""

    test: Sequence[float] = ()
    val: Sequence[float] = ()
    end: str = "finished"
    epochs: int = 30
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)


def make(
    folder: Path,
    text: str,
    outcomes: Mapping[int, Outcome],
    data: DataIdentity = XRAYS,
    settings: Mapping[str, object] | None = DEFAULTS,
    name: str = "table3",
) -> Frames:
    """A run of the space in ``text`` whose samples ended as ``outcomes`` says; the others are planned."""
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    sweep = Sweep.create(space.load(file), data, folder / "runs")
    with sweep.writing():
        if settings is not None:
            sweep.note(Opened(provenance={"settings": dict(settings)}))
        for sample, outcome in outcomes.items():
            _record(sweep, sample, outcome)
        return results.load(sweep)


def _record(sweep: Sweep, sample: int, outcome: Outcome) -> None:
    trial, seeds = f"{sample}.1", sweep.space.seeds
    replicates = list(range(seeds))
    target = sweep.space.epochs
    sweep.note(
        Started(trial=trial, sample=sample, replicates=replicates, epoch=0, target=target, node="here")
    )
    val = [*outcome.val] or [*outcome.test] or [0.5] * seeds
    metrics: Values = {"val_accuracy": [*val], **{k: [*v] for k, v in outcome.metrics.items()}}
    for epoch in range(1, outcome.epochs + 1):
        sweep.note(Epoch(trial=trial, epoch=epoch, metrics=metrics, durations_s=[0.5] * seeds, device="cpu"))
    end: dict[str, Any] = {"trial": trial, "epoch": outcome.epochs, "evaluated": [outcome.epochs] * seeds}
    match outcome.end:
        case "finished":
            test: Values = {"test_accuracy": [*outcome.test]} if outcome.test else {}
            sweep.note(Finished(**end, test=test, scores=None))
        case "stopped":
            sweep.note(Stopped(trial=trial, reason="asked to"))
        case "failed":
            sweep.note(Failed(trial=trial, reason="RuntimeError: boom", log=""))
        case "diverged":
            sweep.note(Diverged(trial=trial, epoch=outcome.epochs, replicates=[0]))
            sweep.note(Finished(**end, test={}, scores=None))
        case "interrupted":
            sweep.note(Opened(provenance={}))
        case other:
            assert other == "running", other


def write_tables(frames: Frames, folder: Path, view: View | None = None) -> list[Path]:
    """The tables of a report alone, without its figures and page, which take longer."""
    made = tables.make(frames, verdict.judge(frames), view)
    return [file for table in made for file in save(table, folder)]
