"""The searcher of a session: the Optuna sampler, brought up to date with the record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tune_app import progress, space
from tune_app.driver.trial_queue import Searcher
from tune_app.sweep import Sweep
from tune_app.sweep.record import read


@contextmanager
def open_search(sweep: Sweep) -> Iterator[Searcher | None]:
    """Yields the searcher of a sweep; None where all points are known in advance."""
    if sweep.space.search.algorithm != "optuna":
        yield None
        return
    from tune_app.search.searcher import OptunaSearch

    # The sampler must see the space as it was before any extension, or it would suggest other points.
    first = space.parse(sweep.header.yaml, file=str(sweep.paths.space), name=sweep.space.name, recorded=True)
    searcher = OptunaSearch(first, sweep.paths.study, sweep.name, progress.note)
    resumed = any(configuration.attempts for configuration in sweep.history.configurations.values())
    with progress.waiting("replaying the search") if resumed else nullcontext():
        searcher.catch_up(event for _, event in read(sweep.paths.record))
    if searcher.departs_at is not None:
        progress.note(
            f"from sample {searcher.departs_at} on, the sampler now suggests other points than "
            "before: Optuna or this machine has changed since the run began. The recorded points are kept."
        )
    try:
        yield searcher
    finally:
        searcher.close()
