"""A model as a file of its own. Its inputs are six numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_task import GRID, TASK, request, run

from tune_app import results
from tune_app.errors import DataError, RunError, StorageError, TaskError
from tune_app.report import terminal
from tune_app.session import saved_models

UserModule = Callable[[str], str]


def origin_of(path: Path) -> saved_models.Origin:
    return saved_models.read(path)[0]


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("evaluate", ["best", "last"])
def test_a_model_predicts_what_the_record_holds(user_module: UserModule, keep: str, evaluate: str) -> None:
    task = f"{user_module(TASK)}:Task"
    text = GRID.replace("keep: last", f"keep: {keep}") + f"evaluate: {evaluate}\n"
    frames = results.load(run(request(task, text)))
    sample = int(results.ranked(frames).iloc[0]["sample"])
    about = saved_models.export(frames, sample, Path("m.pt"))
    assert (about["shape"], about["config"]) == ([6], {"lr": about["config"]["lr"]})
    assert set(torch.load("m.pt", weights_only=True)) == {*about, "weights"}
    rng = np.random.default_rng(3)
    labels = np.arange(20) % 2
    for n in (40, 20):
        rng.normal(size=(n, 6))
    x = (rng.normal(size=(20, 6)) + labels[:, None]).astype(np.float32)
    np.save("x.npy", x)
    found = saved_models.predict(Path("m.pt"), [Path("x.npy")])
    scores = frames.scores(sample)[about["replicate"]]
    recorded = 1 / (1 + np.exp(-scores.astype(float)))
    assert [each.probabilities["1"] for each in found] == pytest.approx(recorded, abs=1e-6)
    assert [each.name for each in found[:2]] == ["x.npy[0]", "x.npy[1]"]
    assert {each.label for each in found} <= {"0", "1"}
    np.save("one.npy", x[0])
    assert saved_models.predict(Path("m.pt"), [Path("one.npy")])[0].label == found[0].label


def test_what_cannot_be_is_told(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task", GRID))
    frames = results.load(sweep)
    with pytest.raises(StorageError, match=r"none/m.pt: .*--model"):
        saved_models.export(frames, 1, Path("none/m.pt"))
    saved_models.export(frames, 1, Path("m.pt"))
    for shape, words in (((7,), r"its shape is \(7,\); the model takes \(6,\)"), ((2, 5), r"\(2, 5\)")):
        np.save("x.npy", np.zeros(shape))
        with pytest.raises(DataError, match=words):
            saved_models.predict(Path("m.pt"), [Path("x.npy")])
    Path("x.npy").write_text("no array")
    with pytest.raises(DataError, match="array"):
        saved_models.predict(Path("m.pt"), [Path("x.npy")])
    with pytest.raises(DataError, match=r"\(6,\)"):
        saved_models.predict(Path("m.pt"), [Path("x.png")])
    torch.save({"format": "another"}, "other.pt")
    with pytest.raises(DataError, match="format"):
        saved_models.predict(Path("other.pt"), [Path("x.npy")])
    sweep.prune()
    with pytest.raises(RunError, match=r"(?s)tune-app confirm one"):
        saved_models.export(frames, 1, Path("m.pt"))


# ---------------------------------------------------------------- what a model was trained on


@pytest.fixture
def phantom(user_module: UserModule) -> Path:
    """A model of the built-in task, trained on phantoms of 16 x 16."""
    del user_module  # it moves to an empty folder
    text = "space: {lr: {grid: [0.001]}}\nepochs: 1\nseeds: 1\n"
    frames = results.load(run(request("pneumonia", text, image_size=16)))
    saved_models.export(frames, 1, Path("m.pt"))
    return Path("m.pt")


def image(pixels: NDArray[Any], name: str = "film.png") -> Path:
    Image.fromarray(pixels).save(name)
    return Path(name)


def test_a_model_says_what_it_was_trained_on(phantom: Path) -> None:
    origin = origin_of(phantom)
    assert (origin.kind, origin.shape, origin.classes) == ("phantom", (16, 16), ("normal", "pneumonia"))
    assert origin.extent is not None
    assert 0 <= origin.extent[0] < origin.extent[1] <= 255
    assert "drawn by code" in origin.line
    assert "drawn by code" in origin.warning
    grey = np.arange(400, dtype=np.uint8).reshape(20, 20)
    found = saved_models.predict(phantom, [image(grey)])
    assert found[0].warnings == ()
    assert terminal.predictions(origin, found).splitlines()[1] == f"warning: {origin.warning}"


def test_an_input_unlike_those_in_training_is_named(phantom: Path) -> None:
    ramp = np.arange(400, dtype=np.uint8).reshape(20, 20)
    colour = np.stack([ramp, ramp.T, 255 - ramp], axis=2)
    odd: dict[str, tuple[NDArray[Any], str]] = {
        "small.png": (np.array([[7]], np.uint8), "1 x 1, enlarged to 16 x 16"),
        "long.png": (np.tile(ramp, (1, 5)), "100 x 20, squeezed"),
        "colour.png": (colour, "in colour"),
        "dark.png": (ramp.astype(np.uint16), "lie from 0 to 0 only"),
        "flat.png": (np.full((20, 20), 9, np.uint8), "lie from 9 to 9 only"),
    }
    for name, (pixels, words) in odd.items():
        [found] = saved_models.predict(phantom, [image(pixels, name)])
        assert any(words in warning for warning in found.warnings), name
        assert f"warning: {name}: " in terminal.predictions(origin_of(phantom), [found])
    [fine] = saved_models.predict(phantom, [image((ramp.astype(np.uint16) << 8), "deep.png")])
    assert fine.warnings == ()
    for scale, words in ((1 / 255, "only, those in training"), (1000, "those in training")):
        np.save("x.npy", np.linspace(0, 255, 256).reshape(16, 16) * scale)
        [found] = saved_models.predict(phantom, [Path("x.npy")])
        assert words in found.warnings[0]


def test_what_is_no_input_is_told(phantom: Path) -> None:
    Path("folder.png").mkdir()
    Path("text.png").write_text("no image")
    whole = image(np.zeros((40, 40), np.uint8)).read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    np.save("nan.npy", np.full((16, 16), np.nan))
    np.save("words.npy", np.full((16, 16), "a"))
    Path("empty.npy").touch()
    for name, words in {
        "folder.png": "is a folder",
        "none.png": "No such file",
        "text.png": "not a readable",
        "cut.png": "not a readable",
        "nan.npy": "holds NaN",
        "words.npy": "<U",
        "empty.npy": "cannot be read as an array",
    }.items():
        with pytest.raises(DataError, match=rf"^{name}: .*{words}"):
            saved_models.predict(phantom, [Path(name)])


def test_a_file_of_an_earlier_version_says_what_it_knows(phantom: Path) -> None:
    content = torch.load(phantom, weights_only=True)
    for key in ("data_kind", "classes", "extent"):
        del content[key]
    torch.save(content, phantom)
    assert origin_of(phantom).kind == "phantom"
    film = image(np.zeros((20, 20), np.uint8))
    assert saved_models.predict(phantom, [film])[0].warnings == ()
    torch.save(content | {"data": "/my/films"}, phantom)
    assert origin_of(phantom).kind == saved_models.UNKNOWN
    assert "does not say" in origin_of(phantom).warning
    del content["data"], content["data_sha256"]
    torch.save(content, phantom)
    assert "unknown data" in origin_of(phantom).line
    del content["weights"]
    torch.save(content, phantom)
    with pytest.raises(DataError, match="weights"):
        saved_models.predict(phantom, [film])


def test_a_model_of_own_arrays_keeps_their_extent(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    saved_models.export(results.load(run(request(task, GRID))), 1, Path("m.pt"))
    origin = origin_of(Path("m.pt"))
    assert (origin.kind, origin.shape, origin.classes, origin.warning) == ("arrays", (6,), None, "")
    np.save("x.npy", np.full((2, 6), 1e6))
    assert "numbers lie from 1e+06" in saved_models.predict(Path("m.pt"), [Path("x.npy")])[1].warnings[0]


def test_what_the_task_of_a_model_raises_is_told(user_module: UserModule) -> None:
    name = user_module(TASK)
    saved_models.export(results.load(run(request(f"{name}:Task", GRID))), 1, Path("m.pt"))
    content = torch.load("m.pt", weights_only=True)
    other = user_module(
        "from " + name + " import Task as T\n\nclass Task(T):\n    def model(self, c, s): 1 / 0\n"
    )
    torch.save(content | {"task": f"{other}:Task"}, "m.pt")
    np.save("x.npy", np.zeros(6))
    with pytest.raises(TaskError, match=r"model\(\) raised ZeroDivisionError"):
        saved_models.predict(Path("m.pt"), [Path("x.npy")], trust=True)
