"""The folder of the user's own modules, which Python sees only while a task's code runs.

Outside of that, a file there cannot shadow what tune-app and its libraries import late: not `pandas.py`, nor
`bottleneck.py`, which pandas looks for. While the task runs, its modules come first, as under `python FILE`,
unless they have the name of a standard module or of an installed package that tune-app uses.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_app.errors import TaskError
from tune_app.tasks.isolation import LOCK, ProcessState


class TaskFolder(MetaPathFinder):
    """A folder of the user's modules, those that were imported from it, and what their import has set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The modules that were imported from here, by name.
        self.modules: dict[str, ModuleType] = {}
        self._states: dict[str, ProcessState] = {}

    @contextmanager
    def visible(self) -> Iterator[None]:
        """Let Python find the modules of the folder: for a task's code alone."""
        with LOCK, ExitStack() as back:
            if self not in sys.meta_path:
                back.callback(self._hide, set(sys.modules))
                for name, module in self.modules.items():
                    sys.modules.setdefault(name, module)
                sys.meta_path.insert(0, self)
                back.callback(_remove, sys.meta_path, self)
                if str(self.path) not in sys.path:  # for the task's processes, and namespace packages
                    sys.path.append(str(self.path))
                    back.callback(_remove, sys.path, str(self.path))
            yield

    def _hide(self, there: set[str]) -> None:
        """Take the modules of the folder out of sight, but for those that were ``there`` before."""
        new = {name: sys.modules[name] for name in sys.modules.keys() - there}
        # Not one by one: a package without `__init__.py` needs its parent to say where it lies.
        held = {n: m for n, m in new.items() if isinstance(m, ModuleType) and self.holds(m)}
        self.modules |= held
        for name in held:
            del sys.modules[name]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A module of the folder by its name, unless that is reserved; nothing for submodules."""
        found = self._own(name) if path is None else None
        return None if found is None or self._owner(name) else found

    def _own(self, name: str) -> ModuleSpec | None:
        """A module by its name. A mere folder is none: in `wandb/` is what wandb has written."""
        found = PathFinder.find_spec(name, [str(self.path)]) if name != "tune_app" else None
        return found if found and found.loader else None

    def _owner(self, name: str) -> str:
        """Whose a name is that no module of the folder may have; empty where it is free."""
        if name in sys.stdlib_module_names:
            return "a module of Python's own"
        found = PathFinder.find_spec(name, [place for place in sys.path if place != str(self.path)])
        # What tune-app uses is made out last, since it takes long.
        taken = found is not None and not self._below(found.origin) and name in _used()
        return "a package that tune-app uses" if taken else ""

    def load(self, name: str) -> ModuleType:
        """Import a module for a task, from here or, where this folder has none, as Python finds it.

        Raises:
            NameTaken: another module has the name.
            Exception: what the import raises.
        """
        top = name.partition(".")[0]
        own = self._own(top)
        if own and (owner := self._owner(top)):
            raise NameTaken(f"{own.origin} has the name of {owner}. Rename the file.")
        code = self._states.get(name) or self._new()
        with code:
            sys.argv[:] = [str(own.origin if own else name)]  # a parser of arguments finds none
            module = importlib.import_module(name)
            first = sys.modules[top]
        self._states[name] = code
        if own and not self.holds(first):
            raise NameTaken(
                f'{own.origin}: another module called "{top}" is loaded already, {first.__file__}. '
                "Rename one of them, or start Python anew."
            )
        return module

    def code(self, name: str, seed: int = 0, with_torch: Callable[[], None] | None = None) -> ProcessState:
        """Where code of a module, which ``load`` imports, is to run; it can be entered again and again.

        Its modules are found, and the process has the settings that their import made.
        """
        return self._states.get(name, self._new()).like(seed, with_torch)

    def _new(self) -> ProcessState:
        return ProcessState(0, settings={"folder": str(self.path)}, within=self.visible)

    def hidden(self) -> str:
        """What to say of an import that went wrong where files of the folder have names that are reserved."""
        tops = sorted({path.name.partition(".")[0] for path in self.path.iterdir()})
        taken = [(own, self._owner(top)) for top in tops if (own := self._own(top))]
        return "\n  ".join(f"{own.origin} is not it: {owner} has that name" for own, owner in taken if owner)

    def holds(self, module: ModuleType) -> bool:
        """Whether a module was imported from this folder or below it, and is not installed there."""
        top = str(vars(module).get("__name__")).partition(".")[0]
        own = any(self._below(place) for place in places(module))
        return own and top != "tune_app" and not self._owner(top)

    def _below(self, place: str | None) -> bool:
        path = Path(place or "/").resolve()
        return path.is_relative_to(self.path) and not INSTALLED & {*path.relative_to(self.path).parts}


def _remove(places: list[Any], place: object) -> None:
    with suppress(ValueError):  # the task has done it
        places.remove(place)


class NameTaken(TaskError):
    """A task's module has the name of another one."""


def places(module: ModuleType) -> list[str]:
    """The file of a module, and the folders of a package."""
    known = vars(module)  # not getattr: torch.classes has every attribute
    return [place for place in (known.get("__file__"), *(known.get("__path__") or ())) if place]


#: Folders of installed packages.
INSTALLED = frozenset({"site-packages", "dist-packages"})

#: What the folder is called where its copy has travelled to: in the working directory of Ray's workers.
TRAVELLED = "task-folder"

_folders: dict[Path, TaskFolder] = {}
_chosen: list[Path] = []


def current() -> TaskFolder:
    """The folder that this process imports tasks from: the working directory, or what ``choose`` named."""
    path = _chosen[-1] if _chosen else Path.cwd()
    return _folders.setdefault(path, TaskFolder(path))


def choose(path: str) -> None:
    """Have this process, a worker's, import tasks from a folder, or from the copy that has travelled here."""
    copy = Path.cwd() / TRAVELLED
    _chosen.append(copy if copy.is_dir() else Path(path))
    keep_off_path(_chosen[-1])


def keep_off_path(folder: Path) -> None:
    """Take a folder off ``sys.path``, where a script, a notebook or Ray put it; not one that has tune-app."""
    if (folder / "tune_app").resolve() != Path(__file__).resolve().parents[1]:
        sys.path[:] = [place for place in sys.path if Path(place).resolve() != folder.resolve()]


@cache
def _used() -> frozenset[str]:
    """The top-level names of tune-app and of all installed packages that it requires or can make use of."""
    found, todo = set[str](), ["tune-app"]
    while todo:
        name = _plain(todo.pop())
        if name in found:
            continue
        try:
            todo += importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
    owners = importlib.metadata.packages_distributions()
    return frozenset({"tune_app"} | {top for top, names in owners.items() if found & set(map(_plain, names))})


def _plain(requirement: str) -> str:
    """The name of a distribution as it is compared: of ``PyYAML>=6; extra == "x"`` pyyaml."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]).lower()
