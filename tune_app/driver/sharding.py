"""Slots that would stay empty get a share of the replicates: a configuration is split into several trials.

A replicate has the same results wherever it is trained, and the record puts the parts together again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tune_app import stopping
from tune_app.space import SearchSpace
from tune_app.sweep.trial_spec import TrialSpec


def parts(space: SearchSpace) -> int:
    """Into how many trials a configuration may be split at most.

    One where early stopping or a sampler uses the mean of all replicates while they train, and where they
    are stacked, since the size of a stack is part of the numerics.
    """
    whole = (
        stopping.make_stopper(space).rule
        or space.search.algorithm == "optuna"
        or space.replicates == "stacked"
    )
    return 1 if whole else space.seeds


def shard(specs: Sequence[TrialSpec], slots: int) -> list[TrialSpec]:
    """Split the last trials, which do not fill all slots, into parts; the others stay whole.

    The parts are as small as possible with no more parts than slots, so that the slots end at about the same
    time. Of J trials, the first ``J - J mod slots`` stay whole.
    """
    whole = len(specs) - len(specs) % max(slots, 1)
    rest = specs[whole:]
    if not rest:
        return list(specs)
    longest = max(len(spec.replicates) for spec in rest)
    most = next(most for most in range(1, longest + 1) if _parts(rest, most) <= slots or most == longest)
    return [*specs[:whole], *(part for spec in rest for part in _cut(spec, most))]


def _parts(specs: Sequence[TrialSpec], most: int) -> int:
    return sum(math.ceil(len(spec.replicates) / most) for spec in specs)


def _cut(spec: TrialSpec, most: int) -> list[TrialSpec]:
    """A trial in parts of about equal size, of ``most`` replicates at most."""
    count = math.ceil(len(spec.replicates) / most)
    bounds = [len(spec.replicates) * part // count for part in range(count + 1)]
    return [spec.only(spec.replicates[low:high]) for low, high in pairwise(bounds)]
