"""Synthetic chest radiographs, drawn from a seed: no download, no patients, and a real problem to learn.

A picture is built in layers, like a radiograph: trunk, lungs, ribs, heart, spine, opacities, exposure,
noise. Every curve is a rational function (no exp, no sin), so that IEEE arithmetic alone decides each
pixel and the same seed gives the same bytes on every platform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_app.data.images import CLASSES, Images, Pool

DEFAULT_SIZE = 64
SEED = 2023

_CHUNK = 10  # images drawn at a time: small enough for the processor's cache

F = NDArray[np.floating[Any]]


def read(size: int = DEFAULT_SIZE, train: int = 1000, test: int = 200) -> Pool:
    """``train`` and ``test`` images of each class, (size, size) pixels."""
    note = "Synthetic images: a figure from them says nothing about X-rays."
    return Pool(draw("train", train, size), draw("test", test, size), notes=(note,))


def draw(split: str, count: int, size: int = DEFAULT_SIZE, seed: int = SEED) -> Images:
    """``count`` images of each class for ``split`` ("train" or "test"): x of shape (2 * count, size, size).

    The test set comes "from another clinic": brighter, flatter and less well centred.
    """
    shifted = split == "test"
    y = np.repeat(np.arange(len(CLASSES)), count).astype(np.int64)
    # Two streams, so that an image shows the same anatomy at every size, whatever noise is on it.
    rng, grain = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, int(shifted), stream])))
        for stream in range(2)
    )
    chunks = [
        _radiographs(rng, grain, y[start : start + _CHUNK], size, shifted)
        for start in range(0, len(y), _CHUNK)
    ]
    names = tuple(f"{split}/{CLASSES[label]}/phantom-{i:05d}" for i, label in enumerate(y))
    # Every phantom is somebody else, so no patient is in two splits.
    return Images(np.concatenate(chunks), y, names, names)


def _radiographs(
    rng: np.random.Generator, grain: np.random.Generator, y: NDArray[np.int64], size: int, shifted: bool
) -> NDArray[np.uint8]:
    """One chunk, labels ``y`` (N,) -> pixels (N, size, size)."""
    n = len(y)

    def uniform(low: float, high: float) -> F:
        return low + (high - low) * rng.random((n, 1, 1), dtype=np.float32)

    side = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    wobble = 0.055 if shifted else 0.04
    zoom, tilt = uniform(0.95, 1.06), uniform(-0.04, 0.04)
    u0, v0 = side[None, None, :] - uniform(-wobble, wobble), side[None, :, None] - uniform(-wobble, wobble)
    u, v = (u0 + tilt * v0) * zoom, (v0 - tilt * u0) * zoom  # (N, size, size), -1..1, v grows downwards

    trunk = _step((0.95 - u * u / uniform(0.75, 0.95) - 0.12 * v * v) * 6)
    width, height = uniform(0.30, 0.36), uniform(0.58, 0.70)
    apart, middle = uniform(0.40, 0.45), uniform(-0.12, 0.0)
    diaphragm = _step((uniform(0.42, 0.58) - v + 0.25 * (np.abs(u) - 0.4) ** 2) * 14)
    left, right = (
        _step((1 - ((u - sign * apart) / width) ** 2 - ((v - middle) / height) ** 2) * 4) for sign in (-1, 1)
    )
    lungs = (left + right) * diaphragm
    heart = _bump(
        ((u - uniform(0.12, 0.18)) / uniform(0.28, 0.36)) ** 2 + ((v - 0.32) / uniform(0.30, 0.36)) ** 2
    )
    spine = _bump((u / 0.13) ** 2)
    period = uniform(4.0, 5.0)
    phase = (v - 0.35 * u * u) * period + uniform(0, 1)
    wave = phase - np.floor(phase)
    ribs = 16 * (wave * (1 - wave)) ** 2 * _step((0.85 - np.abs(u)) * 8)

    depth = uniform(0.36, 0.46)  # how dark the air is: a deep breath, a thin or a stout patient
    picture = 0.30 + 0.38 * trunk - depth * lungs + 0.26 * heart + 0.15 * spine
    picture += uniform(0.03, 0.09) * ribs * trunk
    picture += _opacities(rng, y, u, v, apart, middle) * lungs

    # Exposure last, as on the film: its contrast and brightness differ between patients and clinics.
    contrast = uniform(0.80, 1.06) if shifted else uniform(0.85, 1.1)
    brightness = uniform(-0.06, 0.08) if shifted else uniform(-0.06, 0.06)
    picture = (
        (picture - 0.45) * contrast + 0.45 + brightness + uniform(-0.08, 0.08) * u + uniform(-0.06, 0.06) * v
    )
    noise = grain.integers(0, 256, size=(2, n, size, size), dtype=np.uint8).astype(np.float32)
    noisy = picture * 255 + (noise[0] - noise[1]) * (0.09 if shifted else 0.07)
    pixels: NDArray[np.uint8] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return pixels


def _opacities(rng: np.random.Generator, y: NDArray[np.int64], u: F, v: F, apart: F, middle: F) -> F:
    """Soft shadows over the lungs (N, size, size): pneumonia's, often faint, and lesser ones.

    Healthy lungs have shadows too (vessels, a breast, an old scar), so brightness alone does not tell.
    """
    n = len(y)

    def random() -> F:
        return rng.random((n, 1, 1), dtype=np.float32)

    ill = (y == 1)[:, None, None]
    strength = 0.10 + 0.50 * random()
    shade = np.zeros_like(u)
    for spot in range(4):
        x0 = np.where(random() < 0.5, -apart, apart) + 0.3 * (random() - 0.5)
        y0 = middle + 0.9 * (random() - 0.35)
        radius, roundness = 0.16 + 0.26 * random(), 0.7 + 0.6 * random()
        disease = strength * (random() < (1.0 if spot == 0 else 0.6))
        harmless = 0.10 * random() * (random() < 0.5)
        shape = _bump(((u - x0) / radius) ** 2 + ((v - y0) / (radius * roundness)) ** 2)
        shade += np.where(ill, disease, harmless) * shape
    return shade / (1 + shade)  # spots on one another add up to less than white


def _step(t: F) -> F:
    """A smooth 0..1 step at t = 0."""
    return 0.5 + 0.5 * t / np.sqrt(1 + t * t)


def _bump(r2: F) -> F:
    """A smooth 1..0 spot, ``r2`` the squared distance in radii."""
    spot: F = 1 / (1 + r2 * r2)
    return spot
