"""A task's arrays on a device, and the batches that models get of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tune_app.tasks.task import Labelled, Splits


class Buffers:
    """Memory for batches, which is reused: on a CPU, allocating pages costs more than filling them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[torch.dtype, torch.Size], Tensor] = {}

    def gatherer(self, x: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
        """A function from indices to a batch of ``x`` for a model; the next call overwrites the batch.

        Args:
            x: (N, ...), integers or floating; integers become float32.
            rows: the size of the largest batch. Indices (B,) give (B, ...), and (R, B) give (R, B, ...).
        """
        shape = x.shape[1:]
        picked = self._room(x, rows, x.dtype)
        batch = picked if x.is_floating_point() else self._room(x, rows, torch.float32)

        def gather(index: Tensor) -> Tensor:
            n = index.numel()
            torch.index_select(x, 0, index.reshape(-1), out=picked[:n])
            if batch is not picked:
                batch[:n].copy_(picked[:n])
            return batch[:n].view(*index.shape, *shape)

        return gather

    def _room(self, like: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        key = (dtype, like.shape[1:])
        kept = self._kept.get(key)
        if kept is None or len(kept) < rows:
            kept = self._kept[key] = like.new_empty((rows, *like.shape[1:]), dtype=dtype)
        return kept


@dataclass(frozen=True)
class DeviceSplit:
    """Inputs ``x`` (N, ...) and labels ``y`` (N,) on the training device."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class DeviceSplits:
    """A task's arrays, put on a device once and shared by every trial of a process."""

    train: DeviceSplit
    val: DeviceSplit
    test: DeviceSplit
    buffers: Buffers = field(default_factory=Buffers, compare=False)

    @classmethod
    def load(cls, splits: Splits, device: str) -> DeviceSplits:
        """Copy the arrays to ``device``; integer pixels stay as they are until a batch is gathered."""

        def put(part: Labelled) -> DeviceSplit:
            return DeviceSplit(torch.tensor(part.x, device=device), torch.tensor(part.y, device=device))

        return cls(put(splits.train), put(splits.val), put(splits.test))
