"""A model as a file of its own. Its inputs are six numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_task import GRID, TASK, request, run

from tune_app import models, results
from tune_app.errors import DataError, RunError, StorageError

UserModule = Callable[[str], str]


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("evaluate", ["best", "last"])
def test_a_model_predicts_what_the_record_holds(user_module: UserModule, keep: str, evaluate: str) -> None:
    task = f"{user_module(TASK)}:Task"
    text = GRID.replace("keep: last", f"keep: {keep}") + f"evaluate: {evaluate}\n"
    frames = results.load(run(request(task, text)))
    sample = int(results.ranked(frames).iloc[0]["sample"])
    about = models.export(frames, sample, Path("m.pt"))
    assert (about["shape"], about["config"]) == ([6], {"lr": about["config"]["lr"]})
    assert set(torch.load("m.pt", weights_only=True)) == {*about, "weights"}
    rng = np.random.default_rng(3)
    labels = np.arange(20) % 2
    for n in (40, 20):
        rng.normal(size=(n, 6))
    x = (rng.normal(size=(20, 6)) + labels[:, None]).astype(np.float32)
    np.save("x.npy", x)
    found = models.predict(Path("m.pt"), [Path("x.npy")])
    scores = frames.scores(sample)[about["replicate"]]
    recorded = 1 / (1 + np.exp(-scores.astype(float)))
    assert [each.probabilities["1"] for each in found] == pytest.approx(recorded, abs=1e-6)
    assert [each.name for each in found[:2]] == ["x.npy[0]", "x.npy[1]"]
    assert {each.label for each in found} <= {"0", "1"}
    np.save("one.npy", x[0])
    assert models.predict(Path("m.pt"), [Path("one.npy")])[0].label == found[0].label


def test_what_cannot_be_is_told(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task", GRID))
    frames = results.load(sweep)
    with pytest.raises(StorageError, match=r"none/m.pt: .*--model"):
        models.export(frames, 1, Path("none/m.pt"))
    models.export(frames, 1, Path("m.pt"))
    for shape, words in (((7,), r"its shape is \(7,\); the model takes \(6,\)"), ((2, 5), r"\(2, 5\)")):
        np.save("x.npy", np.zeros(shape))
        with pytest.raises(DataError, match=words):
            models.predict(Path("m.pt"), [Path("x.npy")])
    Path("x.npy").write_text("no array")
    with pytest.raises(DataError, match="array"):
        models.predict(Path("m.pt"), [Path("x.npy")])
    with pytest.raises(DataError, match=r"\(6,\)"):
        models.predict(Path("m.pt"), [Path("x.png")])
    torch.save({"format": "another"}, "other.pt")
    with pytest.raises(DataError, match="is not of the format"):
        models.predict(Path("other.pt"), [Path("x.npy")])
    sweep.prune()
    with pytest.raises(RunError, match=r"(?s)tune-app confirm one"):
        models.export(frames, 1, Path("m.pt"))
