"""Image files of every kind as grey pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_data import image_folder
from PIL import Image

from tune_app.data import load
from tune_app.data.images import decode, resize
from tune_app.errors import DataError


def test_every_mode_and_size_becomes_grey(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8)
    grey = Image.fromarray(ramp)
    modes = {
        "grey.png": grey,
        "rgb.png": grey.convert("RGB"),
        "rgba.png": grey.convert("RGBA"),
        "palette.png": grey.convert("P"),
        "deep.png": Image.fromarray(ramp.astype(np.uint16) << 8),
    }
    for name, image in modes.items():
        image.save(tmp_path / name)
        np.testing.assert_allclose(
            decode(tmp_path / name, 8).astype(int), ramp.astype(int), atol=1, err_msg=name
        )
    grey.resize((40, 24)).save(tmp_path / "wide.jpg", quality=95)
    assert decode(tmp_path / "wide.jpg", 8).shape == (8, 8)


def test_shrinking_averages() -> None:
    checkered = (np.indices((1, 32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(resize(checkered, 8).astype(int) - 127).max() <= 2


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 cut"])
def test_unreadable_image(tmp_path: Path, content: bytes) -> None:
    source = image_folder(tmp_path / "scans")
    bad = source / "train" / "NORMAL" / "IM-0000-0000.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=r"IM-0000-0000.png: .*JPEG or PNG") as caught:
        load(str(source))
    assert str(caught.value).count("IM-0000-0000.png") == 1


def test_truncated_image(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "scans", side=64)
    bad = source / "test" / "PNEUMONIA" / "person1000_virus_0.png"
    bad.write_bytes(bad.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"person1000_virus_0.png: .*JPEG or PNG"):
        load(str(source))
