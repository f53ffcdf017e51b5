"""The labels of a parameter's axis in Optuna's figures: its own values, ``null`` and absence among them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from matplotlib.axis import Axis, XAxis
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tune_app.report.figures import optuna_input, selection, style
from tune_app.stats.units import NOTHING

if TYPE_CHECKING:
    from tune_app.results import Frames

#: A parameter's own values are the labels of its axis where there are no more than these.
_FEW_VALUES = 6

#: What Optuna writes where a parameter does not exist.
_ABSENT = "None"


def label(axis: Axis, frames: Frames, name: str) -> None:
    """Label the axis of a parameter with its own values where they are few, else with short numbers."""
    spread = optuna_input.distribution(frames, name)
    drawn = [text.get_text() for text in axis.get_majorticklabels()]
    absent = _ABSENT in drawn
    if isinstance(spread, CategoricalDistribution):
        spelled = _spelled(frames, name)
        texts = [spelled.get(text, text) for text in drawn]
        axis.set_ticks(axis.get_ticklocs(), list(map(style.text_of, texts)))
        if isinstance(axis, XAxis) and len("".join(texts)) > 20:
            axis.set_tick_params(rotation=45)
        return
    assert isinstance(spread, IntDistribution | FloatDistribution)
    values = sorted(v for v in optuna_input.parameter_values(frames, name) if isinstance(v, int | float))
    if len(values) <= _FEW_VALUES:
        # beside an absent value, Optuna draws the logarithms themselves
        places = [math.log10(v) if absent and spread.log else float(v) for v in values]
        texts = [frames.labels.value(name, value) for value in values]
        if absent:
            places, texts = [float(axis.get_ticklocs()[0]), *places], [NOTHING, *texts]
        axis.set_ticks(places, texts)
        axis.set_ticks([], minor=True)
    elif absent:
        axis.set_ticks(axis.get_ticklocs(), [NOTHING if text == _ABSENT else text for text in drawn])
    elif spread.log:
        style.log_ticks(axis)


def _spelled(frames: Frames, name: str) -> dict[str, str]:
    """The categories of a parameter as we write them, by each way in which Optuna may write them."""
    found = {_ABSENT: NOTHING}
    texts = selection.values(frames, name, 14)
    for key, text in frames.labels.values(name).items():
        choice = optuna_input.MARK + text
        found |= dict.fromkeys([choice, repr(choice), json.dumps(choice)], texts[key])
    return found
