"""What is wanted: the points of a space, each with its fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter

from tune_app import space as spaces
from tune_app.data.identity import DataIdentity
from tune_app.space import Config, SearchSpace
from tune_app.sweep.events import Planned
from tune_app.sweep.history import History


def fingerprint(task: str, config: Config, data: DataIdentity) -> str:
    """Identity of a configuration: SHA-256 of the canonical JSON of task, parameters, data and split.

    Never of epochs, seeds, search, stop, metric or resources: those say how much is wanted, not what.
    """
    identity = {"task": task, "config": dict(config), "data": data.fingerprint, "split": data.split}
    return hashlib.sha256(spaces.canonical(identity).encode()).hexdigest()


def plan_of(space: SearchSpace, data: DataIdentity, history: History) -> list[Planned]:
    """An event for every point that a space knows in advance and a record lacks.

    A point that the record has as often as the space wants it is not planned again. One that comes a
    second time trains nothing: its ``duplicate_of`` names the first.
    """
    recorded = [c for c in history.configurations.values() if not c.asked]
    there = Counter(c.fingerprint for c in recorded)
    first = {c.fingerprint: c.sample for c in reversed(history.configurations.values())}
    found: list[Planned] = []
    for config in space.planned():
        identity = fingerprint(space.task, config, data)
        if there[identity]:
            there[identity] -= 1
            continue
        sample = len(history.configurations) + len(found) + 1
        earlier = first.setdefault(identity, sample)
        duplicate_of = earlier if earlier != sample else None
        found.append(
            Planned(sample=sample, fingerprint=identity, config=dict(config), duplicate_of=duplicate_of)
        )
    return found
