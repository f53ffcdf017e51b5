"""The settings that a run used, line by line beside those of the paper."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tune_app.report import formats, paper, rows
from tune_app.space import Scalar, canonical
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: What the task does by itself, whatever the configuration.
_BUILT_IN: dict[str, list[Scalar]] = {"schedule": ["StepLR"], "activation": ["ReLU"]}
_OUTPUTS = {"bce": "1 for BCE", "ce": "2 for CE"}


@dataclass(frozen=True)
class SettingLine:
    """One setting and the values that a run used for it; none where the run did not record it."""

    setting: paper.Setting
    values: list[Scalar]

    @property
    def mark(self) -> str:
        """``differs`` from the paper, ``swept`` over its value and others, or nothing."""
        allowed = [self.setting.allows(value) for value in self.values]
        if all(allowed):
            return ""
        return "swept" if any(allowed) else "differs"

    @property
    def used(self) -> str:
        """The run's values as text."""
        return formats.setting(self.setting.name, self.values) if self.values else "not recorded"

    @property
    def published(self) -> str:
        """The paper's value as text."""
        if not self.setting.stated:
            return "not stated"
        return formats.setting(self.setting.name, self.setting.published)


def of_paper(frames: Frames) -> bool:
    """Whether a run trains what the paper trained, on whatever data."""
    return frames.sweep.space.task == "pneumonia"


def comparable(frames: Frames) -> bool:
    """Whether a run may be set beside the paper's figures: its task, on real X-rays."""
    return of_paper(frames) and frames.sweep.data.kind in ("course", "folder")


def lines(frames: Frames, trials: pd.DataFrame) -> list[SettingLine]:
    """Every setting of these configurations, those of the paper's Table 1 first and in its order."""
    used = _used(frames, trials)
    own = {} if of_paper(frames) else dict.fromkeys(frames.parameters)  # what only they can know the sense of
    known = [s for s in paper.SETTINGS if of_paper(frames) or (s.name in used and s.name not in own)]
    others = [
        paper.Setting("learning", name, name if name in own else name.replace("_", " "), (0,), stated=False)
        for name in used
        if all(name != setting.name for setting in known)
    ]
    found = [SettingLine(setting, used.get(setting.name, [])) for setting in (*known, *others)]
    groups = list(dict.fromkeys(line.setting.group for line in found))
    return sorted(found, key=lambda line: groups.index(line.setting.group))


def differences(frames: Frames, trials: pd.DataFrame, beside: Collection[str] = ()) -> list[str]:
    """The settings that differ from Table 1, except those in ``beside``, which the table shows."""
    return [
        f"{line.setting.title} {line.used} (paper: {line.published})"
        for line in lines(frames, trials)
        if line.mark and line.setting.name not in beside
    ]


def count_differences(point: Mapping[str, Scalar], beside: Collection[str]) -> int:
    """How many parameters differ from the paper's, not counting ``beside``."""
    known = {setting.name: setting for setting in paper.SETTINGS}
    return sum(
        name in known and name not in beside and not known[name].allows(value)
        for name, value in point.items()
    )


def about(frames: Frames, trials: pd.DataFrame, beside: Collection[str] = ()) -> list[str]:
    """The notes below a table of these configurations: run, data, and differences from the paper."""
    return [*_run(frames), *_comparison(frames, trials, beside)]


def _run(frames: Frames) -> Iterator[str]:
    space, data = frames.sweep.space, frames.sweep.data
    seeds = counted(space.seeds, "seed")
    yield f"Run: {frames.sweep.name}, {seeds} a configuration, evaluated at the {space.evaluate} epoch"
    yield f"Data: {data.label()}"
    yield from (f"Note: {note}" for note in data.notes)
    states = frames.trials["status"].value_counts()
    unfinished = [f"{number} {state}" for state, number in states.items() if state != Status.FINISHED]
    if unfinished:
        yield f"Of {counted(int(states.sum()), 'configuration')}, not finished: {', '.join(unfinished)}"
    if space.seeds == 1:
        yield "One seed shows no spread: an interval takes at least two"


def _comparison(frames: Frames, trials: pd.DataFrame, beside: Collection[str]) -> Iterator[str]:
    if not of_paper(frames):
        return
    if not comparable(frames):
        source = "Phantom images" if frames.sweep.data.kind == "phantom" else "Other images than X-ray files"
        yield f"{source}: not comparable with the paper"
        return
    found = differences(frames, trials, beside)
    yield f"Differs from the paper: {'; '.join(found) if found else 'in none of the settings it states'}"


def _used(frames: Frames, trials: pd.DataFrame) -> dict[str, list[Scalar]]:
    space, data = frames.sweep.space, frames.sweep.data
    found: dict[str, list[Scalar]] = {
        f"{split}_images": [number] for split, number in (data.counts or {}).items()
    }
    if data.kind != "none":
        found |= {"images": [data.kind], "image_size": [data.image_size], "split": [data.split]}
    found |= {"epochs": [space.epochs], "evaluate": [space.evaluate]}
    found |= {name: [value] for name, value in _recorded(frames).items()}
    configs = [frames.config(sample) for sample in trials["sample"]]
    for name in frames.parameters:
        distinct = {canonical(config[name]): config[name] for config in configs if name in config}
        if distinct:
            found[name] = list(distinct.values())
    if of_paper(frames):
        losses = found.get("loss", [])
        found |= _BUILT_IN | {"outputs": [_OUTPUTS[str(loss)] for loss in losses]}
    return found


def _recorded(frames: Frames) -> dict[str, Scalar]:
    """The task's defaults that the first configuration used, as recorded."""
    recorded = rows.provenance(frames).get("settings", {})
    plain = {name: formats.plain(value) for name, value in recorded.items()}
    return {name: value for name, value in plain.items() if value is not None}
