"""Storage by its URI: reading and writing whole files on a disk, S3 or Google Cloud Storage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from tune_app.errors import RunError, describe, nearest
from tune_app.sweep.opened_folder import write_atomically
from tune_app.sweep.paths import NO_STORAGE, check_contained

#: The value of ``--storage`` that stops mirroring a run.
NONE = NO_STORAGE

_SCHEMES = ("s3", "gs", "gcs")
_RULE = (
    "Give the path of a folder that outlives this machine, s3://BUCKET/PATH or gs://BUCKET/PATH, as in\n"
    "  --storage /mnt/shared/runs or --storage s3://my-bucket/runs"
)
#: What pyarrow raises if a storage fails.
FAULTS = (OSError, pa.ArrowException)


def normalized(uri: str) -> str:
    """A URI as it is recorded, with an absolute path; raises RunError if it cannot be used."""
    if uri == NONE:
        return uri
    if "://" not in uri and uri.strip():
        return str(Path(uri).expanduser().resolve())
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return str(Path(parts.path).resolve())
    if "@" in parts.netloc:
        raise RunError(
            f"--storage {parts.scheme}://...@{parts.netloc.rpartition('@')[2]}: contains a key, which "
            "would be recorded.\n  Leave it out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use "
            "the machine's role."
        )
    if parts.scheme not in _SCHEMES or not parts.netloc:
        shown = uri.strip() or '""'
        guess = "" if parts.scheme in _SCHEMES else nearest(parts.scheme, _SCHEMES)
        raise RunError(f"--storage {shown}: names no bucket of a storage.{guess} {_RULE}")
    return uri


def remote_uri(uri: str) -> str:
    """``normalized`` for another machine, to which a relative path means nothing."""
    if "://" not in uri and uri != NONE and not Path(uri).is_absolute():
        raise RunError(f"--storage {uri}: on a cluster a path must be absolute, as in /mnt/shared/runs")
    return normalized(uri)


class Store:
    """A folder on a file system of pyarrow; each file in it is complete or absent.

    Methods raise OSError or the errors of pyarrow if the storage fails.
    """

    def __init__(self, files: fs.FileSystem, path: str, label: str) -> None:
        self.label = label
        self._files, self._path = files, path
        self._local = isinstance(files, fs.LocalFileSystem)

    def subfolder(self, name: str) -> Store:
        """The folder ``name`` in this one; raises RunError if a link in it leads out of it."""
        if self._local:
            check_contained(Path(self._path) / name)
        return Store(self._files, f"{self._path}/{name}", f"{self.label}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically, which an object store does by itself."""
        path = f"{self._path}/{name}"
        if self._local:
            write_atomically(Path(path), data)
        else:
            with self._files.open_output_stream(path, compression=None) as file:
                file.write(data)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._files.open_input_stream(f"{self._path}/{name}", compression=None) as file:
            return bytes(file.read())

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with suppress(FileNotFoundError):
            self._files.delete_file(f"{self._path}/{name}")

    def names(self, folder: str = ".", kind: fs.FileType = fs.FileType.File) -> list[str]:
        """The names of the files in ``folder`` of this one, or of what else is asked for; none unfinished."""
        path = f"{self._path}/{folder}".removesuffix("/.")
        found = self._files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return [each.base_name for each in found if each.type == kind and each.extension != "part"]


def connect(uri: str) -> Store:
    """The storage at a URI, after a file was written there and read back. Each run has a folder in it."""
    with explain_errors(uri):
        store = _open(uri)
        name, sent = f".check-{secrets.token_hex(8)}", secrets.token_bytes(64)
        store.write(name, sent)
        received = store.read(name)
        store.remove(name)
    if received != sent:
        raise RunError(f"--storage {uri}: a test file reads back differently. Use another storage.")
    return store


def _open(uri: str) -> Store:
    if "://" not in uri:
        if not Path(uri).is_dir():
            raise RunError(f"--storage {uri}: no such folder. Create it or mount it.")
        return Store(fs.LocalFileSystem(), uri.rstrip("/"), uri.rstrip("/"))
    files, path = fs.FileSystem.from_uri(uri)
    path = path.rstrip("/")
    return Store(files, path, f"{urlsplit(uri).scheme}://{path}")


@contextmanager
def explain_errors(uri: str) -> Iterator[None]:
    """Turns a failure of the storage before training into an error that says how to fix it."""
    try:
        yield
    except FAULTS as error:
        raise RunError(
            f"--storage {uri}: cannot be used: {describe(error)}\n"
            "  This machine must be able to write and read there: check path or bucket, permissions, region "
            f"and credentials. To train without it: --storage {NONE}"
        ) from error
