"""The looks of a run: its verdicts between which seeds were added, as its record has them."""

from __future__ import annotations

from collections import Counter

from tune_app import space as spaces
from tune_app.stats.looks import Look, unplanned_share
from tune_app.sweep import Sweep


def taken(sweep: Sweep) -> tuple[Look, ...]:
    """The looks of a run, each at the most replicates that a configuration had then.

    The first is at the seeds that it began with, two or more: one seed gives no verdict. Each extension that
    adds seeds is one more. More epochs or configurations are no look: a configuration that
    came later counts at all looks, as if it had been there.
    """
    history, looks, number = sweep.history, list[Look](), 0
    texts = [sweep.header.yaml, *(each.space for each in history.extensions)]
    absorbed = [0, *(each.absorbs for each in history.extensions)]
    until = [*(each.settlings for each in history.before_extensions), len(history.settlings)]
    added, settled, before = Counter[int](), 0, 0
    for text, absorbs, more in zip(texts, absorbed, until, strict=True):
        space = spaces.parse(text, file=str(sweep.paths.space), name=sweep.space.name, recorded=True)
        added = Counter({sample: max(0, seeds - absorbs) for sample, seeds in added.items()})
        if space.seeds > max(before, 1):
            number += 1
            most = space.seeds + max(added.values(), default=0)
            looks.append(Look(most, unplanned_share(number)))
        before = space.seeds
        for settling in history.settlings[settled:more]:
            for each in settling.batches:
                added.update(dict(zip(each.samples, each.seeds, strict=True)))
        settled = more
    return tuple(looks)
