"""Where a mirror lies, by its URI; whole files in and out of it, whatever keeps them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from tune_app.errors import RunError, nearest
from tune_app.sweep.paths import NO_STORAGE, check_contained

#: What ``--storage`` takes for a run that is to be mirrored no more.
NONE = NO_STORAGE

_SCHEMES = ("s3", "gs", "gcs")
_RULE = (
    "It is the path of a folder that outlives this machine, or s3://BUCKET/PATH or gs://BUCKET/PATH, as in\n"
    "  --storage /mnt/shared/runs or --storage s3://my-bucket/runs"
)
#: What pyarrow raises of a storage that does not do as it is told.
FAULTS = (OSError, pa.ArrowException)


def normal(uri: str) -> str:
    """A URI as it is recorded: a path made absolute, the rest as it is.

    Raises:
        RunError: it is none that can be used.
    """
    if not uri.strip():
        raise RunError(f'--storage "{uri}": names nothing. {_RULE}')
    if "://" not in uri:
        return uri if uri == NONE else str(Path(uri).expanduser().resolve())
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return str(Path(parts.path).resolve())
    if parts.scheme not in _SCHEMES:
        raise RunError(f"--storage {uri}: unknown kind.{nearest(parts.scheme, _SCHEMES)} {_RULE}")
    if "@" in parts.netloc:
        raise RunError(
            f"--storage {parts.scheme}://...@{parts.netloc.rpartition('@')[2]}: holds a key, which would be "
            "recorded.\n  Leave it out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use the "
            "machine's role."
        )
    if not parts.netloc:
        raise RunError(f"--storage {uri}: names no bucket. {_RULE}")
    return uri


def there(uri: str) -> str:
    """A URI for another machine, where a relative path would mean nothing.

    Raises:
        RunError: it is none that can be used, or a relative path.
    """
    if "://" not in uri and uri != NONE and not Path(uri).is_absolute():
        raise RunError(f"--storage {uri}: on a cluster a path must be absolute, as in /mnt/shared/runs")
    return normal(uri)


class Store:
    """A folder of files that are whole or not there, on a file system of pyarrow.

    Raises OSError or pyarrow's own errors, whatever the file system makes of a fault.
    """

    def __init__(self, files: fs.FileSystem, path: str, label: str) -> None:
        self.label = label
        self._files = files
        self._path = path
        self._local = isinstance(files, fs.LocalFileSystem)

    def below(self, name: str) -> Store:
        """The folder of that name in this one.

        Raises:
            RunError: it lies on a disk, and something in it leads elsewhere.
        """
        if self._local:
            check_contained(Path(self._path) / name)
        return Store(self._files, f"{self._path}/{name}", f"{self.label}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place, in one stroke: an object store does so itself, a disk by a change of name."""
        path = f"{self._path}/{name}"
        target = f"{path}.part" if self._local else path
        if self._local:
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
        with self._files.open_output_stream(target, compression=None) as file:
            file.write(data)
        if self._local:
            self._files.move(target, path)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._files.open_input_stream(f"{self._path}/{name}", compression=None) as file:
            return bytes(file.read())

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._files.delete_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return

    def names(self, folder: str = "") -> list[str]:
        """The names of the files in a folder of this one, without those that are still being written."""
        found = self._look(folder)
        return [each.base_name for each in found if each.is_file and not each.base_name.endswith(".part")]

    def folders(self) -> list[str]:
        """The names of the folders in this one."""
        return [each.base_name for each in self._look("") if each.type == fs.FileType.Directory]

    def _look(self, folder: str) -> list[fs.FileInfo]:
        path = f"{self._path}/{folder}" if folder else self._path
        return list(self._files.get_file_info(fs.FileSelector(path, allow_not_found=True)))


def connect(uri: str) -> Store:
    """The storage of many runs, a folder each, after a file was written there and read back.

    Raises:
        RunError: it cannot be reached, written or read.
    """
    with usable(uri):
        store = _open(uri)
        name, sent = f".check-{secrets.token_hex(8)}", secrets.token_bytes(64)
        store.write(name, sent)
        came = store.read(name)
        store.remove(name)
    if came != sent:
        raise RunError(f"--storage {uri}: what is written there does not come back as it was. Use another.")
    return store


def _open(uri: str) -> Store:
    if "://" not in uri:
        if not Path(uri).is_dir():
            raise RunError(
                f"--storage {uri}: there is no such folder. Make it, or mount what it lies on: it is not "
                "made on a disk of this machine unasked."
            )
        return Store(fs.LocalFileSystem(), uri.rstrip("/"), uri.rstrip("/"))
    files, path = fs.FileSystem.from_uri(uri)
    path = path.rstrip("/")
    return Store(files, path, f"{urlsplit(uri).scheme}://{path}")


@contextmanager
def usable(uri: str) -> Iterator[None]:
    """Turns a fault of a storage, before anything is trained, into an error that says what to do."""
    try:
        yield
    except FAULTS as error:
        said = " ".join(str(error).split())
        raise RunError(
            f"--storage {uri}: cannot be used: {said or type(error).__name__}\n"
            "  This machine must be able to write and read there: check path or bucket, permissions, region "
            f"and credentials. To go on without it: --storage {NONE}"
        ) from error
