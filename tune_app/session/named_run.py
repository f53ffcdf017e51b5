"""The run that ``--name`` names: it is resumed if it is the same sweep, and refused if it is another."""

from __future__ import annotations

from tune_app import progress, space, storage
from tune_app.errors import RunError
from tune_app.session import finished
from tune_app.session.loading import LoadedTask
from tune_app.session.request import Request
from tune_app.sweep import Sweep
from tune_app.sweep.paths import is_run

#: Keys of a space that a later session may change: they say how to train and what to save, not what to try.
_CHANGEABLE = ("resources", "checkpoint_every", "keep", "max_failures")


def find(request: Request, loaded: LoadedTask) -> Sweep | None:
    """The run of the requested name; one that is only on the storage is fetched. None if there is none.

    Raises:
        RunError: its space or its data differ from the requested ones.
    """
    if request.name is None:
        return None
    if not is_run(request.runs_dir / request.name):
        if request.name not in storage.runs(request.storage):
            return None
        storage.fetch(str(request.storage), request.name, request.runs_dir, progress.note)
    sweep = Sweep.open(request.runs_dir / request.name)
    differences = _differences(sweep, request)
    if not sweep.data.same(loaded.identity):
        differences.append(f"data: {sweep.data.label()} recorded, {loaded.identity.label()} asked")
    if differences:
        raise RunError(
            f"--name {request.name}: a run of this name exists, and it is another sweep:\n  "
            + "\n  ".join(differences)
            + f"\n  To add to that run: tune-app extend {request.name}. To start a new one: give another "
            "--name, or leave it out."
        )
    return sweep


def find_finished(request: Request) -> Sweep | None:
    """The run of the requested name if the request is the same and all is trained: no data need be loaded."""
    if request.name is None or request.storage:
        return None
    folder = request.runs_dir / request.name
    if not is_run(folder):
        return None
    sweep = Sweep.open(folder)
    same = sweep.header.source == request.source and not _differences(sweep, request)
    return sweep if same and finished.lacks_nothing(sweep, None) else None


def _differences(sweep: Sweep, request: Request) -> list[str]:
    asked = request.space.model_copy(update={key: getattr(sweep.space, key) for key in _CHANGEABLE})
    return space.difference(sweep.space, asked)
