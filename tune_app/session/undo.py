"""Undoing an extension: what it added and nobody has trained is no longer wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tune_app import progress, search, storage
from tune_app import space as spaces
from tune_app.errors import RunError
from tune_app.space import SearchSpace
from tune_app.sweep import Sweep, trust
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.events import Settled, Undone
from tune_app.sweep.history import BeforeExtension


def undo(sweep: Sweep, trusted: bool = False) -> str:
    """Undo the last extension of a run; returns how that extension was asked for.

    Seeds, samples, points and epochs that no recorded epoch has used are removed. Points that were added
    together stay or go together, and so does the new number of epochs.

    Raises:
        TrustError: the storage may be a stranger's, and is not ``trusted``.
        RunError: the run was never extended, all that was added has been trained at least in part, or another
            process is writing the run.
    """
    names = trust.of_storage(sweep.history.session.storage)
    trust.require(sweep.paths.folder, sweep.identity, names, trusted)
    with (
        storage.mirrored(sweep.history.session.storage, sweep.opened, progress.note) as mirror,
        sweep.writing(mirror),
    ):
        asked = _undo(sweep)
        sweep.restore_views(progress.note)
    search.restore_study(sweep, progress.note)
    return asked


def _undo(sweep: Sweep) -> str:
    history = sweep.history
    if history.settling:
        if history.batch_is_trained(sweep.space):
            raise RunError(
                f"{sweep.name}: its last seeds are trained. To look at them: tune-app resume {sweep.name}"
            )
        sweep.note(Settled(why="undone"), durable=True)
        return "settle"
    if not history.extensions:
        raise RunError(f"{sweep.name} was never extended, so there is nothing to undo.")
    asked, before = history.extensions[-1].asked, history.before_extensions[-1]
    if len(history.settlings) > before.settlings:
        raise RunError(
            f"{sweep.name}: {asked} cannot be undone: it was trained before settle added more seeds."
        )
    texts = [sweep.header.yaml, *(each.space for each in history.extensions)]
    earlier = spaces.parse(texts[-2], file=str(sweep.paths.space), name=sweep.space.name, recorded=True)
    since = [a for a in history.attempts.values() if a.trial not in before.attempts]
    trained = [a for a in since if _gained(a, sweep, earlier, before)]
    kept, keeps = _kept(sweep, earlier, before, trained)
    narrower = spaces.changed(earlier, kept, "undone", recorded=True) if kept else earlier
    rests = set(history.extensions[-1].revives) - {attempt.sample for attempt in trained}
    if narrower == sweep.space and not rests:
        raise RunError(
            f"{sweep.name}: {asked} cannot be undone: everything that it added has been trained, at least in "
            "part. To train no more of it, do not resume the run."
        )
    absorbs = narrower.seeds - earlier.seeds if history.extensions[-1].absorbs else 0
    trials = [
        attempt.trial
        for attempt in since
        if attempt not in trained
        and (
            attempt.sample > keeps
            or attempt.sample in rests
            or attempt.target > narrower.epochs
            or max(attempt.replicates) not in _before(attempt, sweep, before, absorbs).replicates(narrower)
        )
    ]
    text = narrower.dump() if kept else texts[-2]
    undone = Undone(space=text, keeps=keeps, trials=trials, absorbs=absorbs, rests=sorted(rests))
    sweep.note(undone, durable=True)
    sweep.want(narrower)
    return asked


def _gained(attempt: Attempt, sweep: Sweep, earlier: SearchSpace, before: BeforeExtension) -> bool:
    """Whether a trial of the extension trained an epoch that no earlier trial had trained."""
    then = _before(attempt, sweep, before)
    new = (
        attempt.sample > before.configurations
        or max(attempt.replicates) not in then.replicates(earlier)
        or attempt.epoch > earlier.epochs
    )
    return bool(attempt.epochs) and (new or any(then.lacks(r, earlier.epochs) for r in attempt.replicates))


def _before(attempt: Attempt, sweep: Sweep, before: BeforeExtension, absorbs: int = 0) -> Configuration:
    """The configuration of a trial as it was before the extension."""
    now = sweep.history.configurations[attempt.sample]
    attempts = [each for each in now.attempts if each.trial in before.attempts]
    return replace(now, attempts=attempts, added=max(0, before.added.get(now.sample, 0) - absorbs))


def _kept(
    sweep: Sweep, earlier: SearchSpace, before: BeforeExtension, trained: list[Attempt]
) -> tuple[dict[str, Any], int]:
    """The keys that must keep their extended value, and how many configurations stay."""
    now, there = sweep.space, list(sweep.history.configurations.values())
    from_start = sweep.history.extensions[-1].from_start
    kept: dict[str, Any] = {}
    if any(from_start or attempt.epoch > earlier.epochs for attempt in trained):
        kept["epochs"] = now.epochs
    absolute = bool(sweep.history.extensions[-1].absorbs)
    own = [0 if absolute else _before(each, sweep, before).added for each in trained]
    seeds = [1 + max(each.replicates) - now.first_replicate for each in trained]
    if (
        most := max((count - more for count, more in zip(seeds, own, strict=True)), default=0)
    ) > earlier.seeds:
        kept["seeds"] = most
    added = there[before.configurations :]
    samples_trained = {attempt.sample for attempt in trained}
    last = max((at for at, each in enumerate(added, 1) if each.sample in samples_trained), default=0)
    if _points(now) == _points(earlier):
        samples, keeps = _samples(now, earlier, there, added, last)
        if samples > (earlier.search.samples or 0):
            kept["search"] = now.search.model_dump(exclude_none=True) | {"samples": samples}
        return kept, before.configurations + keeps
    if last:
        plain = now.plain()
        return kept | {key: plain[key] for key in ("space", "configs", "search") if key in plain}, len(there)
    return kept, before.configurations


def _points(space: SearchSpace) -> tuple[object, ...]:
    return space.space, space.configs, space.fixed


def _samples(
    now: SearchSpace, earlier: SearchSpace, there: list[Configuration], added: list[Configuration], last: int
) -> tuple[int, int]:
    """How many samples are still wanted, and how many added configurations, up to ``last``, stay."""
    had, wants = earlier.search.samples or 0, now.search.samples or 0
    if now.search.algorithm == "optuna":
        asked = sum(each.asked for each in there)
        samples = max(had, asked - (len(added) - last) if last else 0)
        return samples, len(added) - max(0, asked - samples)
    if wants == had:
        return had, len(added)
    each = len(added) // (wants - had)  # points of one draw: several where a grid is part of it
    draws = -(-last // each) if each else 0
    return had + draws, draws * each
