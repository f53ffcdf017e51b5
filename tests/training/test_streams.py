from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from tune_app.training.streams import LossyWriter, text_stream


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def unread_pipe() -> int:
    _, writer = os.pipe()
    os.set_blocking(writer, False)
    return writer


@pytest.mark.parametrize("opened", [closed_pipe, unread_pipe, lambda: os.open("/dev/full", os.O_WRONLY)])
def test_what_cannot_be_written_is_dropped(
    opened: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LossyWriter, "_READ_WITHIN_S", 0.01)
    number = opened()
    stream = text_stream(LossyWriter(number), "utf-8", "replace")
    for _ in range(3):
        print("x" * 100_000, file=stream, flush=True)
    assert not stream.isatty()
    os.close(number)


def test_what_can_be_written_is_written_whole() -> None:
    reader, writer = os.pipe()
    print("all of ±", file=text_stream(LossyWriter(writer), "ascii", "replace"))
    assert os.read(reader, 100) == b"all of ?\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_no_print_fails_and_no_file_takes_the_place_of_a_closed_one(closed: str) -> None:
    program = """
        import os, sys, tempfile
        from tune_app.training import streams
        streams.make_output_lossy()
        with tempfile.TemporaryFile() as file:
            assert file.fileno() > 2
            print("to output")
            print("to error", file=sys.stderr)
            assert os.fstat(file.fileno()).st_size == 0
    """
    code = textwrap.dedent(program)
    ran = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code], check=False)
    assert ran.returncode == 0
