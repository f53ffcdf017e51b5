"""Which configurations a figure shows, and what it calls them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tune_app import results
from tune_app.report import formats
from tune_app.report.figures import style
from tune_app.space import Value, canonical
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Configurations that a figure shows one by one; of more it shows these many of the best.
MOST = 40

#: The mark and the word of each status of a configuration that was started; see `colour`.
MARKS = {
    Status.FINISHED: ("o", "finished"),
    Status.STOPPED: ("x", "stopped early"),
    Status.FAILED: ("P", "failed"),
    Status.DIVERGED: ("D", "diverged"),
    Status.PAUSED: ("d", "paused"),
    Status.RUNNING: (">", "running"),
    Status.INTERRUPTED: ("s", "interrupted"),
}

_NAME, _LABEL = 18, 64

#: Inches of a line of text, and the least of a row where there are few.
_LINE, _ROW, _FEW = 0.17, 0.3, 20
_NO_BREAK = "\u2060"  # no white space to textwrap, and in no name


@dataclass(frozen=True)
class Selection:
    """Samples in the order that they are shown in, and which of how many they are; no note for all."""

    samples: list[int]
    note: str = ""


def choose(frames: Frames, trials: pd.DataFrame, most: int = MOST) -> Selection:
    """At most ``most`` of these rows of ``trials``: finished ones best first, then those that got furthest.

    Duplicates are left out: their outcome is shown with the configuration that they repeat.
    """
    trials = trials[trials["twin"].isna()]
    best = results.ranked(frames)
    best = best[best["sample"].isin(trials["sample"])]
    others = trials[~trials["sample"].isin(best["sample"])]
    others = others.sort_values("epochs", ascending=False, kind="stable")
    order = [*map(int, best["sample"]), *map(int, others["sample"])]
    if len(order) <= most:
        return Selection(order)
    by = formats.chosen_by(frames)
    then = f"the best by {by}" if len(best) >= most else f"the best by {by}, then those that trained longest"
    return Selection(order[:most], f"{most} of {counted(len(order), 'configuration')}: {then}")


def left_out(frames: Frames, *shown: str) -> str:
    """How many unfinished configurations a figure leaves out, by status; ``shown`` are those that it has."""
    counts = frames.trials["status"].value_counts().drop([Status.FINISHED, *shown], errors="ignore")
    listed = formats.listed([f"{number} {state}" for state, number in counts.items()])
    return f"not shown, because they have not finished: {listed}" if listed else ""


def colour(status: str) -> str:
    """The colour of what has finished, or the grey of the rest."""
    return style.BLUE if status == Status.FINISHED else style.GREY


def metric_label(frames: Frames, name: str = "") -> str:
    """A metric with its unit, for an axis: what configurations are chosen by unless ``name`` is given."""
    return style.legible(formats.chosen_metric(frames, name))


def parameter_values(frames: Frames, name: str) -> dict[str, Value]:
    """The values of a parameter, by their ``canonical`` forms: first the numbers, upwards."""
    configs = [each.config for each in frames.sweep.history.configurations.values()]
    values = [formats.plain(config[name]) for config in configs if name in config]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    others = [v for v in values if not isinstance(v, int | float) or isinstance(v, bool)]
    return {canonical(value): value for value in [*sorted(numbers), *others]}


def labels(frames: Frames, samples: Iterable[int]) -> dict[int, str]:
    """What configurations are called: ``3: lr 3e-6, step_size 4``; where that is too long, the number alone.

    Their numbers are those of the tables' column ``sample``.
    """
    chosen = list(samples)
    for most in (_NAME, _NAME // 2):
        names = shortened(frames.varying, most)
        texts = {name: values(frames, name) for name in names}
        found = {sample: _label(frames, sample, names, texts) for sample in chosen}
        if all(len(text) <= _LABEL for text in found.values()):
            return found
    return {sample: f"sample {sample}" for sample in chosen}


def _label(
    frames: Frames, sample: int, names: Mapping[str, str], texts: Mapping[str, Mapping[str, str]]
) -> str:
    config = frames.config(sample)
    parts = [f"{names[name]} {texts[name][canonical(config[name])]}" for name in names if name in config]
    if not parts:
        return f"sample {sample}" if names else "the only configuration"
    return f"{sample}: {', '.join(parts)}"


def values(frames: Frames, name: str, most: int = _NAME) -> dict[str, str]:
    """The values of a parameter, by their ``canonical`` forms, cut to ``most`` letters and still distinct."""
    texts = frames.labels.values(name)
    cuts = shortened(texts.values(), most)
    return {key: cuts[text] for key, text in texts.items()}


def shortened(names: Iterable[str], most: int = _NAME) -> dict[str, str]:
    """Names cut to ``most`` letters, each still unlike the others.

    >>> shortened(["lr", "probability_of_dropping_a_node_in_the_first_layer"])["lr"]
    'lr'
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        text, number = cut(name, most), 1
        while text in taken:
            number += 1
            text = f"{cut(name, most - 2)}~{number}"
        taken.add(text)
        found[name] = text
    return found


def cut(text: str, most: int = _NAME) -> str:
    """Text without its middle where it has more than ``most`` letters."""
    text = style.legible(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"


def rows(labels: Iterable[str]) -> tuple[list[str], float]:
    """Labels of the rows of a figure, over two lines at most, and the height of a row in inches."""
    names = [wrapped(label, 46, 2) for label in labels]
    height = _LINE * (1 + max(name.count("\n") for name in names))
    return names, max(height, _ROW) if len(names) <= _FEW else height


def wrapped(label: str, width: int, lines: int = 3) -> str:
    """A label over several lines, the last of them cut if need be; it breaks after commas where it can."""
    whole = label.replace(" ", _NO_BREAK).replace(f",{_NO_BREAK}", ", ")
    found = textwrap.wrap(whole, width, max_lines=lines, placeholder=" …")
    return "\n".join(found).replace(_NO_BREAK, " ")
