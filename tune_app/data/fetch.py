"""The course's four files from their public repository: resumed, verified, put in place whole."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from tune_app.data.course import COURSE_DIR, COURSE_FILES, blob_id
from tune_app.errors import DataError
from tune_app.version import __version__

BASE_URL = "https://raw.githubusercontent.com/TacoXDD/homeworks/master/dataset/"
TIMEOUT_S = 30.0

OnProgress = Callable[[str, int, int | None], None]  # file, bytes there, bytes in all (None: not told)

_BLOCK_BYTES = 1 << 18
_AGAIN = "What arrived is kept; run the same command again to go on from there"


@dataclass(frozen=True)
class FetchResult:
    """What a fetch did: paths inside ``out``."""

    out: Path
    downloaded: tuple[str, ...]
    already_there: tuple[str, ...]


def fetch(
    out: Path | str = COURSE_DIR,
    *,
    base_url: str = BASE_URL,
    progress: OnProgress | None = None,
    timeout_s: float = TIMEOUT_S,
    files: Mapping[str, str] = COURSE_FILES,
) -> FetchResult:
    """Bring ``files`` (path -> git blob id) below ``base_url`` to ``out``, but for what is there and right.

    A download goes to ``<name>.part`` and under its own name once its blob id is right, so a broken one is
    resumed by the next call. ``timeout_s`` is how long the server may stay silent. Raises DataError for
    whatever goes wrong, with what to do.
    """
    out = Path(out)
    downloaded: list[str] = []
    already_there: list[str] = []
    for name, blob in files.items():
        path = out / name
        part = path.with_name(path.name + ".part")
        url = base_url.rstrip("/") + "/" + name
        with _disk(path):
            if path.is_file() and blob_id(path) == blob:
                already_there.append(name)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
        for there, total in _download(url, part, timeout_s):
            if progress is not None:
                progress(name, there, total)
        with _disk(path):
            _verify(part, url, blob)
            part.replace(path)
        downloaded.append(name)
    return FetchResult(out, tuple(downloaded), tuple(already_there))


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """A bar for each file on standard error, as the callback that ``fetch`` takes."""
    columns = (TextColumn("{task.description:22}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def update(name: str, there: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=there, total=total)

        yield update


def _download(url: str, part: Path, timeout_s: float) -> Iterator[tuple[int, int | None]]:
    """Bring ``url`` to ``part``, going on where it ends; yields (bytes there, bytes in all)."""
    with _disk(part):
        there = part.stat().st_size if part.exists() else 0
    with _network(url, timeout_s):
        headers = {"User-Agent": f"tune-app/{__version__}"} | ({"Range": f"bytes={there}-"} if there else {})
        request = urllib.request.Request(url, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and there:
                error.close()
                return  # nothing is left to send: whether it is the right file, the blob id will tell
            raise
    with response, _disk(part), part.open("ab") as file:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
            file.truncate(0)  # the server sends the whole file, whatever was asked
            there = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        yield there, total
        while block := _receive(response, url, timeout_s):
            file.write(block)
            there += len(block)
            yield there, total
    if total is not None and there < total:
        raise DataError(f"{url}: the connection ended after {there:,} of {total:,} bytes.\n  {_AGAIN}")


def _receive(response: http.client.HTTPResponse, url: str, timeout_s: float) -> bytes:
    with _network(url, timeout_s):
        return response.read1(_BLOCK_BYTES)  # whatever has arrived, so that a hang loses nothing


def _verify(part: Path, url: str, blob: str) -> None:
    found = blob_id(part)
    if found != blob:
        size = part.stat().st_size
        part.unlink()
        raise DataError(
            f"{url}: not the expected file: its {size:,} bytes have the git blob id {found}, "
            f"expected {blob}. It was removed.\n"
            "  Run the same command again; if it stays so, the course's files have changed"
        )


@contextmanager
def _network(url: str, timeout_s: float) -> Iterator[None]:
    """Failures of the network, as errors that say how to fix them."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(
            f"{url}: the server answered {error.code} {error.reason}.\n"
            "  Run the same command again later; if it stays so, the course's files have moved"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        # urllib wraps what goes wrong while connecting, and not what goes wrong while reading
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            raise DataError(f"{url}: no answer from the server for {timeout_s:g} s.\n  {_AGAIN}") from error
        raise DataError(f"{url}: cannot be fetched ({reason}).\n  Check the connection. {_AGAIN}") from error


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Failures of the disk, as errors that say how to fix them."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written or read: {error.strerror or error}.\n"
            f"  Free some space, or choose another folder. {_AGAIN}"
        ) from error
