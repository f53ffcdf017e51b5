"""Seeds: one for each purpose of each replicate in each epoch."""

from __future__ import annotations

import numpy as np

#: What a random draw is for; each purpose has a stream of its own.
INITIALISATION, BATCH_ORDER, NOISE, FUNCTION = range(4)


def derive_seed(seed: int, purpose: int, replicate: int, epoch: int = 0) -> int:
    """A 63-bit seed for one purpose of one replicate in one epoch (numpy's SeedSequence)."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(purpose, replicate, epoch))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def function_seed(seed: int, replicate: int) -> int:
    """The seed that a function task is given: of 31 bits, which every library takes (numpy: 32 bits)."""
    return derive_seed(seed, FUNCTION, replicate) >> 32
