"""The types and bounds of events' fields; a record may come from a stranger."""

from __future__ import annotations

from typing import Any

import pytest

from tune_app.sweep.event_json import parse, plain
from tune_app.sweep.events import EventError, Planned, RecordLine

SAVED = {"epoch": 3, "file": "1-0-000003-state.pt", "size_bytes": 10, "crc32": 7}
CHECKPOINT = {"event": "checkpoint", "t": 1.0, "trial": "1.1", "saved": SAVED}
FAILED = {"event": "failed", "t": 1.0, "trial": "1.1", "reason": "no", "log": "logs/1.1.log"}
DECISION = {"event": "decision", "t": 1.0, "trial": "1.1", "sample": 1, "epoch": 1, "rung": 1}


def test_an_event_has_the_name_of_its_class() -> None:
    kinds = {kind.__struct_config__.tag for kind in RecordLine.__subclasses__()}
    public = {"created", "opened", "planned", "started", "epoch", "decision", "checkpoint", "diverged"}
    assert public | {"finished", "stopped", "failed", "extended"} <= kinds


def test_the_line_of_a_duplicate_keeps_its_key() -> None:
    line = plain(Planned(t=1.0, sample=2, fingerprint="f", config={}, duplicate_of=1))
    assert (line["sample"], line["twin"]) == (2, 1)


@pytest.mark.parametrize(
    "event",
    [
        CHECKPOINT | {"saved": SAVED | {"file": "../x-state.pt"}},
        CHECKPOINT | {"saved": SAVED | {"file": "/etc/passwd"}},
        CHECKPOINT | {"saved": SAVED | {"crc32": 2**32}},
        CHECKPOINT | {"saved": SAVED | {"size_bytes": -1}},
        FAILED | {"log": "../1.1.log"},
        FAILED | {"log": "logs/../../x.log"},
        DECISION | {"value": float("inf"), "threshold": None, "stop": False},
        FAILED | {"t": 1e12},
        {"event": "opened", "t": 1.0, "provenance": {"versions": 3}},
    ],
)
def test_what_lies_outside_of_its_bounds_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(EventError):
        parse(event)


def test_sound_fields_are_read() -> None:
    for event in (CHECKPOINT, FAILED, DECISION | {"value": 0.5, "threshold": None, "stop": False}):
        assert parse(event).t == 1.0
