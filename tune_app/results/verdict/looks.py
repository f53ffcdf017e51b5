"""The looks of a run: its verdicts between which seeds were added, as its record has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tune_app import space as spaces
from tune_app.stats.looks import Look, planned_share, unplanned_share
from tune_app.sweep import Sweep
from tune_app.sweep.events import Batch
from tune_app.sweep.history import Settling


def taken(sweep: Sweep) -> tuple[Look, ...]:
    """All looks of a run, each at the most replicates that a configuration had then.

    The first is at the seeds that it began with, two or more: one seed gives no verdict. Each extension that
    adds seeds is one more, and so is each batch of a settling that is trained. More epochs or configurations
    are no look: a configuration that came later counts at all looks, as if it had been there.
    """
    return _unplanned(_series(sweep)[0])


def of_the_set(sweep: Sweep) -> tuple[Look, ...]:
    """The looks that decide which configurations may be the best: all of them, without a settling.

    The looks of a settling, at its start and after each batch, are planned, and replace those before them.
    """
    every, planned = _series(sweep)
    return tuple(planned) or _unplanned(every)


def next_share(sweep: Sweep) -> float:
    """What the verdict spends for a pair that follows an extension by seeds."""
    return unplanned_share(len(_series(sweep)[0]) + 1)


def _unplanned(every: Sequence[int]) -> tuple[Look, ...]:
    return tuple(Look(count, unplanned_share(number)) for number, count in enumerate(every, 1))


def _series(sweep: Sweep) -> tuple[list[int], list[Look]]:
    """The replicates at each look; and the looks from the last settling on, which has planned its own."""
    history, every, planned, number = sweep.history, list[int](), list[Look](), 1
    texts = [sweep.header.yaml, *(each.space for each in history.extensions)]
    absorbed = [0, *(each.absorbs for each in history.extensions)]
    until = [*(each.settlings for each in history.before_extensions), len(history.settlings)]
    added, settled, before = Counter[int](), 0, 0
    for text, absorbs, more in zip(texts, absorbed, until, strict=True):
        space = spaces.parse(text, file=str(sweep.paths.space), name=sweep.space.name, recorded=True)
        added = Counter({sample: max(0, seeds - absorbs) for sample, seeds in added.items()})
        if space.seeds > max(before, 1):
            every.append(space.seeds + max(added.values(), default=0))
            if planned:
                number += 1
                planned.append(Look(every[-1], unplanned_share(number)))
        before = space.seeds
        for settling in history.settlings[settled:more]:
            for each in settling.batches:
                added.update(dict(zip(each.samples, each.seeds, strict=True)))
            if batches := _trained(sweep, settling):
                after = [each.after for each in batches]
                every += after
                share = planned_share(batches[0].looks)
                planned = [Look(count, share) for count in (batches[0].before, *after)]
                number = 1
        settled = more
    return every, planned


def left_before(sweep: Sweep) -> set[int]:
    """The samples that an earlier settling than the last left behind: those looks are no longer counted."""
    batches = [found[-1] for each in sweep.history.settlings if (found := _trained(sweep, each))]
    return {sample for batch in batches for sample in batch.among} - {*(batches[-1].among if batches else ())}


def _trained(sweep: Sweep, settling: Settling) -> list[Batch]:
    """The batches of a settling, but for one that is being trained."""
    whole = settling.ended or sweep.history.batch_is_trained(sweep.space)
    return settling.batches if whole else settling.batches[:-1]
