"""Find a search-space file by its name or path, apply ``--set key=value``, and check it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from tune_app.errors import SpaceError, nearest
from tune_app.space.labelled import separate
from tune_app.space.model import SearchSpace
from tune_app.space.problems import RuleError, explain, refuse
from tune_app.space.reader import Document, Path, dotted, read, read_value
from tune_app.space.rules import violations
from tune_app.space.samplers import KINDS, kind_of
from tune_app.space.scalars import is_compound, literal, show

LOCAL = pathlib.Path("search_spaces")
ENDINGS = (".yaml", ".yml")


def load(ref: str | pathlib.Path, overrides: Sequence[str] = ()) -> SearchSpace:
    """Load the search space called ``ref``: a path, or the name of one in ``search_spaces`` or built in.

    ``overrides`` are ``key=value`` texts. Raises ``SpaceError`` for any fault, with the line of the file.
    """
    path = find(ref)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        rest = f"byte {error.start} is 0x{error.object[error.start]:02x}: save it as UTF-8"
        raise SpaceError(f"{path}: a search space is UTF-8 text, and this is not: {rest}") from None
    except OSError as error:
        rule = f"cannot be read ({error.strerror}): check the file and its permissions"
        raise SpaceError(f"{path}: {rule}") from None
    return parse(text, overrides, file=str(path), name=path.stem)


def parse(
    text: str,
    overrides: Sequence[str] = (),
    *,
    file: str = "search space",
    name: str = "space",
    recorded: bool = False,
) -> SearchSpace:
    """Return the search space that ``text`` describes; ``file`` is what its errors call it.

    A ``recorded`` space may use names that earlier versions allowed, and a new space may not. Earlier
    versions recorded no ``choose``: they chose by the evaluated epoch alone.
    """
    document = read(text, file)
    if recorded:
        document.tree.setdefault("choose", {"window": 1})
    for override in overrides:
        try:
            _apply(override, document)
        except RuleError as error:
            raise SpaceError(f"--set {override}: {error.text}") from None
    try:
        labels = separate(document.tree)
        space = SearchSpace.model_validate(document.tree)
    except ValidationError as error:
        raise refuse(explain(error, SearchSpace), document) from None
    except RuleError as error:
        raise refuse([error], document) from None
    if problems := violations(space, recorded):
        raise refuse(problems, document)
    space._labels, space._name, space._origin = labels, name, document
    return space


def find(ref: str | pathlib.Path) -> pathlib.Path:
    """Return the file that ``ref`` names. Raises ``SpaceError``, which lists the places searched.

    A path as given; else ``search_spaces/<ref>.yaml`` (or ``.yml``) below the working directory; else the
    copy that comes with tune-app.
    """
    given = pathlib.Path(ref)
    local = [LOCAL / f"{ref}{ending}" for ending in (("",) if given.suffix in ENDINGS else ENDINGS)]
    known = [_builtin_folder() / f"{ref}.yaml"] if str(ref) in builtin_names() else []
    for path in (given, *local, *known):
        if _is(path, folder=False):
            return path
    if _is(given, folder=True):
        rule = f"is a folder: name a search-space file in it, such as {given / 'grid.yaml'}"
        raise SpaceError(f"{given}: {rule}")
    names = [*_stems(LOCAL), *builtin_names(), *map(str, _files(given.parent))]
    paths = [str(path) if path.is_absolute() else f"./{path}" for path in (given, local[0])]
    places = [*dict.fromkeys(paths), f"the built-in spaces ({', '.join(builtin_names())})"]
    raise SpaceError(
        f"no search space called {show(str(ref))}.{nearest(str(ref), names)}\n"
        f"  looked in: {', '.join(places)}"
    )


def builtin_names() -> list[str]:
    """Return the names of the search spaces that come with tune-app, in alphabetical order."""
    return _stems(_builtin_folder())


def _builtin_folder() -> pathlib.Path:
    package = pathlib.Path(__file__).resolve().parent.parent
    installed = package / "search_spaces"
    return installed if installed.is_dir() else package.parent / "search_spaces"


def _is(path: pathlib.Path, folder: bool) -> bool:
    """Whether ``path`` exists and is a folder (or is none); False for a text that cannot be a path."""
    try:
        return path.exists() and path.is_dir() == folder
    except (OSError, ValueError):
        return False


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    if not _is(folder, folder=True):
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in ENDINGS)


def _stems(folder: pathlib.Path) -> list[str]:
    return sorted({path.stem for path in _files(folder)})


def _apply(override: str, document: Document) -> None:
    """Set the key of ``key=value`` as if the file had that value.

    Raises ``RuleError`` if ``=`` or a known key is missing, and ``SpaceError`` if the value is no YAML.
    """
    key, equals, text = override.partition("=")
    steps = [step.strip() for step in key.split(".")]
    if not equals or steps == [""]:
        raise RuleError("not key=value: write for example --set epochs=5")
    value = read_value(text, f"--set {override}")
    path = _path(steps, document)
    if not all(path):
        raise RuleError("not key=value: write for example --set epochs=5")
    if len(path) == 1 and path[0] not in SearchSpace.model_fields:
        path = _parameter(str(path[0]), value, document)
    for depth in range(1, len(path)):
        parent = document.get(path[:depth])
        if parent is None:  # not in the file, or there without a value
            document.put(path[:depth], {}, override)
        elif not isinstance(parent, dict):
            raise RuleError(f"{dotted(path[:depth])} is {show(parent)}, which has no keys: set it as a whole")
    document.put(path, value, override)


def _path(steps: list[str], document: Document) -> Path:
    """The path that a dotted key names. Names may have dots themselves: at each step the longest one counts.

    A parameter may be named without ``space`` or ``fixed``; by itself, it is the whole path.
    """
    owners = {name: part for part in ("fixed", "space") for name in _mapping(document, (part,))}
    path: Path = ()
    while steps:
        fresh = len(steps)  # of a name that is not there yet
        if not path:
            known = {*SearchSpace.model_fields, *owners}
        elif len(path) == 3 and path[2] == "when":
            known = {*owners}
        else:
            known = {*_mapping(document, path)}
            if path == ("space",):
                kinds = (at for at, step in enumerate(steps) if at and step in (*KINDS, "when"))
                fresh = next(kinds, fresh)
            elif path != ("fixed",):
                fresh = 1
        lengths = range(len(steps), 0, -1)
        length = next((each for each in lengths if ".".join(steps[:each]) in known), fresh)
        name, steps = ".".join(steps[:length]), steps[length:]
        named = not path and name in owners and name not in SearchSpace.model_fields
        path = (owners[name], name) if named and steps else (*path, name)
    return path


def _mapping(document: Document, path: Path) -> dict[str, Any]:
    found = document.get(path)
    return found if isinstance(found, dict) else {}


def _parameter(name: str, value: Any, document: Document) -> Path:
    """Return the path at which to set a parameter that is given by name, and remove its old entry."""
    parts = {part: _mapping(document, (part,)) for part in ("space", "fixed")}
    known = [key for part in parts.values() for key in part]
    if name not in known:
        points = document.tree.get("configs")
        if isinstance(points, list) and any(isinstance(point, dict) and name in point for point in points):
            raise RuleError(f'"{name}" is set point by point in configs: edit them there')
        rest = nearest(name, [*SearchSpace.model_fields, *known])
        first, dot, _ = name.partition(".")
        if dot and not rest:
            raise RuleError(f'unknown key "{first}".{nearest(first, SearchSpace.model_fields)}')
        rest = rest or f" The parameters are {', '.join(known) or 'none'}."
        raise RuleError(f'no key and no parameter is called "{name}".{rest}')
    compound = is_compound(value) and not (isinstance(value, dict) and kind_of(value))
    searched = is_compound(value) and not (compound and is_compound(parts["fixed"].get(name)))
    if not searched and (condition := document.get(("space", name, "when"))):
        fix = f"{name}={{grid: [{show(value)}], when: {literal(condition)}}}"
        raise RuleError(f"{name} exists only on a condition (when:): write --set '{fix}'")
    here, there = ("space", "fixed") if searched else ("fixed", "space")
    if name in parts.get(there, {}):
        del document.tree[there][name]
        document.forget((there, name))
    return here, name
