"""``meta.json`` of an import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tune_app.data import course
from tune_app.errors import DataError

FILE = {"sha256": "ab", "names": ["a.png"], "patients": ["p1"]}
WHOLE = course.Meta(
    tune_app="1",
    source="scans",
    image_size=64,
    resize_filter="bilinear",
    draw_seed=0,
    everything=False,
    dropped=[],
    notes=[],
    files={"train/x.npy": course.FileMeta.model_validate(FILE)},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert course.read_meta(tmp_path) is None
    (tmp_path / course.META).write_text(WHOLE.model_dump_json(), encoding="utf-8")
    assert course.read_meta(tmp_path) == WHOLE


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"format": 2}, "format"),
        ({"image_size": "64"}, "image_size"),
        ({"files": {"x.npy": FILE | {"names": 3}}}, r"files.x.npy.names"),
        ({"more": 1}, "more"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(
    tmp_path: Path, changed: dict[str, object], where: str
) -> None:
    text = json.dumps(WHOLE.model_dump() | changed)
    (tmp_path / course.META).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"meta.json: .*{where}.*\n.*tune-app data import"):
        course.read_meta(tmp_path)
    (tmp_path / course.META).write_bytes(b"{")
    with pytest.raises(DataError, match=r"meta\.json"):
        course.read_meta(tmp_path)
