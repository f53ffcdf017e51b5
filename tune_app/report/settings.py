"""The settings that a run used, line by line beside those of the paper's Table 1."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tune_app.report import formats
from tune_app.report.formats import plain
from tune_app.report.render import Column, Table, identity
from tune_app.space import Value, canonical
from tune_app.space.labels import texts
from tune_app.status import Status
from tune_app.sweep.idle_slots import idle_slots
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Images behind every test accuracy of the paper.
TEST_IMAGES = 400

#: What the task does by itself, whatever the configuration.
_BUILT_IN: dict[str, list[Value]] = {"schedule": ["StepLR"], "activation": ["ReLU"]}
_OUTPUTS = {"bce": "1 for BCE", "ce": "2 for CE"}


def same(a: Value, b: Value) -> bool:
    """Whether two values are one; numbers may differ by what rounding does to a drawn value."""
    numbers = [float(v) for v in (a, b) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == 2:
        return math.isclose(*numbers, rel_tol=1e-9)
    return type(a) is type(b) and a == b


@dataclass(frozen=True)
class Setting:
    """A line of Table 1: its name in a run and for people, and the values of the paper and of a run.

    Where the paper says nothing (``stated`` is False), ``published`` is what saying nothing means. ``values``
    are empty where the run did not record them.
    """

    group: str
    name: str
    title: str
    published: tuple[Value, ...]
    stated: bool = True
    values: Sequence[Value] = ()

    def allows(self, value: Value) -> bool:
        """Whether a run with this value is set as the paper's was."""
        return any(same(value, published) for published in self.published)

    @property
    def mark(self) -> str:
        """``differs`` from the paper, ``swept`` over its value and others, or nothing."""
        allowed = list(map(self.allows, self.values))
        if all(allowed):
            return ""
        return "swept" if any(allowed) else "differs"

    @property
    def used_text(self) -> str:
        """The run's values as text."""
        return formats.setting(self.name, self.values) if self.values else "not recorded"

    @property
    def published_text(self) -> str:
        """The paper's value as text."""
        return formats.setting(self.name, self.published) if self.stated else "not stated"


SETTINGS = (
    Setting("data", "images", "images", ("course",)),
    Setting("data", "train_images", "training images", (1800,)),
    Setting("data", "val_images", "validation images", (200,)),
    Setting("data", "test_images", "test images", (TEST_IMAGES,)),
    Setting("data", "image_size", "image size", (256,)),
    Setting("data", "split", "split", ("image",)),
    Setting("learning", "batch_size", "training batch", (128,)),
    Setting("learning", "test_batch_size", "test batch", (32,)),
    Setting("learning", "epochs", "epochs", (30,)),
    Setting("learning", "evaluate", "evaluated at", ("last",)),
    Setting("learning", "loss", "loss", ("bce", "ce")),
    Setting("learning", "optimizer", "optimiser", ("adam",)),
    Setting("learning", "lr", "learning rate", (3e-6,)),
    Setting("learning", "schedule", "schedule", ("StepLR",)),
    Setting("learning", "step_size", "step size", (4,)),
    Setting("learning", "gamma", "gamma", (0.4,)),
    Setting("layers", "hidden_layers", "hidden layers", (3,)),
    Setting("layers", "nodes", "nodes in each", (64,)),
    Setting("layers", "activation", "activation", ("ReLU",)),
    Setting("layers", "dropout", "dropout", (0,)),
    Setting("layers", "outputs", "outputs", ("1 for BCE", "2 for CE")),
)
_GROUPS = ("data", "learning", "layers")


def of_paper(frames: Frames) -> bool:
    """Whether a run trains what the paper trained, on whatever data."""
    return frames.sweep.space.task == "pneumonia"


def comparable(frames: Frames) -> bool:
    """Whether a run may be set beside the paper's figures: its task, on real X-rays."""
    return of_paper(frames) and frames.sweep.data.kind in ("course", "folder")


def table1(frames: Frames) -> Table:
    """Every setting of the run, laid out as the paper's Table 1 and set beside it where they compare."""
    found = lines(frames)
    first_of = {line.group: line.name for line in reversed(found)}
    compared = comparable(frames)
    slots = idle_slots(frames.sweep.space, frames.sweep.history)
    idle = [slots.line.capitalize()] if slots else []
    columns: list[Column[Setting]] = [
        Column(
            "group",
            lambda line: line.group,
            "",
            lambda line: line.group if line.name == first_of[line.group] else "",
            "l",
        ),
        Column("setting", lambda line: line.name, "setting", lambda line: line.title, "l"),
        Column("value", lambda line: _joined(line.values), "this run", lambda line: line.used_text, "l"),
        Column(
            "published",
            lambda line: _joined(line.published) if compared and line.stated else None,
            "paper" if compared else None,
            lambda line: line.published_text,
            "l",
        ),
        Column("mark", lambda line: line.mark if compared else None, "mark" if compared else None, align="l"),
        *identity(frames),
    ]
    return Table.of("table1", "Table 1: settings", columns, found, [*about(frames), *idle])


def _joined(values: Sequence[Value]) -> str:
    return ", ".join(texts(values))


def lines(frames: Frames, samples: Iterable[int] | None = None) -> list[Setting]:
    """Every setting of some configurations, or of all; those of the paper's Table 1 first, in its order."""
    used = _used(frames, frames.trials["sample"] if samples is None else samples)
    own = {} if of_paper(frames) else dict.fromkeys(frames.parameters)  # what only they can know the sense of
    known = [s for s in SETTINGS if of_paper(frames) or (s.name in used and s.name not in own)]
    others = [
        Setting("learning", name, name if name in own else name.replace("_", " "), (0,), stated=False)
        for name in used
        if all(name != setting.name for setting in known)
    ]
    found = [replace(setting, values=used.get(setting.name, [])) for setting in (*known, *others)]
    return sorted(found, key=lambda line: _GROUPS.index(line.group))


def _used(frames: Frames, samples: Iterable[int]) -> dict[str, list[Value]]:
    space, data = frames.sweep.space, frames.sweep.data
    found: dict[str, list[Value]] = {
        f"{split}_images": [count] for split, count in (data.counts or {}).items()
    }
    if data.kind != "none":
        found |= {"images": [data.kind], "image_size": [data.image_size], "split": [data.split]}
    found |= {"epochs": [space.epochs], "evaluate": [space.evaluate]}
    # the task's defaults that the first configuration used
    recorded = {name: plain(value) for name, value in frames.provenance.get("settings", {}).items()}
    found |= {name: [value] for name, value in recorded.items() if value is not None}
    configs = [frames.config(sample) for sample in samples]
    for name in frames.parameters:
        distinct = {canonical(config[name]): config[name] for config in configs if name in config}
        if distinct:
            found[name] = list(distinct.values())
    if of_paper(frames):
        found |= _BUILT_IN | {"outputs": [_OUTPUTS[str(loss)] for loss in found.get("loss", [])]}
    return found


def count_differences(point: Mapping[str, Value], beside: Collection[str]) -> int:
    """How many parameters differ from the paper's, not counting ``beside``."""
    return sum(
        setting.name in point and setting.name not in beside and not setting.allows(point[setting.name])
        for setting in SETTINGS
    )


def about(frames: Frames, samples: Iterable[int] | None = None, beside: Collection[str] = ()) -> list[str]:
    """The notes below a table of these configurations: run, data, and differences from the paper.

    ``beside`` are settings that the table shows.
    """
    space, data = frames.sweep.space, frames.sweep.data
    seeds = counted(space.seeds, "seed")
    found = [
        f"Run: {frames.sweep.name}, {seeds} for each configuration, evaluated at the {space.evaluate} epoch",
        f"Data: {data.label()}",
        *(f"Note: {note}" for note in data.notes),
    ]
    if unfinished := frames.states(Status.FINISHED):
        all_of_them = counted(len(frames.trials), "configuration")
        found.append(f"Of {all_of_them}, not finished: {', '.join(unfinished)}")
    if space.seeds == 1:
        found.append("One seed shows no spread: an interval takes at least two")
    if comparable(frames):
        differences = [
            f"{line.title} {line.used_text} (paper: {line.published_text})"
            for line in lines(frames, samples)
            if line.mark and line.name not in beside
        ]
        listed = "; ".join(differences) or "in none of the settings it states"
        found.append(f"Differs from the paper: {listed}")
    elif of_paper(frames):
        source = "Phantom images" if data.kind == "phantom" else "Other images than X-ray files"
        found.append(f"{source}: not comparable with the paper")
    return found
