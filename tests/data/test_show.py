from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_data import image_folder, layout
from PIL import Image

from tune_app.data import load, show
from tune_app.errors import DataError


def test_numbers_of_a_folder(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans", train=20, test=4)
    twin = sorted((source / "test" / "NORMAL").iterdir())
    Image.open(twin[0]).save(source / "test" / "NORMAL" / "IM-0001-0009.png")
    data = load(str(source), image_size=16)
    shown = show(data, tmp_path / "sheet.png")
    rows = [line.split() for line in shown[3:7]]
    assert rows[0] == ["normal", "pneumonia", "patients", "duplicates"]
    assert [row[:3] + row[4:] for row in rows[1:]] == [
        ["training", "18", "18", "0"],
        ["validation", "2", "2", "0"],
        ["test", "5", "4", "1"],
    ]
    assert [int(row[3]) for row in rows[1:]] == [len(set(each.patients)) for each in data.sets().values()]
    shared = 1 if "IM-0001" in data.train.patients else 0
    assert f"  patients in both training and test: {shared}" in shown
    assert f"sha256 {data.identity.fingerprint}" in shown
    assert any(line.startswith("  patients in both training and validation: ") for line in shown)
    assert str(tmp_path / "sheet.png") in shown[-1]


def test_sheet_shows_every_set_and_class(tmp_path: Path) -> None:
    data = load("phantom", image_size=16)
    show(data, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("L"))
    # six rows of pictures: columns through the first picture are grey where a picture is, paper white between
    column = pixels[:, 130:230].mean(axis=1) < 250
    assert np.count_nonzero(np.diff(column.astype(int)) == 1) >= 6
    assert (pixels[40:, 10:110] < 128).any()  # the labels


def test_unknown_patients_are_not_zero(tmp_path: Path) -> None:
    shown = show(load(str(layout(tmp_path / "mine", train=3, test=1))), tmp_path / "sheet.png")
    assert "  patients in both training and validation: unknown" in shown
    assert shown[4].split()[3] == "unknown"


def test_unwritable_png(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sheet.png: .*No such file"):
        show(load("phantom", image_size=16), tmp_path / "nowhere" / "sheet.png")
