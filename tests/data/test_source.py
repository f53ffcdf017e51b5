from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from make_data import image_folder, layout

from tune_app.data import load
from tune_app.errors import DataError


def test_unknown_name_names_the_nearest_and_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load("phantm")
    said = str(caught.value)
    assert said.startswith('no data called "phantm". Did you mean "phantom"?')
    assert "tune-app data fetch" in said
    assert "tune-app data import DIR --out OUT" in said


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither the course's files .* nor an image folder"):
        load(str(tmp_path))


@pytest.mark.parametrize("size", [0, -1, 7, 4097])
def test_image_size_bounds(size: int) -> None:
    with pytest.raises(DataError, match=rf"{size}\b.*\b8\b.*\b4096\b"):
        load("phantom", image_size=size)


def test_a_bad_split_is_told_before_anything_is_read() -> None:
    with pytest.raises(DataError, match=r'"patients".*"patient"'):
        load("nowhere at all", split="patients")


def test_identity_has_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    here, there = load(".").identity, load(str(tmp_path / "mine")).identity
    assert here == there
    assert here.source == "mine"


def test_phantom_by_patient_has_no_sharing_note() -> None:
    identity = load("phantom", image_size=16, split="patient").identity
    assert identity.split == "patient"
    assert len(identity.notes) == 1


def test_image_split_notes_shared_patients(tmp_path: Path) -> None:
    source = str(image_folder(tmp_path / "scans", train=20))
    assert any("share a patient with training" in note for note in load(source, image_size=16).identity.notes)
    by_patient = load(source, image_size=16, split="patient").identity
    assert not any("share a patient" in note for note in by_patient.notes)


def test_no_heavy_imports() -> None:
    code = "import sys, tune_app.data; print(sorted({'torch', 'ray', 'pandas'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
