"""What was asked for: a new run, or another session of a run that exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_app import space as spaces
from tune_app import storage
from tune_app.engines.choice import EngineRequest
from tune_app.errors import DataError, RunError
from tune_app.space import SearchSpace
from tune_app.sweep import Sweep, trust
from tune_app.sweep.events import Source
from tune_app.tasks import task


@dataclass(frozen=True)
class Request:
    """What to train, on which data and where. The space is validated; the rest is as the user gave it."""

    space: SearchSpace
    #: ``phantom``, ``course`` or a folder; None for a task that brings its own data.
    data: str | None = None
    image_size: int | None = None
    split: str = "image"
    #: Whether to take all images of an image folder instead of a drawn subset.
    everything: bool = False
    name: str | None = None
    runs_dir: Path = Path("runs")
    address: str = "local"
    argv: Sequence[str] = ()
    time_limit_s: float | None = None
    #: The name of the run whose best configurations this one confirms.
    confirms: str | None = None
    #: Where the run is mirrored, as `storage.normalized` returns it; None for nowhere.
    storage: str | None = None
    wait_for_gpus: int = 0
    wait_s: float = 1800.0

    @property
    def source(self) -> Source:
        """Where the data is, such that a later session finds it from any working directory."""
        exists = self.data is not None and Path(self.data).exists()
        path = str(Path(str(self.data)).resolve()) if exists else None
        return Source(self.data, path, self.image_size, self.split, self.everything)

    @property
    def engine(self) -> EngineRequest:
        """The part of the request that an engine reads."""
        modules = None if self.space.task in task.BUILTIN else Path.cwd()
        return EngineRequest(self.address, self.space.resources, modules, self.wait_for_gpus, self.wait_s)

    @property
    def on_this_machine(self) -> bool:
        """Whether every trial runs on this machine."""
        return self.address in ("inline", "local")


def request_for(sweep: Sweep, **options: Any) -> Request:
    """The request for another session of a run: its recorded space, and its data from where that was found.

    Args:
        sweep: the run.
        options: fields of Request, and three more. ``data`` names the place to which the same data has moved;
            ``resources`` replaces keys of the space's resources, None keeping a key as it is; ``trust`` says
            that the code, data and storage which the run names may be used though the run may come from a
            stranger. Without ``storage`` the recorded one is used.

    Raises:
        TrustError: the run names code, data or a storage that this user has not named for it.
        DataError: the data is no longer where it was.
    """
    new_data, new_storage = options.pop("data", None), options.pop("storage", None)
    source, recorded = sweep.header.source, sweep.history.session.storage
    if source is None:
        raise RunError(f"{sweep.paths.record}: does not say where the data is, so the run cannot be resumed.")
    names = trust.named(
        sweep.space,
        source if new_data is None else None,
        recorded if new_storage is None else None,
    )
    trust.require(sweep.paths.folder, sweep.identity, names, options.pop("trust", False))
    path, data = source.path, source.data
    if new_data is not None:
        data = new_data
    elif data is not None and path is not None and not Path(data).exists():
        data = path
    if path is not None and data == path and not Path(path).exists():
        raise DataError(
            f"{path}: the data of {sweep.name} is no longer there. Say where it is now with --data."
        )
    changed = {
        key: value for key, value in (options.pop("resources", None) or {}).items() if value is not None
    }
    resources = spaces.Resources.model_validate(sweep.space.resources.model_dump() | changed)
    place = new_storage or recorded
    return Request(
        sweep.space.model_copy(update={"resources": resources}),
        data,
        source.image_size,
        source.split,
        source.everything,
        name=sweep.name,
        runs_dir=sweep.paths.folder.parent,
        storage=None if place == storage.NONE else place,
        **options,
    )
