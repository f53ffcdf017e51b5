"""Standard output and error of this process, so that no print to them fails."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO


class LossyWriter(io.FileIO):
    """Writes to a descriptor of this process, and drops what cannot be written."""

    #: How long to wait for a reader where the descriptor is not to block.
    _READ_WITHIN_S = 1.0

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def seekable(self) -> bool:
        """Another file may take the descriptor."""
        return False

    def write(self, data: Any) -> int:
        """See io."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.fileno(), view) :]
            except BlockingIOError:
                if not select.select([], [self], [], self._READ_WITHIN_S)[1]:
                    break
            except OSError:
                break
        return len(data)


def text_stream(raw: LossyWriter, encoding: str, errors: str) -> TextIO:
    """A stream of text for what writes bytes, a line at a time."""
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)


def make_output_lossy() -> None:
    """Make prints of this process succeed even after its terminal, pipe or file is gone."""
    open_descriptors()
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or is_descriptor(stream, number):
            setattr(
                sys, name, text_stream(LossyWriter(number), getattr(stream, "encoding", "utf-8"), "replace")
            )


def open_descriptors() -> None:
    """Connect closed standard streams to the null device; else the next opened file takes their place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def is_descriptor(stream: Any, number: int) -> bool:
    """Whether a stream writes to this descriptor; rich may have put its own before it."""
    try:
        return bool(getattr(stream, "rich_proxied_file", stream).fileno() == number)
    except (OSError, ValueError, AttributeError):
        return False
