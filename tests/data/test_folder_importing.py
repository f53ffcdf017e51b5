from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from make_data import image_folder, layout

from tune_app.data import import_folder, load
from tune_app.errors import DataError
from tune_app.version import __version__


@pytest.mark.parametrize("split", ["image", "patient"])
def test_an_import_is_the_same_data_as_its_folder(tmp_path: Path, split: str) -> None:
    source = image_folder(tmp_path / "scans")
    out = tmp_path / "deep" / "out"
    written = import_folder(source, out, image_size=16)
    assert {name: len(file.names) for name, file in written.files.items()} == {
        "train/normal.npy": 12,
        "train/pneumonia.npy": 12,
        "test/test_normal.npy": 4,
        "test/test_pneumonia.npy": 4,
    }
    ours, theirs = load(str(out), split=split), load(str(source), image_size=16, split=split)
    assert ours.identity.fingerprint == theirs.identity.fingerprint
    assert ours.identity.notes == theirs.identity.notes
    for name, images in ours.sets().items():
        assert images.names == theirs.sets()[name].names
        assert images.patients == theirs.sets()[name].patients


def test_meta_says_where_it_came_from(tmp_path: Path) -> None:
    import_folder(image_folder(tmp_path / "scans"), tmp_path / "out", image_size=16)
    about = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert about["tune_app"] == __version__
    assert about["source"] == "scans"
    assert (about["image_size"], about["draw_seed"], about["resize_filter"]) == (16, 0, "bilinear")
    assert str(tmp_path) not in json.dumps(about)


def test_never_overwrites(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out: (.|\n)*--out") as caught:
        import_folder(source, tmp_path / "out")
    assert caught.value.exit_code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_folder(tmp_path / "scans")
    saved: list[Path] = []

    def full_disk(path: Path, *args: object, **kwargs: object) -> None:
        saved.append(path)
        if len(saved) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"")
    with pytest.raises(DataError, match=r"out: .*No space left on device"):
        import_folder(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_needs_an_image_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an image folder"):
        import_folder(layout(tmp_path / "arrays"), tmp_path / "out")
    with pytest.raises(DataError, match="not an image folder"):
        import_folder(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unwritable_place(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        import_folder(source, tmp_path / "file" / "out")
