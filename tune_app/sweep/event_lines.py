"""An event as the JSON object of its line in the record, and back."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args

import msgspec

from tune_app.sweep.events import Event, EventError

#: Fields that are left out of a line if they have these values.
_LEFT_OUT = {
    "asked": False,
    "device": "",
    "looped": "",
    "moved": False,
    "storage": None,
    "test_images_crc32": None,
    "sharing": None,
    "slots": None,
    "absorbs": 0,
    "revives": [],
    "lost": [],
    "rests": [],
}

_FIELDS = {
    kind.__struct_config__.tag: {"event", *kind.__struct_encode_fields__, "crc"} for kind in get_args(Event)
}


def load(text: bytes, strict: bool = True) -> Event:
    """The event of a JSON line without its checksum; raises EventError.

    If it need not be ``strict``, fields that the event does not have are ignored, but for ``crc``.
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
            fields = {name: value for name, value in fields.items() if name in known}
        return msgspec.convert(fields, Event)  # type: ignore[no-any-return]
    except KeyError as error:
        raise EventError(f"it has no {error}") from error
    except (TypeError, msgspec.ValidationError) as error:
        raise EventError(f"no event: {error}") from error


def plain(event: Event) -> dict[str, Any]:
    """An event as the object of its line, its kind and time first; `parse` makes the event of it again."""
    found: dict[str, Any] = msgspec.to_builtins(event, enc_hook=_number)
    return {name: value for name, value in found.items() if _LEFT_OUT.get(name, ...) != value}


def _number(value: Any) -> float | int:
    """Convert a subclass of a number, such as numpy's float64."""
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    raise TypeError(f"an event cannot hold a {type(value).__name__}: {value!r:.60}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


_JSON = json.JSONDecoder(parse_constant=_refuse)
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
