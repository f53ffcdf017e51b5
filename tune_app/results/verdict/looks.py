"""The looks of a run: its verdicts between which seeds were added, as its record has them."""

from __future__ import annotations

from collections import Counter

from tune_app import space as spaces
from tune_app.stats.looks import Look, planned_share, unplanned_share
from tune_app.sweep import Sweep
from tune_app.sweep.events import Batch
from tune_app.sweep.history import Settling


def taken(sweep: Sweep) -> tuple[Look, ...]:
    """The looks of a run, each at the most replicates that a configuration had then.

    The first is at the seeds that it began with, two or more: one seed gives no verdict. Each extension that
    adds seeds is one more. The looks of a settling, at its start and after each batch that is trained, are
    planned, and replace those before them. More epochs or configurations are no look: a configuration that
    came later counts at all looks, as if it had been there.
    """
    return tuple(_series(sweep)[0])


def next_share(sweep: Sweep) -> float:
    """What the verdict spends that follows an extension by seeds."""
    return unplanned_share(_series(sweep)[1] + 1)


def _series(sweep: Sweep) -> tuple[list[Look], int]:
    """The looks, and the number of the last one in the count that decides what the next one spends."""
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
            if batches := _trained(sweep, settling):
                at = [*(each.before for each in batches), batches[-1].after]
                planned = batches[-1].looks
                looks = [Look(n, planned_share(place, planned)) for place, n in enumerate(at, 1)]
                number = 1
        settled = more
    return looks, number


def left_before(sweep: Sweep) -> set[int]:
    """The samples that an earlier settling than the last left behind: those looks are no longer counted."""
    batches = [found[-1] for each in sweep.history.settlings if (found := _trained(sweep, each))]
    return {sample for batch in batches for sample in batch.among} - {*(batches[-1].among if batches else ())}


def _trained(sweep: Sweep, settling: Settling) -> list[Batch]:
    """The batches of a settling, but for one that is being trained."""
    whole = settling.ended or sweep.history.batch_is_trained(sweep.space)
    return settling.batches if whole else settling.batches[:-1]
