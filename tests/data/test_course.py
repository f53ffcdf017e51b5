from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from facts import lacking
from make_data import image_folder, layout, noise

from tune_app.data import course, import_folder, load
from tune_app.errors import DataError

FILE = "train/pneumonia.npy"


def test_loads_at_the_stored_size_and_another(tmp_path: Path) -> None:
    folder = layout(tmp_path / "mine")
    data = load(str(folder))
    assert data.identity.counts == {"train": 36, "val": 4, "test": 10}
    assert (data.identity.image_size, data.identity.kind, data.identity.source) == (8, "folder", "mine")
    assert "train/normal.npy[0]" in data.train.names + data.val.names
    assert any("name no patient" in note for note in data.identity.notes)
    large = load(str(folder), image_size=12)
    assert large.train.x.shape == (36, 12, 12)
    assert large.identity.fingerprint != data.identity.fingerprint


def test_fortran_order_is_the_same_data(tmp_path: Path) -> None:
    folder = layout(tmp_path / "mine")
    before = load(str(folder)).identity.fingerprint
    np.save(folder / FILE, np.asfortranarray(np.load(folder / FILE)))
    assert load(str(folder)).identity.fingerprint == before


def test_labels_follow_the_files(tmp_path: Path) -> None:
    data = load(str(layout(tmp_path)))
    for images in data.sets().values():
        assert [int("pneumonia" in name) for name in images.names] == images.y.tolist()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _pickle(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, noise(20))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (Path.unlink, "train/normal.npy"),
        (_cut, ""),
        (lambda path: path.write_bytes(b""), ""),
        (lambda path: path.write_bytes(b"<html>not found</html>"), r"\.npy"),
        (_pickle, r"\.npy"),
        (_archive, r"\.npy"),
        (lambda path: np.save(path, noise(20).astype(np.float32)), r"float32.*\(20, 8, 8\).*uint8"),
        (
            lambda path: np.save(path, noise(20).reshape(20, 64)),
            r"\(20, 64\).*uint8 \(N, H, W\)",
        ),
        (lambda path: np.save(path, noise(20, side=9)), "9 x 9.*train/normal.npy.*8 x 8"),
        (lambda path: np.save(path, noise(0)), ""),
    ],
)
def test_damage_names_the_file_and_the_mend(tmp_path: Path, damage: object, says: str) -> None:
    folder = layout(tmp_path / "mine")
    assert callable(damage)
    damage(folder / FILE)
    with pytest.raises(DataError, match=rf"mine/{FILE}: .*{says}(.|\n)*tune-app data "):
        load(str(folder))


def test_oblong_images_need_a_size(tmp_path: Path) -> None:
    folder = layout(tmp_path)
    for name in course.COURSE_FILES:
        np.save(folder / name, np.load(folder / name)[:, :, :6])
    with pytest.raises(DataError, match=r"8 x 6(.|\n)*--image-size"):
        load(str(folder))
    assert load(str(folder), image_size=8).train.x.shape[1:] == (8, 8)


def test_training_copies_of_test_images_are_dropped_and_noted(tmp_path: Path) -> None:
    folder = layout(tmp_path)
    x = np.load(folder / "train/normal.npy")
    x[3] = np.load(folder / "test/test_pneumonia.npy")[1]
    np.save(folder / "train/normal.npy", x)
    data = load(str(folder))
    assert data.dropped == ("train/normal.npy[3]",)
    assert data.identity.counts == {"train": 35, "val": 4, "test": 10}
    assert any(lacking(note, ["1", "test"]) == [] for note in data.identity.notes)
    np.save(folder / "train/normal.npy", np.load(folder / "test/test_normal.npy"))
    with pytest.raises(DataError, match="normal"):
        load(str(folder))


def test_blob_id_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert course.blob_id(path) == "ce013625030ba8dba906f756967f9e9ca394464a"
    if shutil.which("git"):
        path.write_bytes(bytes(range(256)) * 9000)
        said = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True)
        assert course.blob_id(path) == said.stdout.strip()


def test_the_courses_own_files_are_known_by_their_blob_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data/course/train/normal.npy: (.|\n)*tune-app data fetch"):
        load("course")
    layout(course.COURSE_DIR)
    with pytest.raises(DataError, match=r"train/normal.npy: (.|\n)*tune-app data fetch"):
        load("course")
    blobs = {name: course.blob_id(course.COURSE_DIR / name) for name in course.COURSE_FILES}
    monkeypatch.setattr(course, "COURSE_FILES", blobs)
    by_name, by_path = load("course"), load("data/course")
    assert (by_name.identity.kind, by_name.identity.source) == ("course", "course")
    assert by_name.identity == by_path.identity
    np.save("data/course/test/test_normal.npy", noise(5, seed=99))
    assert load("data/course").identity.kind == "folder"


class TestMeta:
    @pytest.fixture
    def imported(self, tmp_path: Path) -> Path:
        import_folder(image_folder(tmp_path / "scans"), tmp_path / "out", image_size=16)
        return tmp_path / "out"

    def test_names_and_patients_come_back(self, imported: Path) -> None:
        data = load(str(imported), split="patient")
        assert set(data.train.patients) & {"IM-0000", "IM-0001", "person0"}
        assert all(name.startswith("train/") and name.endswith(".png") for name in data.train.names)

    def test_a_changed_array_is_found(self, imported: Path) -> None:
        x = np.load(imported / FILE)
        x[0, 0, 0] ^= 1
        np.save(imported / FILE, x)
        with pytest.raises(DataError, match=rf"{FILE}: (.|\n)*[iI]mport"):
            load(str(imported))

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}'])
    def test_damaged(self, imported: Path, text: str) -> None:
        (imported / "meta.json").write_text(text)
        with pytest.raises(DataError, match=r"meta.json: (.|\n)*[iI]mport"):
            load(str(imported))

    @pytest.mark.parametrize(
        ("changed", "where"),
        [
            ({"format": 2}, "format"),
            ({"image_size": "64"}, "image_size"),
            ({"files": {"x.npy": {"sha256": "ab", "names": 3, "patients": ["p1"]}}}, r"files.x.npy.names"),
            ({"more": 1}, "more"),
        ],
    )
    def test_damage_is_told_with_its_place(
        self, imported: Path, changed: dict[str, object], where: str
    ) -> None:
        path = imported / "meta.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))
        with pytest.raises(DataError, match=rf"meta.json: .*{where}.*\n.*tune-app data import"):
            load(str(imported))

    def test_names_must_match_the_arrays(self, imported: Path) -> None:
        about = json.loads((imported / "meta.json").read_text())
        about["files"][FILE]["names"].pop()
        (imported / "meta.json").write_text(json.dumps(about))
        with pytest.raises(DataError, match=r"meta.json: .*12 images.*train/pneumonia.npy"):
            load(str(imported))
