"""The runs that tests of tables share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from records import Ended, constant, record

from tune_app.data.identity import DataIdentity
from tune_app.report import TableOptions, tables
from tune_app.report.render import save
from tune_app.results import Frames, verdict

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

FIVE = {
    1: constant(test=[0.8275, 0.83, 0.8325]),
    2: constant(test=[0.69, 0.70, 0.71]),
    3: constant(test=[0.77, 0.7675, 0.775]),
    4: constant(test=[0.75, 0.7475, 0.7525]),
    5: constant(end="stopped", epochs=9, val=[0.71, 0.72, 0.73]),
}

ONE = "task: pneumonia\nconfigs: [{lr: 3e-6, step_size: 4}]\nseeds: 1\nepochs: 2\n"

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


def make(
    folder: Path,
    text: str,
    ended: Mapping[int, Ended],
    data: DataIdentity = XRAYS,
    settings: Mapping[str, object] | None = DEFAULTS,
    name: str = "table3",
) -> Frames:
    """A run of the space in ``text`` whose samples ended so; the others are planned."""
    return record(folder / "runs", text, ended, data, name=None, space_name=name, settings=settings)


def write_tables(frames: Frames, folder: Path, view: TableOptions | None = None) -> list[Path]:
    """The tables of a report alone, without its figures and page, which take longer."""
    made = tables(frames, verdict.judge(frames), view)
    return [file for table in made for file in save(table, folder)]


def written(files: list[Path]) -> dict[str, str]:
    """The text of each file, by its name."""
    return {path.name: path.read_text(encoding="utf-8") for path in files}
