"""What the tests themselves count on."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import conftest
import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_suite_in_the_background_starts_processes_that_can_be_interrupted(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        conftest.restore_interrupts()
        assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
        assert (
            subprocess.run(["sh", "-c", f"ulimit -c 0; kill -{int(number)} $$"], check=False).returncode
            == -number
        )
    finally:
        signal.signal(number, before)


def test_the_files_that_run_first_are_there() -> None:
    assert [file for file in conftest._FIRST if not (Path(__file__).parents[1] / file).is_file()] == []
