"""Checkpoints of a trial: put in place in one stroke, and read as weights only."""

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

from tune_app.errors import TrialError, refused
from tune_app.sweep.events import Saved
from tune_app.sweep.record import write_atomically

#: A write may take at most one part in so many of the time between two of them.
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
        """A checkpoint was written, and took so long. An interval of 0 means after every epoch, always."""
        self._last = time.monotonic()
        self._wait_s = max(self._every_s, _SHARE * seconds) if self._every_s else 0.0


def size(content: Any) -> int:
    """Bytes that ``content`` takes in a file; none for None."""
    return len(packed(content)) if content is not None else 0


def packed(content: Any) -> bytes:
    """``content`` (tensors and plain values) as the bytes of its file."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def unpacked(file: IO[bytes]) -> Any:
    """The tensors and plain values of a file that ``packed`` made, which may come from a stranger.

    No code of it is run. It takes no more memory than it has bytes, though a tensor may claim to be larger.

    Raises:
        Exception: it is damaged, by the checksums that it holds, or none of ours.
    """
    import torch

    size_bytes = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(each.compress_type != zipfile.ZIP_STORED for each in entries):
            raise ValueError("it is compressed, which no file of tune-app is")
        if sum(each.file_size for each in entries) > size_bytes:
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


def described(name: str, data: bytes, epoch: int) -> Saved:
    """What is recorded of a file."""
    return Saved(epoch, name, len(data), zlib.crc32(data))


def save(folder: Path, name: str, content: dict[str, Any], epoch: int) -> Saved:
    """Write ``content`` to ``folder/name``, which is whole or not there.

    Raises:
        DiskError: the disk refused it.
    """
    data = packed(content)
    try:
        write_atomically(folder / name, data)
    except OSError as error:
        raise refused(error, folder / name) or error from error
    return described(name, data, epoch)


def load(source: Path | bytes, name: str = "") -> dict[str, Any]:
    """Read a checkpoint, from its file or its bytes, refusing anything but tensors and plain values.

    Raises:
        TrialError: it is missing, damaged, or none of ours.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            content = unpacked(file)
        content["epoch"], content["replicates"]
    except Exception as error:  # torch.load raises what the damage happens to cause
        raise TrialError(f"{name or source!s}: cannot be read as a checkpoint: {error}") from error
    return dict(content)


def of(content: dict[str, Any], what: str, replicates: Sequence[int]) -> list[Any]:
    """The ``state`` or ``weights`` of these replicates, in this order."""
    return [content[what][content["replicates"].index(replicate)] for replicate in replicates]
