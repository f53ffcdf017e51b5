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
    """Run a sweep, as ``tune-app run`` does; returns its results, as ``tune_app.open`` does.

    This process stays as it was: random generators, torch's settings, working directory, environment, signal
    handlers, warnings and loggers.

    Args:
        space: a search space: its name, its path, its content as a mapping, or a loaded one.
        data: ``phantom``, ``course`` or a folder; None for a task that brings its own data.
        name: run name. If a run of that name exists, with the same space and data, it is resumed. Without a
            name a new numbered run is made.
        runs_dir: folder that holds the runs.
        image_size: width and height in pixels.
        split: how validation images are drawn: by ``image`` or by ``patient``.
        address: ``local``, ``auto``, the address of a cluster, or ``inline`` to train in this process
            without Ray.
        time_limit_s: seconds after which the session ends; the run can be resumed.
        show: whether to print progress; a terminal shows it as a live table.
        changes: keys of the space to change, as in ``seeds=3, epochs=10, stop={"scheduler": "asha"}``.

    Raises:
        TuneAppError: what was asked for is wrong.
        TrialsFailed: trials failed; everything else has ended.
        Interrupted: a signal ended the session.
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
    from tune_app.engines.ray import ray_session
    from tune_app.session import lifecycle
    from tune_app.session.request import Request

    if isinstance(space, str | Path):
        space = spaces.load(space)
    elif isinstance(space, Mapping):
        space = spaces.build(space)
    if changes:
        space = spaces.changed(space, changes, "changed")
    request = Request(space=space, argv=["tune_app.run"], **asked)
    loaded = request.load()
    try:
        sweep = lifecycle.run(request, loaded).train(progress.Watch if show else None)
        frames = results.load(sweep)
        with sweep.rewriting():
            refused = report.write_results(frames)
            with report.explain_disk_errors(sweep.name):
                report.write(frames, sweep.paths.report)
        if refused:
            raise refused
    finally:
        ray_session.wait_until_gone()
    return frames
