"""A folder of images as a data source."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from facts import lacking
from make_data import image_folder
from PIL import Image

from tune_app.data import folder, load
from tune_app.data.images import pixel_keys
from tune_app.errors import DataError


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1000_bacteria_2931.jpeg", "person1000"),
        ("person1_virus_2_3.jpeg", "person1"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0115-0001-0002.jpeg", "IM-0115"),
        ("NORMAL2-IM-0338-0001.jpeg", "NORMAL2-IM-0338"),
        ("person.jpeg", ""),
        ("scan-7.png", ""),
    ],
)
def test_patient_of(name: str, patient: str) -> None:
    assert folder.patient_of(name) == patient


def test_small_folder_is_taken_whole_with_a_note(tmp_path: Path) -> None:
    data = load(str(image_folder(tmp_path / "scans")), image_size=16)
    assert data.identity.counts == {"train": 22, "val": 2, "test": 8}
    assert any(lacking(note, ["12", "train", "normal", "1000"]) == [] for note in data.identity.notes)
    assert (data.identity.kind, data.identity.source) == ("folder", "scans")
    assert str(tmp_path) not in str(data.identity)
    assert not any(
        note.startswith("Only") for note in load(str(tmp_path / "scans"), everything=True).identity.notes
    )


def test_the_draw_is_seeded_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "PER_CLASS", {"train": 6, "test": 2})
    source = image_folder(tmp_path / "scans", train=30, test=10)
    pool = folder.read(source, 16)
    assert (len(pool.train.rows(0)), len(pool.train.rows(1)), len(pool.test)) == (6, 6, 4)
    assert pool.train.names == folder.read(source, 16).train.names
    assert list(pool.train.names[:6]) == sorted(pool.train.names[:6])
    assert pool.train.names[0] != "train/NORMAL/IM-0000-0000.png"  # a draw, not the first six
    assert len(folder.read(source, 16, everything=True).train) == 60


def test_training_copies_of_test_images_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "PER_CLASS", {"train": 10, "test": 4})
    source = image_folder(tmp_path / "scans", train=12, test=4)
    for number, copy in enumerate(sorted((source / "test" / "NORMAL").iterdir())[:2]):
        # the same pixels in another file, as another class too
        Image.open(copy).convert("RGB").save(source / "train" / "NORMAL" / f"IM-0500-{number}.png")
        Image.open(copy).save(source / "train" / "PNEUMONIA" / f"person500_virus_{number}.png")
    pool = folder.read(source, 16)
    assert (len(pool.train.rows(0)), len(pool.train.rows(1))) == (10, 10)  # others were drawn in their place
    assert not set(pixel_keys(pool.train.x)) & set(pixel_keys(pool.test.x))
    everything = folder.read(source, 16, everything=True)
    assert len(everything.dropped) == 4
    assert all("500" in name for name in everything.dropped)


def test_nothing_left_to_train_on(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans")
    shutil.rmtree(source / "train" / "NORMAL")
    shutil.copytree(source / "test" / "NORMAL", source / "train" / "NORMAL")
    with pytest.raises(DataError, match=r"\b4 images\b"):
        load(str(source))


def test_other_files_are_not_images(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans")
    (source / "train" / "NORMAL" / "Thumbs.db").write_bytes(b"x")
    (source / "train" / "NORMAL" / "._IM-0000-0000.png").write_bytes(b"x")
    assert len(folder.read(source, 16).train.rows(0)) == 12


def test_empty_and_missing_class(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans")
    shutil.rmtree(source / "train" / "PNEUMONIA")
    with pytest.raises(DataError, match=r"train/PNEUMONIA: No such file"):
        load(str(source))
    (source / "train" / "PNEUMONIA").mkdir()
    with pytest.raises(DataError, match=r"train/PNEUMONIA: "):
        load(str(source))


def test_real_xrays(xrays: Path, tmp_path: Path) -> None:
    """A part of the real set, so that it is quick: 60 + 60 for training, 20 + 20 for the test."""
    for split, count in (("train", 60), ("test", 20)):
        for name in ("NORMAL", "PNEUMONIA"):
            (tmp_path / "part" / split / name).mkdir(parents=True)
            for file in sorted((xrays / split / name).iterdir())[:count]:
                shutil.copy(file, tmp_path / "part" / split / name)
    data = load(str(tmp_path / "part"), image_size=32, split="patient")
    assert data.identity.counts == {"train": 108, "val": 12, "test": 40}
    assert "" not in data.train.patients + data.val.patients + data.test.patients
    assert 60 < data.train.x.mean() < 180
    assert data.train.x.std() > 30
