"""A model file: what is no model, or a damaged one, is refused in one line; the commands' `predict` too."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tune_app.cli import main
from tune_app.errors import DataError
from tune_app.session import saved_models


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model of the built-in task for images of 8 x 8, without weights of meaning."""
    from tune_app.tasks.pneumonia import Pneumonia

    config = {"lr": 0.1, "nodes": 4, "hidden_layers": 1}
    content = {
        "format": saved_models.FORMAT,
        "task": "pneumonia",
        "config": config,
        "shape": [8, 8],
        "data": "xrays",
        "data_kind": "folder",
        "weights": Pneumonia().model(config, (8, 8)).state_dict(),
    }
    path = tmp_path_factory.mktemp("model") / "m.pt"
    torch.save(content, path)
    return path.read_bytes()


@pytest.fixture
def model(sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("film.png")
    Path("m.pt").write_bytes(sound)
    return Path("m.pt")


def altered(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_every_flipped_bit_is_refused_or_changes_nothing(model: Path, sound: bytes) -> None:
    answer = saved_models.predict(model, [Path("film.png")])
    rng, refused = random.Random(0), 0
    for _ in range(150):
        data = bytearray(sound)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        model.write_bytes(data)
        try:
            assert saved_models.predict(model, [Path("film.png")]) == answer
        except DataError:
            refused += 1
    assert refused > 30


def test_a_flipped_bit_of_a_weight_is_refused(model: Path, sound: bytes) -> None:
    with zipfile.ZipFile(model) as archive:
        part = max(archive.infolist(), key=lambda each: each.file_size)
        weights = archive.read(part)
    for place in range(0, len(weights), 97):
        data = bytearray(sound)
        data[sound.index(weights) + place] ^= 1
        model.write_bytes(data)
        with pytest.raises(DataError, match=r"^m\.pt: .*damaged"):
            saved_models.read(model)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_model_that_was_cut_off_is_refused(share: float, model: Path, sound: bytes) -> None:
    model.write_bytes(sound[: int(share * len(sound))])
    with pytest.raises(DataError, match=r"^m\.pt"):
        saved_models.read(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", 5),
        ("task", "../x:Task"),
        ("task", "two\nlines:Task"),
        ("config", [1]),
        ("config", {"lr": [0.1]}),
        ("config", {"lr": float("nan")}),
        ("config", {"lr": [[shared := [1, 2]], [shared]]}),
        ("config", {"lr": json.loads("[" * 60 + "]" * 60)}),
        ("config", {"hidden_layers": 10**9}),
        ("config", {"nodes": 10**10}),
        ("shape", "8"),
        ("shape", [8, -8]),
        ("shape", [10**7, 10**7]),
        ("extent", [1]),
        ("classes", 2),
        ("data", "\x1b[2J"),
        ("weights", [1]),
        ("weights", {}),
        ("weights", {"1.weight": "text"}),
        ("weights", {"1.weight": torch.zeros(1).expand(10**12)}),
        ("weights", {"1.weight": torch.full((4, 64), torch.nan)}),
    ],
)
def test_what_no_model_of_ours_holds_is_refused_in_one_line(
    key: str, value: Any, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered(model, lambda content: content.update({key: value}))
    with pytest.raises(SystemExit) as end:
        main(["predict", str(model), "film.png"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("tune-app: m.pt: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_images_of_any_mode_are_read(mode: str, model: Path) -> None:
    pixels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    image = (
        Image.fromarray(pixels) if mode == "I;16" else Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    )
    image.save("any.png")
    assert len(saved_models.predict(model, [Path("any.png")])) == 1


def test_a_damaged_image_is_refused_in_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    rng = random.Random(0)
    for name in ("film.png", "film.jpeg"):
        Image.fromarray(pixels).save(name)
        whole = Path(name).read_bytes()
        for _ in range(40):
            data = bytearray(whole)
            for _ in range(3):
                data[rng.randrange(len(data))] = rng.randrange(256)
            Path(name).write_bytes(data)
            with pytest.raises(SystemExit) as end:
                main(["predict", str(model), name])
            said = capsys.readouterr().err
            assert end.value.code in (0, 2)
            assert len(said.splitlines()) == (1 if end.value.code else 0), said


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 8, 8)),
        np.full((8, 8), 1e300),
        np.full((8, 8), np.inf),
        np.zeros((8, 8), complex),
        np.zeros((8, 8), "datetime64[s]"),
        np.zeros(8, [("a", float)]),
    ],
)
def test_an_array_that_is_no_input_is_refused(array: Any, model: Path) -> None:
    np.save("x.npy", array)
    with pytest.raises(DataError, match=r"^x\.npy"):
        saved_models.predict(model, [Path("x.npy")])


@pytest.mark.parametrize("kind", [">f8", "f2", "u1", ">i2", "?", "longdouble"])
def test_an_array_of_any_numbers_is_an_input(kind: str, model: Path) -> None:
    np.save("x.npy", np.ones((2, 8, 8), kind))
    assert len(saved_models.predict(model, [Path("x.npy")])) == 2


def test_an_array_that_claims_to_be_larger_than_its_file_is_refused(model: Path) -> None:
    np.save("x.npy", np.zeros((2, 8, 8)))
    data = Path("x.npy").read_bytes().replace(b"(2, 8, 8)", b"(9999999999999, 8, 8)")
    Path("x.npy").write_bytes(data)
    with pytest.raises(DataError, match=r"^x\.npy"):
        saved_models.predict(model, [Path("x.npy")])
    np.savez("y.npy.npz", np.zeros(3))
    Path("y.npy.npz").rename("y.npy")
    with pytest.raises(DataError, match=r"^y\.npy"):
        saved_models.predict(model, [Path("y.npy")])
