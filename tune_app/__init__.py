"""Hyperparameter sweeps for PyTorch on Ray Tune, from a search-space file to a table in a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_app.version import __version__ as __version__

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.space import SearchSpace


def open(run: str | Path) -> Frames:
    """The results of a run folder as DataFrames: ``.trials``, ``.seeds``, ``.curves``.

    Raises:
        RunError: no such run, or a damaged one.
    """
    from tune_app import results
    from tune_app.sweep import Sweep

    return results.load(Sweep.open(run))


def run(
    space: str | Path | Mapping[str, Any] | SearchSpace,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    runs_dir: str | Path = "runs",
    image_size: int | None = None,
    split: str = "image",
    address: str = "local",
    time_limit_s: float | None = None,
    show: bool = True,
    **changes: Any,
) -> Frames:
    """What ``tune-app run`` does, from Python; returns the results, as ``tune_app.open`` does.

    It leaves this process as it was: random generators, torch's settings, working directory, environment,
    signal handlers, warnings, loggers.

    Args:
        space: the name or path of a search space, its content as a mapping, or one that is loaded.
        data: ``phantom``, ``course`` or a folder; for a task that brings its own, None.
        name: of the run, an existing one of the same space and data is gone on with; else numbered.
        address: ``local``, ``auto``, a cluster's, or ``inline`` to train in this process without Ray.
        show: print how it goes, live where standard output is a terminal.
        changes: keys of the space to change, as in ``seeds=3, epochs=10, stop={"scheduler": "asha"}``.

    Raises:
        TuneAppError: as the command line would say it: a mistake in what was asked, a trial that failed
            (``TrialsFailed``, after everything else has ended), a signal (``Interrupted``).
    """
    from tune_app.tasks import isolation, task_folder

    with isolation.preserved():
        task_folder.keep_off_path(Path.cwd())
        return _run(
            space,
            changes,
            show,
            data=None if data is None else str(data),
            image_size=image_size,
            split=split,
            name=name,
            runs_dir=Path(runs_dir),
            address=address,
            time_limit_s=time_limit_s,
        )


def _run(
    space: str | Path | Mapping[str, Any] | SearchSpace, changes: Mapping[str, Any], show: bool, **asked: Any
) -> Frames:
    from tune_app import progress, report, results
    from tune_app import space as spaces
    from tune_app.session import launch

    if isinstance(space, str | Path):
        space = spaces.load(space)
    elif isinstance(space, Mapping):
        space = spaces.build(space)
    if changes:
        space = spaces.changed(space, changes, "changed")
    request = launch.Request(space=space, argv=["tune_app.run"], **asked)
    material = launch.gather(request)
    try:
        sweep = launch.train(request, material, progress.watch if show else None)
        frames = results.load(sweep)
        with sweep.rewriting():
            refused = report.write_all(frames)
        if refused:
            raise refused
    finally:
        launch.left(request)
    return frames
