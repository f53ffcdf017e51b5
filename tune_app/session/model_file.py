"""Reading and checking a model file, which may be damaged or come from a stranger."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_app.errors import DataError, describe
from tune_app.space.model import REFERENCE
from tune_app.sweep.paths import open_plain
from tune_app.training import checkpoint

FORMAT = "tune-app model 1"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """What a model was trained on; ``unknown`` or None where its file, of an earlier version, does not say.

    ``kind`` is the kind of the data's identity, ``shape`` the shape of one input, ``extent`` the smallest and
    largest number of the training inputs.
    """

    task: str
    data: str
    kind: str
    fingerprint: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] | None
    extent: tuple[float, float] | None

    @property
    def line(self) -> str:
        """The model in one line."""
        which = f" (sha256 {self.fingerprint[:12]})" if self.fingerprint else ""
        drawn = ", images drawn by code" if self.kind == "phantom" else ""
        return f"task {self.task}, trained on {self.data}{drawn}{which}; inputs of {_by(self.shape)}"

    @property
    def warning(self) -> str:
        """A warning about every prediction of the model; empty if there is none."""
        if self.kind == "phantom":
            return "trained on images drawn by code: what it says of a real X-ray means nothing"
        if self.kind == UNKNOWN:
            return "its file does not say what it was trained on: do not rely on what it says"
        return ""


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _origin(content: dict[str, Any]) -> Origin:
    data = content.get("data")
    # A file of an earlier version has no kind, but the data of phantoms is always called "phantom".
    kind = content.get("data_kind") or ("phantom" if data == "phantom" else UNKNOWN)
    extent, classes = content.get("extent"), content.get("classes")
    return Origin(
        str(content["task"]),
        "data of its own" if kind == "arrays" else str(data or f"{UNKNOWN} data"),
        kind,
        str(content.get("data_sha256") or ""),
        tuple(content["shape"]),
        tuple(classes) if classes else None,
        (float(extent[0]), float(extent[1])) if extent else None,
    )


def read(path: Path) -> tuple[dict[str, Any], Origin, str]:
    """The content of a model file, the origin of the model, and the identity of the file for ``trust``.

    Raises:
        DataError: it is no model file, or it is damaged.
    """
    make = "Make one with: tune-app best NAME --model FILE"
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a model file. {make}")
    try:
        with open_plain(path.resolve()) as file:
            identity = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
            content = checkpoint.deserialize(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged file may cause any error
        raise DataError(f"{path}: is not a model file, or is damaged ({describe(error)}). {make}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f'{path}: is not of the format "{FORMAT}". {make}')
    if lacking := [key for key in ("task", "config", "shape", "weights") if key not in content]:
        raise DataError(f"{path}: lacks {', '.join(lacking)}. {make}")
    if wrong := [
        key for key, holds in _HOLDS.items() if content.get(key) is not None and not holds(content[key])
    ]:
        raise DataError(f"{path}: the value of {wrong[0]} is not one that tune-app writes. {make}")
    if why := _unusable(content["weights"], size_bytes):
        raise DataError(f"{path}: its weights cannot be used: {why}. {make}")
    return content, _origin(content), identity


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _scalar(value: Any) -> bool:
    return (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )


#: Checks of the optional parts of a model file; the weights have their own.
_HOLDS: dict[str, Callable[[Any], bool]] = {
    "task": lambda value: _text(value) and (":" not in value or REFERENCE.fullmatch(value) is not None),
    "config": lambda value: (
        isinstance(value, dict) and all(map(_text, value)) and all(map(_scalar, value.values()))
    ),
    "shape": lambda value: (
        isinstance(value, list | tuple) and all(_whole(side) and side > 0 for side in value)
    ),
    "data": _text,
    "data_kind": _text,
    "data_sha256": _text,
    "classes": lambda value: isinstance(value, list | tuple) and all(map(_text, value)),
    "extent": lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(end, int | float) for end in value)
    ),
}


def _unusable(weights: Any, size_bytes: int) -> str:
    """Why no model can have these weights, read from a file of ``size_bytes``; empty if one can."""
    import torch

    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        return "they are not a mapping of names to tensors"
    tensors = {name: each for name, each in weights.items() if isinstance(each, torch.Tensor)}
    if others := [name for name in weights.keys() - tensors.keys() if not name.endswith("_extra_state")]:
        return f"{min(others)!r} is not a tensor"
    if any(each.layout != torch.strided or each.device.type != "cpu" for each in tensors.values()):
        return "their memory layout is not the one that tune-app writes"
    if sum(each.numel() * each.element_size() for each in tensors.values()) > size_bytes:
        return "they claim to be larger than the file"
    return next((f"{name!r} holds NaN" for name, each in tensors.items() if each.isnan().any()), "")
