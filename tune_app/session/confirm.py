"""Confirming a run: train its best configurations, as a new run, on seeds that it has not seen."""

from __future__ import annotations

from dataclasses import replace

from tune_app import space as spaces
from tune_app.errors import RunError
from tune_app.session import recorded_points
from tune_app.session.request import Request
from tune_app.sweep import Sweep
from tune_app.sweep.events import Created
from tune_app.sweep.paths import RunPaths, find_runs
from tune_app.sweep.record import read


def confirmation(request: Request, sweep: Sweep, top: int, seeds: int) -> Request:
    """The request for a new run of the ``top`` best distinct configurations, each on ``seeds`` new seeds.

    Replicate numbers start after those of the run and of all earlier confirmations of it.

    Raises:
        RunError: no configuration has finished; or an earlier confirmation cannot be read, so that its seeds
            are unknown.
    """
    from tune_app import results  # loads pandas and scipy

    ranked = results.ranked(results.load(sweep))
    best = ranked[ranked["twin"].isna()].head(top)  # a point that was drawn twice is confirmed once
    if best.empty:
        raise RunError(f"{sweep.name}: no configuration has finished, so there is none to confirm.")
    earlier = _confirmations(sweep)
    points = [sweep.history.configurations[sample].config for sample in best["sample"]]
    keys = recorded_points.keys(sweep.space, points, sweep.space.epochs) | {
        "seeds": seeds,
        "first_replicate": max(other.space.replicate_numbers.stop for other in (sweep, *earlier)),
        "description": f"The best {len(points)} of {sweep.name}, on new seeds.",
    }
    name = f"{sweep.name}-confirm" + (f"-{len(earlier) + 1}" if earlier else "")
    space = spaces.changed(sweep.space, keys, "to confirm", recorded=True)
    return replace(request, space=space, name=name, confirms=sweep.name)


def _confirmations(sweep: Sweep) -> list[Sweep]:
    """The runs in the same folder that confirm this one. Other runs there may be damaged."""
    found = []
    for folder in find_runs(sweep.paths.folder.parent):
        try:
            header = next((event for _, event in read(RunPaths(folder).record)), None)
            confirms = header.confirms if isinstance(header, Created) else None
        except RunError:
            confirms = sweep.name if folder.name.startswith(f"{sweep.name}-confirm") else None
        if confirms == sweep.name:
            found.append(Sweep.open(folder))
    return found
