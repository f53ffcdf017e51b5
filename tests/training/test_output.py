from __future__ import annotations

import ctypes
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tune_app.progress.watch import Terminal
from tune_app.training import output
from tune_app.training.output import LARGEST, Output


def everything(name: str) -> None:
    print("printed", name)
    print("error", name, file=sys.stderr)
    os.write(1, f"descriptor {name}\n".encode())
    libc = ctypes.CDLL(None)
    libc.puts(f"from C {name}".encode())
    subprocess.run(["echo", f"process {name}"], check=True)
    if name == "after":
        libc.fflush(None)  # C keeps what goes to a file, unless PYTHONUNBUFFERED is set


def test_what_is_printed_goes_to_the_file_and_then_to_where_it_went(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logs" / "1.out"
    kept = Output(path)
    before = sys.stdout, sys.stderr, sys.breakpointhook
    for _ in range(2):
        with kept.redirected():
            everything("kept")
            Terminal().print("shown")
    everything("after")
    assert (sys.stdout, sys.stderr, sys.breakpointhook) == before
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(
        2 * [f"{way} kept" for way in ("printed", "error", "descriptor", "from C", "process")]
    )
    out, err = capfd.readouterr()
    assert sorted(out.split("\n")) == sorted(
        ["", *2 * ["shown"], *(f"{way} after" for way in ("printed", "descriptor", "from C", "process"))]
    )
    assert err == "error after\n"


def test_text_without_a_file_is_taken_once() -> None:
    kept = Output()
    assert kept.take() == ""
    for text in ("one", "two"):
        with kept.redirected():
            print(text)
        assert kept.take() == f"{text}\n"
    with kept.redirected():
        pass
    assert kept.take() == ""


@pytest.mark.parametrize("how", ["print", "descriptor", "lines"])
def test_a_log_is_bounded(tmp_path: Path, how: str) -> None:
    path = tmp_path / "out"
    size = 40 * LARGEST
    with Output(path).redirected():
        print("the first line")
        if how == "print":
            print("x" * size)
        elif how == "descriptor":
            os.write(1, b"x" * size)
        else:
            for _ in range(size // 1024):
                print("x" * 1023)
                assert path.stat().st_size <= 2 * LARGEST + 2048
        print("the last line")
    text = path.read_text()
    assert len(text) <= LARGEST + 100
    assert text.startswith("the first line\nxxx")
    assert text.endswith("the last line\n")
    assert "bytes left out]" in text


def test_what_cannot_be_kept_fails_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with Output(tmp_path / "file" / "log").redirected():
        print("shown")
    assert capfd.readouterr().out == "shown\n"
    if Path("/dev/full").exists():
        with Output(Path("/dev/full")).redirected():
            print("lost")


def test_streams_outlive_the_trial_that_took_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """So a handler of logging, made while a trial trained, still works later, and in the next trial."""
    with Output(tmp_path / "one").redirected():
        stream = sys.stderr
    print("between", file=stream)
    with Output(tmp_path / "two").redirected():
        print("in the second", file=stream)
    assert capfd.readouterr().err == "between\n"
    assert (tmp_path / "two").read_text() == "in the second\n"


def descriptors() -> int:
    """How many this process has open, where that can be seen."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_a_task_that_closes_its_output_closes_no_others(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Output(tmp_path / name).redirected():
            print("kept")
            sys.stdout.close()
            os.close(2)
        assert (tmp_path / name).read_text() == "kept\n"
    before = descriptors()
    for _ in range(3):
        with Output(tmp_path / "gone" / "logs" / "log").redirected():
            pass
    assert not (tmp_path / "gone").exists(), "a run that was moved away is not made again"
    assert descriptors() == before


def test_a_trial_within_a_trial_shares_its_log(tmp_path: Path) -> None:
    with Output(tmp_path / "outer").redirected():
        with Output(tmp_path / "inner").redirected():
            print("inner")
        print("outer")
    assert (tmp_path / "outer").read_text() == "inner\nouter\n"


def test_a_debugger_gets_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def hook(*_: Any) -> None:
        print("(Pdb) asked")

    monkeypatch.setattr(sys, "breakpointhook", hook)
    with Output(tmp_path / "log").redirected():
        print("kept")
        breakpoint()
        print("seen")
    assert capfd.readouterr().out == "(Pdb) asked\nseen\n"
    assert (tmp_path / "log").read_text() == "kept\n"
    assert sys.breakpointhook is hook


def test_output_that_is_no_descriptor_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook."""
    seen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", seen)
    with Output(tmp_path / "log").redirected():
        print("kept")
        print("shown", file=output.terminal())
    assert (seen.getvalue(), (tmp_path / "log").read_text()) == ("shown\n", "kept\n")


def test_a_process_without_standard_output_still_trains(tmp_path: Path) -> None:
    program = """
        import os, sys
        from pathlib import Path
        from tune_app.training.output import Output
        if sys.argv[1:]:
            os.close(1)
            os.close(2)
        with Output(Path("log")).redirected():
            print("kept")
            os.system("echo by another process")
        Path("done").touch()
    """
    python = [sys.executable, "-c", textwrap.dedent(program)]
    closed = ["sh", "-c", '"$@" >&- 2>&-', "sh"]
    for command in ([*python, "later"], [*closed, *python]):
        subprocess.run(command, cwd=tmp_path, check=False)
        (tmp_path / "done").unlink()
        assert (tmp_path / "log").read_text() == "kept\nby another process\n"
        (tmp_path / "log").unlink()
