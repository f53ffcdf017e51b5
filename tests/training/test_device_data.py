from __future__ import annotations

import pytest
import torch

from tune_app.training.device_data import Buffers


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32, torch.float64, torch.float16])
def test_a_batch_is_what_its_index_says_in_memory_that_is_used_again(dtype: torch.dtype) -> None:
    x = torch.randint(0, 100, (20, 3, 2)).to(dtype)
    buffers = Buffers()
    expected = dtype if dtype.is_floating_point else torch.float32
    places = set()
    for rows in (6, 4, 6):
        gather = buffers.gatherer(x, rows)
        for shape in ((rows,), (2, rows // 2), (1,), (2, 1)):
            index = torch.randint(0, 20, shape)
            batch = gather(index)
            assert batch.dtype == expected
            assert torch.equal(batch, x[index].to(expected))
            places.add(batch.data_ptr())
    assert len(places) == 1
