"""The course's four files from their public repository: resumed, verified, put in place whole."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
_AGAIN = "What is downloaded is kept; run the same command again to continue"


def fetch(
    out: Path | str = COURSE_DIR,
    *,
    base_url: str = BASE_URL,
    progress: OnProgress | None = None,
    timeout_s: float = TIMEOUT_S,
    files: Mapping[str, str] = COURSE_FILES,
) -> dict[str, bool]:
    """Bring ``files`` (path -> git blob id) below ``base_url`` to ``out``; returns which of them are new.

    A download goes to ``<name>.part`` and under its own name once its blob id is right, so a broken one is
    resumed by the next call. ``timeout_s`` is how long the server may stay silent. Raises DataError for
    whatever goes wrong, with what to do.
    """
    out = Path(out)
    downloaded: dict[str, bool] = {}
    for name, blob in files.items():
        path = out / name
        part = path.with_name(path.name + ".part")
        url = base_url.rstrip("/") + "/" + name
        try:
            downloaded[name] = not (path.is_file() and blob_id(path) == blob)
            if not downloaded[name]:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            for there, total in _download(url, part, timeout_s):
                if progress is not None:
                    progress(name, there, total)
            _verify(part, url, blob)
            part.replace(path)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _explained(error, url, part, timeout_s) from error
    return downloaded


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
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"tune-app/{__version__}"} | ({"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            error.close()
            return  # nothing is left to send: whether it is the right file, the blob id will tell
        raise
    with response, part.open("ab") as file:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
            file.truncate(0)  # the server sends the whole file, whatever was asked
            there = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        yield there, total
        while block := response.read1(_BLOCK_BYTES):  # whatever has arrived, so that a hang loses nothing
            file.write(block)
            there += len(block)
            yield there, total
    if total is not None and there < total:
        raise DataError(f"{url}: the connection ended after {there:,} of {total:,} bytes.\n  {_AGAIN}")


def _verify(part: Path, url: str, blob: str) -> None:
    found = blob_id(part)
    if found != blob:
        size = part.stat().st_size
        part.unlink()
        raise DataError(
            f"{url}: not the expected file: its {size:,} bytes have the git blob id {found}, "
            f"expected {blob}. It was removed.\n"
            "  Run the same command again; if this happens again, the course's files have changed"
        )


def _explained(error: Exception, url: str, part: Path, timeout_s: float) -> DataError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        fix = "Run the same command again later; if this happens again, the course's files have moved"
        return DataError(f"{url}: the server answered {error.code} {error.reason}.\n  {fix}")
    if isinstance(reason, TimeoutError):
        return DataError(f"{url}: no answer from the server for {timeout_s:g} s.\n  {_AGAIN}")
    fix = f"Check the connection, and the space on the disk. {_AGAIN}"
    return DataError(f"{url} to {part}: cannot be fetched ({reason}).\n  {fix}")
