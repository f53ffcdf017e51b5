from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from tune_app.data import Dataset, load
from tune_app.data.phantom import draw, read


@pytest.fixture(scope="module")
def phantom() -> Dataset:
    return load("phantom")


def test_bytes_are_pinned() -> None:
    """Every curve is a rational function, so these bytes are the same on every platform."""
    assert (
        hashlib.sha256(draw("train", 3, 64).x.tobytes()).hexdigest()
        == "c78ec321be57624cc10d0b2b276b683bd0ac416a4b617229f4469873de397edc"
    )
    assert (
        hashlib.sha256(draw("test", 3, 64).x.tobytes()).hexdigest()
        == "aac0072d4b9ee47bfe681e13c9e0556e715064662c6f27bef2fe3a7bc3ea3ed4"
    )


def test_a_seed_is_a_set() -> None:
    one = draw("train", 5, 32, seed=1)
    np.testing.assert_array_equal(one.x, draw("train", 5, 32, seed=1).x)
    assert not np.array_equal(one.x, draw("train", 5, 32, seed=2).x)
    assert not np.array_equal(one.x, draw("test", 5, 32, seed=1).x)


def test_counts_names_and_notes(phantom: Dataset) -> None:
    assert phantom.identity.counts == {"train": 1800, "val": 200, "test": 400}
    assert (phantom.identity.kind, phantom.identity.source, phantom.identity.image_size) == (
        "phantom",
        "phantom",
        64,
    )
    assert "Synthetic" in phantom.identity.notes[0]
    assert phantom.train.x.shape == (1800, 64, 64)
    assert phantom.train.x.dtype == np.uint8
    names = phantom.train.names + phantom.val.names + phantom.test.names
    assert len(set(names)) == 2400
    assert all(name.split("/")[0] == "test" for name in phantom.test.names)


def test_one_anatomy_at_every_size() -> None:
    small, large = draw("train", 4, 32).x, draw("train", 4, 64).x
    halved = large.reshape(8, 32, 2, 32, 2).mean(axis=(2, 4))
    assert np.abs(halved - small).mean() < 8  # noise and edges
    assert np.abs(halved - small[::-1]).mean() > 12


def test_brightness_alone_does_not_tell(phantom: Dataset) -> None:
    means, y = phantom.train.x.mean(axis=(1, 2)), phantom.train.y
    best = max(np.mean((means > threshold) == y) for threshold in np.percentile(means, range(5, 100, 5)))
    assert best < 0.70


def test_learning_rate_matters_and_the_test_set_is_shifted(phantom: Dataset) -> None:
    """The paper's model, shortened to 10 epochs: lr 3e-5 learns, 3e-7 hardly does."""
    fast, slow = (_trained(phantom, lr) for lr in (3e-5, 3e-7))
    assert 0.75 < fast["val"] < 0.97
    assert fast["val"] - slow["val"] > 0.08
    assert fast["test"] > 0.65
    bright = read(64, train=50, test=50)
    assert bright.test.x.mean() > bright.train.x.mean()


def _trained(data: Dataset, lr: float) -> dict[str, float]:
    torch.manual_seed(0)
    x = torch.from_numpy(data.train.x.reshape(len(data.train), -1).astype(np.float32))
    y = torch.from_numpy(data.train.y.astype(np.float32))
    layers = [nn.Linear(64 * 64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    loss = nn.BCEWithLogitsLoss()
    for _ in range(10):
        for batch in torch.split(torch.randperm(len(x)), 128):
            optimizer.zero_grad()
            loss(model(x[batch])[:, 0], y[batch]).backward()
            optimizer.step()
    accuracy = {}
    for name in ("val", "test"):
        images = data.sets()[name]
        with torch.no_grad():
            logits = model(torch.from_numpy(images.x.reshape(len(images), -1).astype(np.float32)))[:, 0]
        accuracy[name] = float(((logits > 0).numpy() == (images.y == 1)).mean())
    return accuracy
