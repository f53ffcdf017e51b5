"""What the hardware allows for the paper's model: FLOPs and bytes of a step against what this machine does.

A step over a batch of B images of D pixels, h = 64 nodes in each of three hidden layers, P parameters:

- FLOPs: ``4 B D h`` for the first layer (forward, and its weights' gradient: no gradient flows to the
  pixels), ``6 B (2 h^2 + h)`` for the others (forward, weights' and inputs' gradient).
- Bytes: ``9 * 4 P`` (weights read, gradient written and read, weights and both moments of Adam read and
  written) plus ``B D`` (pixels, uint8) and ``2 * 4 B D`` (the batch as float32, written and read).

The time of a step is at least the larger of FLOPs / (FLOP/s) and bytes / (bytes/s); both rates are measured
here, on one thread or on the GPU in float32, in the same run as what they are compared with. Validation is
left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

BATCH, NODES, IMAGES = 128, 64, 1800


@dataclass(frozen=True)
class Machine:
    """What a core or a GPU does: FLOP/s in a product of the first layer's shape, bytes/s in a large copy."""

    flops: float
    bytes_s: float


def parameters(pixels: int) -> int:
    """Parameters of the model."""
    return pixels * NODES + NODES + 2 * (NODES * NODES + NODES) + NODES + 1


def step_flops(pixels: int, batch: int = BATCH) -> int:
    """Floating-point operations of one step."""
    return 4 * batch * pixels * NODES + 6 * batch * (2 * NODES * NODES + NODES)


def step_bytes(pixels: int, batch: int = BATCH) -> int:
    """Bytes that one step must move when nothing of it stays in a cache."""
    return 9 * 4 * parameters(pixels) + 9 * batch * pixels


def measure(device: str = "cpu") -> Machine:
    """The rates of one core of this machine, or of its GPU (``cuda``): the best of several tries."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, b = torch.rand(128, 65536, device=device), torch.rand(65536, 64, device=device)
        product = min(_timed(lambda: a @ b, device) for _ in range(5))
        source = torch.rand((64 if device == "cpu" else 4096) << 18, device=device)  # MiB
        target = torch.empty_like(source)
        copy = min(_timed(lambda: target.copy_(source), device) for _ in range(5))
    finally:
        torch.set_num_threads(threads)
    return Machine(2 * 128 * 65536 * 64 / product, 2 * source.nbytes / copy)


def model_seconds(machine: Machine, pixels: int, epochs: int) -> float:
    """Seconds on one core, or on the GPU, that a model of ``epochs`` epochs takes at least."""
    full, rest = divmod(IMAGES, BATCH)
    batches = [BATCH] * full + [rest] * (rest > 0)
    return epochs * sum(
        max(step_flops(pixels, batch) / machine.flops, step_bytes(pixels, batch) / machine.bytes_s)
        for batch in batches
    )


def _timed(action: Callable[[], object], device: str) -> float:
    for wait in (False, True):  # the first time, a GPU loads what it runs
        begin = time.perf_counter()
        action()
        if device == "cuda":
            torch.cuda.synchronize()
        if wait or device == "cpu":
            break
    return time.perf_counter() - begin
