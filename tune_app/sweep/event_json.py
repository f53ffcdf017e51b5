"""An event as a JSON object, and back.

`tune_app.sweep.events` has the classes; `tune_app.sweep.record` adds checksums and writes the lines.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec

from tune_app.sweep.events import Event, EventError, RecordLine

#: Fields that are left out of a line if they have these values.
_LEFT_OUT = {
    "asked": False,
    "device": "",
    "looped": "",
    "moved": False,
    "storage": None,
    "test_images_crc32": None,
    "sharing": None,
}

_FIELDS = {
    kind.__struct_config__.tag: {"event", *kind.__struct_encode_fields__}
    for kind in RecordLine.__subclasses__()
}


def load(text: bytes, strict: bool = True) -> Event:
    """The event of a JSON line.

    Args:
        text: the JSON object, without a checksum.
        strict: whether to refuse fields that the event does not have. Else only ``crc`` is refused.

    Raises:
        EventError: it is no event, lacks a field, or a field has a wrong type or range.
    """
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        if (event := _DECODER.decode(text)).t:  # else it may lack it
            return event
    # Python takes some that it refuses, such as half a surrogate pair.
    try:
        fields = _JSON.decode(text.decode())
    except (ValueError, RecursionError) as error:
        raise EventError(f"no JSON: {error}") from error
    return parse(fields, strict)


def parse(fields: Any, strict: bool = True) -> Event:
    """``load`` for parsed JSON."""
    try:
        known = _FIELDS.get(fields["event"])
        fields["t"]  # the class has a default for it
        if known and not strict:
            fields = {name: value for name, value in fields.items() if name in known or name == "crc"}
        return msgspec.convert(fields, Event)  # type: ignore[no-any-return]
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        missing = isinstance(error, KeyError)
        raise EventError(f"it has no {error}" if missing else f"no event: {error}") from error


def plain(event: Event) -> dict[str, Any]:
    """An event as the object of its line, its kind and time first; `parse` makes the event of it again."""
    found: dict[str, Any] = msgspec.to_builtins(event, enc_hook=_number)
    return {name: value for name, value in found.items() if _LEFT_OUT.get(name, ...) != value}


def _number(value: Any) -> float | int:
    """Convert a subclass of a number, such as numpy's float64."""
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"an event cannot hold a {type(value).__name__}: {value!r:.60}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


_JSON = json.JSONDecoder(parse_constant=_refuse)
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
