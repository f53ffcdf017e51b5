"""Stopping a run from another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_task import (
    LEVELS,
    TASK,
    again,
    events,
    request,
    run,
)

from tune_app.errors import RunError, TrialsFailed
from tune_app.session import lifecycle
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]


WAITING = """
    import time
    from pathlib import Path

    def task(config, context):
        for epoch in range(1, 200):
            Path(f"at.{config['level']}.{epoch}").touch()
            while config["level"] == 2 and epoch == 2 and not Path("go").exists():
                time.sleep(0.01)
            yield {"val_accuracy": epoch}
            if config["level"] != 2 and epoch == 3:
                return
"""


def asking(trial: str | None) -> tuple[threading.Thread, list[BaseException]]:
    """Ask from another thread, as another process would, once configuration 2 is under way."""
    errors: list[BaseException] = []

    def work() -> None:
        while not Path("at.2.2").exists():
            time.sleep(0.01)
        threading.Timer(0.3, Path("go").touch).start()
        try:
            lifecycle.request_stop(Sweep.open("runs/one"), trial)
        except RunError as error:
            errors.append(error)
            Path("go").touch()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, errors


def test_one_trial_is_stopped_and_the_others_go_on(user_module: UserModule) -> None:
    thread, errors = asking("2")
    run(request(f"{user_module(WAITING)}:task", LEVELS.replace("epochs: 2", "epochs: 199")))
    thread.join()
    assert errors == []
    assert Sweep.open("runs/one").statuses() == ["finished", "stopped", "finished"]
    [stopped] = events("one", "stopped")
    assert "tune-app stop" in stopped["reason"]
    assert list(Path("runs/one/control").iterdir()) == []


def test_a_run_is_stopped_and_can_be_resumed(user_module: UserModule) -> None:
    thread, errors = asking(None)
    text = LEVELS.replace("epochs: 2", "epochs: 3")
    with pytest.raises(TrialsFailed, match=r"(?s)tune-app stop.*tune-app resume one"):
        run(request(f"{user_module(WAITING)}:task", text))
    thread.join()
    assert errors == []
    assert lifecycle.resume(*again("one")).train().statuses() == ["finished"] * 3


def test_there_must_be_something_to_stop(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task"))
    with pytest.raises(RunError, match="one"):
        lifecycle.request_stop(sweep, None)
    with pytest.raises(RunError, match=r"\b1 is finished"):
        lifecycle.request_stop(sweep, "1")
    with Sweep.open("runs/one").writing(), pytest.raises(RunError, match=r"\b0\.1 s\b.*control"):
        lifecycle.request_stop(sweep, None, wait_s=0.1)
