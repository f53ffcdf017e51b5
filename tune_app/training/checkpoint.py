"""Checkpoint files of a trial: written atomically, and read as tensors and plain values only."""

from __future__ import annotations

import io
import os
import pickle
import time
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tune_app.errors import TrialError, as_disk_error
from tune_app.sweep.events import Saved
from tune_app.sweep.opened_folder import write_atomically

#: Writing takes at most one in this many seconds.
_SHARE = 20


class Clock:
    """When the next checkpoint is due: ``every_s`` seconds apart, or more where writing takes long."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._wait_s = every_s
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write one."""
        return time.monotonic() - self._last >= self._wait_s

    def wrote(self, seconds: float) -> None:
        """A checkpoint was written in this time. With an interval of 0 one is due after every epoch."""
        self._last = time.monotonic()
        self._wait_s = max(self._every_s, _SHARE * seconds) if self._every_s else 0.0


def serialize(content: Any) -> bytes:
    """``content`` (tensors and plain values) as the bytes of its file."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def deserialize(file: IO[bytes]) -> Any:
    """The tensors and plain values of a file that ``serialize`` made. The file may come from a stranger.

    None of its code is run. Reading takes no more memory than the file is large, even where a tensor in it
    claims to be larger.

    Raises:
        Exception: its checksums say that it is damaged, or ``serialize`` has not made it.
    """
    import torch

    total_bytes = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(each.compress_type != zipfile.ZIP_STORED for each in entries):
            raise ValueError("it is compressed, which no file of tune-app is")
        if sum(each.file_size for each in entries) > total_bytes:
            raise ValueError("its parts are larger than the file")
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how it was pickled
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch advises to load it all the same
        raise ValueError("it holds more than tensors and plain values") from error


def saved_as(name: str, data: bytes, epoch: int) -> Saved:
    """What the record says of a file with these bytes."""
    return Saved(epoch, name, len(data), zlib.crc32(data))


def save(folder: Path, name: str, content: dict[str, Any], epoch: int) -> Saved:
    """Write ``content`` to ``folder/name``: after a crash the file is whole or not there.

    Raises:
        DiskError: the disk refused it.
    """
    data = serialize(content)
    try:
        write_atomically(folder / name, data)
    except OSError as error:
        raise as_disk_error(error, folder / name) or error from error
    return saved_as(name, data, epoch)


def load(source: Path | bytes, name: str = "") -> dict[str, Any]:
    """Read a checkpoint, from its file or its bytes, refusing anything but tensors and plain values.

    Raises:
        TrialError: it is missing, damaged, or no checkpoint.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            content = deserialize(file)
        content["epoch"], content["replicates"]
    except Exception as error:  # torch.load raises what the damage happens to cause
        raise TrialError(f"{name or source!s}: cannot be read as a checkpoint: {error}") from error
    return dict(content)


def select(content: dict[str, Any], what: str, replicates: Sequence[int]) -> list[Any]:
    """The ``state`` or ``weights`` of these replicates, in this order."""
    return [content[what][content["replicates"].index(replicate)] for replicate in replicates]
