"""``meta.json``: what an import knows of its arrays that the arrays cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tune_app.errors import DataError

NAME = "meta.json"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileMeta(_Strict):
    """One ``.npy`` file: its SHA-256, and the name and patient of each image in it."""

    sha256: str
    names: list[str]
    patients: list[str]


class Meta(_Strict):
    """The whole import; ``files`` by path inside the folder, with "/"."""

    format: Literal[1] = 1
    tune_app: str
    source: str  # the image folder's name
    image_size: int
    resize_filter: str
    draw_seed: int
    everything: bool
    dropped: list[str]
    notes: list[str]
    files: dict[str, FileMeta]


def read(folder: Path) -> Meta | None:
    """The folder's meta.json; None where it has none. Raises DataError for a damaged one."""
    path = folder / NAME
    try:
        return Meta.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.\n  Make it readable") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path}: damaged, or of another version of tune-app ({where}: {first['msg']}).\n"
            "  Import again: tune-app data import DIR --out OUT"
        ) from error
