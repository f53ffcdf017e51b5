"""Builds the specs of trials for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from tune_app.space import Config
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import SweepSettings, TrialFiles, TrialSpec

_SETTINGS = SweepSettings(
    task="pneumonia",
    seed=0,
    epochs=3,
    metrics=(("val_accuracy", 1),),
    evaluate="last",
    stop_metric=("val_accuracy", 1),
    patience=None,
    min_delta=0.0,
    grace_period=1,
    numerics=Numerics(),
    keep="best",
    checkpoint_every_s=30.0,
)


def make_spec(config: Config, replicates: Sequence[int] = (0,), **changes: Any) -> TrialSpec:
    """A spec with these replicates and changes, up to the last epoch."""
    spec = TrialSpec(1, config, tuple(replicates), 0, _SETTINGS)
    return change(spec, **{"target": changes.get("epochs", _SETTINGS.epochs), **changes})


def change(spec: TrialSpec, **changes: Any) -> TrialSpec:
    """A spec with other values for these fields: its own, those of its settings, or those of its files.

    ``keep_best`` is the metric, with its sign, whose best epoch is evaluated; None evaluates the last.
    """
    if keep_best := changes.pop("keep_best", None):
        changes |= {"metrics": (keep_best,), "evaluate": "best"}
    settings, files = (_taken(changes, part) for part in (SweepSettings, TrialFiles))
    return replace(
        spec, settings=replace(spec.settings, **settings), files=replace(spec.files, **files), **changes
    )


def _taken(changes: dict[str, Any], part: type) -> Mapping[str, Any]:
    names = {field.name for field in fields(part)} & changes.keys()
    return {name: changes.pop(name) for name in names}
