"""Find a search-space file by its name or path, and load it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from pydantic import ValidationError

from tune_app.errors import SpaceError, nearest
from tune_app.space.model import SearchSpace
from tune_app.space.overrides import apply
from tune_app.space.problems import explain, refuse
from tune_app.space.reader import read
from tune_app.space.scalars import show

LOCAL = pathlib.Path("search_spaces")
ENDINGS = (".yaml", ".yml")


def load(
    ref: str | pathlib.Path,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    recorded: bool = False,
) -> SearchSpace:
    """Load the search space called ``ref``: a path, or the name of one in ``search_spaces`` or built in.

    ``overrides`` are ``key=value`` texts; ``name`` replaces the name that the file gives the space;
    ``recorded`` is as in :func:`parse`.
    Raises ``SpaceError`` for any fault, with the line of the file.
    """
    path = find(ref)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        rest = f"byte {error.start} is 0x{error.object[error.start]:02x}: save it as UTF-8"
        raise SpaceError(f"{path}: a search space is UTF-8 text, and this is not: {rest}") from None
    except OSError as error:
        raise SpaceError(
            f"{path}: cannot be read ({error.strerror}): check the file and its permissions"
        ) from None
    return parse(text, overrides, file=str(path), name=name or path.stem, recorded=recorded)


def parse(
    text: str,
    overrides: Sequence[str] = (),
    *,
    file: str = "search space",
    name: str = "space",
    recorded: bool = False,
) -> SearchSpace:
    """Return the search space that ``text`` describes; ``file`` is what its errors call it.

    A ``recorded`` space may use names of table columns, which a new space may not.
    """
    document = read(text, file)
    for override in overrides:
        apply(override, document, SearchSpace.model_fields)
    try:
        space = SearchSpace.model_validate(document.tree, context={"recorded": recorded})
    except ValidationError as error:
        raise refuse(explain(error, SearchSpace), document) from None
    space._name, space._origin = name, document
    return space


def find(ref: str | pathlib.Path) -> pathlib.Path:
    """Return the file that ``ref`` names. Raises ``SpaceError``, which lists the places searched.

    A path as given; else ``search_spaces/<ref>.yaml`` (or ``.yml``) below the working directory; else the
    copy that comes with tune-app.
    """
    given, builtin = pathlib.Path(ref), _builtin_folder()
    local = [LOCAL / f"{ref}{ending}" for ending in (("",) if given.suffix in ENDINGS else ENDINGS)]
    known = [builtin / f"{ref}.yaml"] if str(ref) in builtin_names() else []
    for path in (given, *local, *known):
        if _is(path, folder=False):
            return path
    if _is(given, folder=True):
        raise SpaceError(
            f"{given}: is a folder: name a search-space file in it, such as {given / 'grid.yaml'}"
        )
    siblings = [str(path) for path in _files(given.parent)]
    guess = nearest(str(ref), [*_stems(LOCAL), *builtin_names(), *siblings])
    paths = [str(path) if path.is_absolute() else f"./{path}" for path in (given, local[0])]
    places = [*dict.fromkeys(paths), f"the built-in spaces ({', '.join(builtin_names())})"]
    raise SpaceError(f"no search space called {show(str(ref))}.{guess}\n  looked in: {', '.join(places)}")


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
