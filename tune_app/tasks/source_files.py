"""The source files that a task imports, and what each held when it was imported.

Files are named relative to the task's folder, in which Python found the task's top-level module or package.
Only Python sources count, with any line ending: compiled modules and files that a task reads are not covered.
A built-in task is covered by the version of tune-app.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_app.tasks.task_folder import INSTALLED, current, places

#: What a file counts as that cannot be read.
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Sources:
    """The files of a task's own modules: below ``root``, and in ``package`` alone among installed ones."""

    first: ModuleType
    root: Path
    package: str | None

    @classmethod
    def of(cls, reference: str) -> Sources | None:
        """None for a built-in task, and where no file holds the task."""
        name, folder = reference.partition(":")[0], current()
        module, top = _module(name), name.partition(".")[0]
        path = getattr(module, "__file__", None)
        if module is None or path is None or ":" not in reference or top == "tune_app":
            return None
        if folder.holds(module):
            return cls(module, folder.path, None)
        depth = name.count(".") + (1 if hasattr(module, "__path__") else 0)
        root = Path(path).absolute().parents[depth]
        return cls(module, root, top if root.name in INSTALLED else None)

    def hashes(self, paths: Iterable[Path]) -> dict[str, str]:
        """The SHA-256 of files by their paths below ``root``; a loaded module's as when first asked for."""
        loaded = _by_file()
        return {
            path.relative_to(self.root).as_posix(): _as_loaded(path, loaded.get(str(path))) for path in paths
        }

    def holds(self, path: Path) -> bool:
        """Whether a path, which a record may name, is a source file of the task's."""
        return ".." not in path.parts and self._owns(str(path)) and path.is_file()

    def loaded(self) -> dict[str, str]:
        """The hashes of the files of those modules that this process has imported."""
        return self.hashes(Path(place) for place in _by_file() if self._owns(place))

    def _owns(self, place: str) -> bool:
        return _own(place, self.root, self.package)

    def imported(self) -> set[Path]:
        """The files that the task's module imports, at its top or within functions, and what those import."""
        found = {Path(str(self.first.__file__)).absolute(), *self._files(self.first.__name__)}
        waiting = list(found)
        while waiting:
            path = waiting.pop()
            package = path.relative_to(self.root).parts[:-1] if path.is_relative_to(self.root) else ()
            for name in _imports(path, ".".join(package)):
                new = set(self._files(name)) - found
                found |= new
                waiting += new
        return found

    def _files(self, module: str) -> list[Path]:
        """The files of a module and of the packages that it lies in, as far as they are the user's."""
        parts = module.split(".")
        if not module or not self._finds(parts[0]):
            return []
        last = self.root.joinpath(*parts)
        packages = (last, *last.parents[: len(parts) - 1])
        files = [last.with_suffix(".py"), *(folder / "__init__.py" for folder in packages)]
        return [path for path in files if path.is_file() and self._owns(str(path))]

    def _finds(self, top: str) -> bool:
        """Whether Python finds a top-level name here, and not a standard or an installed module."""
        if loaded := _module(top):
            return any(Path(place).is_relative_to(self.root) for place in places(loaded))
        mere_folder = (self.root / top).is_dir() and not (self.root / top / "__init__.py").is_file()
        if self.root == current().path and not mere_folder:
            return current().find_spec(top) is not None
        return top not in sys.stdlib_module_names


def _module(name: str) -> ModuleType | None:
    """The module of that name in this process; one of the task's folder comes first."""
    found = current().modules.get(name) or sys.modules.get(name)
    return found if isinstance(found, ModuleType) else None


def _by_file() -> dict[str, ModuleType]:
    """The modules of this process that have a file, by its path; those of the task's folder included."""
    modules = [*sys.modules.values(), *current().modules.values()]
    places = ((vars(module).get("__file__"), module) for module in modules if isinstance(module, ModuleType))
    return {place: module for place, module in places if isinstance(place, str)}


@cache  # asked of each loaded module after each trial, and a process has thousands of modules
def _own(place: str, root: Path, package: str | None) -> bool:
    """Whether a file is the user's source: not of an environment that lies in the same folder."""
    path = Path(place)
    if path.suffix != ".py" or not path.is_relative_to(root):
        return False
    parts = path.relative_to(root).parts
    installed = any(part.startswith(".") or part in INSTALLED for part in parts[:-1])
    top = parts[0].removesuffix(".py")
    return not installed and top != "tune_app" and package in (None, top)


#: By path: the import of a module that this process has made, and the hash of what was imported.
_loaded: dict[Path, tuple[Any, str]] = {}


def _as_loaded(path: Path, module: ModuleType | None) -> str:
    """The hash of what a module was imported from; of the file as it is now where none was."""
    if module is None:
        return _hash(path)
    spec = module.__spec__
    if path not in _loaded or _loaded[path][0] is not spec:
        _loaded[path] = spec, _hash(path)
    return _loaded[path][1]


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    except OSError:
        archive = next((folder for folder in path.parents if folder.is_file()), None)  # a module in a zip
        return _hash(archive) if archive else UNREADABLE


def _imports(path: Path, package: str) -> Iterator[str]:
    """The names of all modules that a file may import; ``from a import b`` gives ``a`` and ``a.b``."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                if base := _absolute("." * level + (module or ""), package):
                    yield base
                    yield from (f"{base}.{each.name}" for each in names)
                else:
                    yield from (each.name for each in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield _absolute(name, package)


def _absolute(name: str, package: str) -> str:
    with suppress(ImportError, ValueError):
        return importlib.util.resolve_name(name, package) if name.startswith(".") else name
    return ""


def of_no_file(reference: str) -> dict[str, str]:
    """Of a task that was typed into a notebook, the source of its function or class."""
    module, _, attribute = reference.partition(":")
    found = getattr(_module(module), attribute, None)
    if found is None or module.partition(".")[0] == "tune_app":
        return {}
    with suppress(OSError, TypeError):
        return {reference: hashlib.sha256(inspect.getsource(found).encode()).hexdigest()}
    return {}
