"""Events as JSON objects, and back; their types and bounds, for a record may come from a stranger."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tune_app.sweep.event_lines import load, parse, plain
from tune_app.sweep.events import (
    Epoch,
    Event,
    EventError,
    Failed,
    Opened,
    Planned,
    Stopped,
)

SAVED = {"epoch": 3, "file": "1-0-000003-state.pt", "size_bytes": 10, "crc32": 7}
CHECKPOINT = {"event": "checkpoint", "t": 1.0, "trial": "1.1", "saved": SAVED}
FAILED = {"event": "failed", "t": 1.0, "trial": "1.1", "reason": "no", "log": "logs/1.1.log"}
DECISION = {"event": "decision", "t": 1.0, "trial": "1.1", "sample": 1, "epoch": 1, "rung": 1}


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


EPOCH: dict[str, Any] = {
    "event": "epoch",
    "t": 5.0,
    "trial": "1.1",
    "epoch": 1,
    "metrics": {"val_loss": [0.5, None]},
    "durations_s": [1.0, 2.0],
}


@pytest.mark.parametrize(
    "event",
    [
        Epoch(t=1.0, trial="1.1", epoch=1, metrics={"a": [0.5, None]}, durations_s=[1.0, 2.0], device="cpu"),
        Planned(
            t=1.0, sample=1, fingerprint="f", config={"a": True, "b": None}, duplicate_of=None, asked=True
        ),
        Failed(t=1.0, trial="1.1", reason="no", log="logs/1.1.log", sample=1, moved=True),
        Opened(t=1.0, storage="/mnt", provenance={"versions": {"torch": "2"}}),
    ],
)
def test_an_event_comes_back_from_its_line(event: Event) -> None:
    found = plain(event)
    assert list(found)[:2] == ["event", "t"]
    assert parse(found) == load(json.dumps(found).encode()) == event


def test_a_line_lacks_what_says_nothing() -> None:
    assert plain(Stopped(t=1.0, trial="1.1", reason="asked")).keys() >= {"event", "t", "trial", "reason"}
    assert "storage" not in plain(Opened(t=1.0))
    assert "device" not in plain(parse(EPOCH))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"event": "epochs"}, "no event"),
        ({"epoch": "1"}, "no event"),
        ({"epoch": 0}, "no event"),
        ({"more": 1}, "no event"),
    ],
)
def test_what_is_no_event_is_refused(changed: dict[str, Any], words: str) -> None:
    fields = EPOCH | changed
    with pytest.raises(EventError, match=words):
        parse(fields)
    with pytest.raises(EventError, match=words):
        load(json.dumps(fields).encode())


@pytest.mark.parametrize("missing", ["event", "t", "metrics"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(EventError, match=missing):
        parse({name: value for name, value in EPOCH.items() if name != missing})


@pytest.mark.parametrize("text", [b"{", b"[1]", b"NaN", b'{"event": "opened", "t": NaN}', b"\xff"])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(EventError):
        load(text)


def test_fields_of_an_earlier_version_are_left_out_unless_strict() -> None:
    old = EPOCH | {"of_old": 1}
    assert parse(old, strict=False) == parse(EPOCH)
    with pytest.raises(EventError):
        parse(old | {"crc": "00"}, strict=False)


def test_a_number_of_a_class_of_its_own_is_recorded_as_that_number() -> None:
    metrics: dict[str, list[float | None]] = {"val_loss": [np.float64(0.1), None]}
    event = Epoch(trial="1.1", epoch=1, metrics=metrics, durations_s=[np.float64(2.0), 1.0])
    made = parse(plain(event))
    assert made == event
    assert isinstance(made, Epoch)
    assert {type(value) for value in made.metrics["val_loss"]} == {float, type(None)}
    with pytest.raises(TypeError, match="ndarray"):
        plain(Opened(sharing={"any": np.zeros(2)}))
