"""Whether what a run folder or a model file names may be used: it may come from a stranger.

A run names a task, a sampler, data and a storage; a model names a task. They are imported, read or written
only if this user has named them for that run or model before, or gives ``--trust``. A file of the user's own
holds what was named, as digests: each of the run's first line, or of the model's bytes, and of one name. So a
run that was moved is still known, a name that was changed is not, and a stranger cannot forge the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app.errors import TrustError, printable
from tune_app.sweep.paths import state_folder
from tune_app.sweep.record import LONGEST

if TYPE_CHECKING:
    from tune_app.space import SearchSpace
    from tune_app.sweep.events import Source

#: Sources of data that come with tune-app, or that it fetches itself.
_OWN_DATA = (None, "phantom", "course")


def named(space: SearchSpace, source: Source | None, storage: str | None) -> list[str]:
    """What training a run uses beyond its folder and tune-app itself, as messages call it.

    ``source`` is None where the user has named the data anew.
    """
    found = of_task(space.task)
    if ":" in (space.search.sampler or ""):
        found.append(f"the sampler {space.search.sampler}")
    data, path = (source.data, source.path) if source else (None, None)
    if path is not None or data not in _OWN_DATA:
        found.append(f"the data {path or data}")
    return found + of_storage(storage)


def of_task(task: str) -> list[str]:
    """The name of a task unless it is built in."""
    return [f"the task {task}"] if ":" in task else []


def of_storage(storage: str | None) -> list[str]:
    """The name of a storage; nothing where there is none."""
    return [f"the storage {storage}"] if storage is not None else []


def identity_of_run(record: Path) -> str:
    """What tells one run from all others: a digest of its record's first line."""
    with record.open("rb") as file:
        return hashlib.sha256(file.readline(LONGEST)).hexdigest()


def remember(identity: str, names: Iterable[str]) -> None:
    """Note that the user has named these things for a run or a model.

    Where the user's folders cannot be written, nothing is noted: ``--trust`` is then needed each time.
    """
    new = _digests(identity, names).keys() - _known()
    with suppress(OSError, RuntimeError):
        if new:
            path = _store()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            with path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{digest}\n" for digest in new))


def trusted(identity: str, names: Iterable[str]) -> bool:
    """Whether the user has named all of these things for that run or model."""
    return _digests(identity, names).keys() <= _known()


def require(what: Path, identity: str, names: Iterable[str], trust: bool) -> None:
    """Raise TrustError unless the user has named all of these things or gives ``trust``, which is kept."""
    known = _known()
    unknown = [name for digest, name in _digests(identity, names).items() if digest not in known]
    if unknown and not trust:
        listed = " and ".join(printable(name) for name in unknown)
        raise TrustError(
            f"{what}: no command of yours has made or trusted it, so it may come from somebody else. It "
            f"names {listed}. If you know who made it, give --trust: then the code that it names is run."
        )
    remember(identity, unknown)


def _digests(identity: str, names: Iterable[str]) -> dict[str, str]:
    lines = {f"{identity} {name}".encode("utf-8", "surrogatepass"): name for name in names}
    return {hashlib.sha256(line).hexdigest(): name for line, name in lines.items()}


def _store() -> Path:
    return state_folder() / "trusted"


def _known() -> set[str]:
    try:
        return set(_store().read_text(encoding="utf-8").split())
    except (OSError, ValueError, RuntimeError):
        return set()
