"""The code of a session, and what the processes of its trials have loaded beside or instead of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tune_app.sweep import Sweep, code
from tune_app.sweep.events import Code


class SessionCode:
    """The code of the session that has opened a sweep.

    Args:
        sweep: open for writing; its last session is this one.
        record: records an event.
        notify: shows a line to the user.
    """

    def __init__(self, sweep: Sweep, record: Callable[[Code], object], notify: Callable[[str], None]) -> None:
        self._sweep, self._record, self._notify = sweep, record, notify
        #: What is known so far; files that a trial imports while it trains are added.
        self.known = code.of_session(sweep.history, len(sweep.history.openings) - 1)

    def add(self, trial: str, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the files and versions that a trial's process has and the session does not."""
        self._record(Code(trial=trial, files=dict(found["files"]), versions=dict(found["versions"])))
        theirs = code.of_attempt(self._sweep.history, self._sweep.history.attempts[trial], self.known)
        if different := code.differences(self.known, theirs):
            self._notify(f"note: the process of trial {trial} has other code: {', '.join(different)}")
        new = {name: value for name, value in found["files"].items() if name not in self.known.all}
        self.known = replace(self.known, found={**self.known.found, **new})
