"""torch's compiler is loaded where something is compiled, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TRAINING = """
import sys
import torch
from torch import nn
from torch.optim import Optimizer
from tune_app.training import compiler

compiler.load_only_when_used()

def trained(model, optimizer):
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    return model.weight.detach().clone()

def made():
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    return model, torch.optim.Adam(model.parameters(), 0.1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        (
            """
            import tune_app
            from tune_app import space
            for way in ("looped", "stacked"):
                text = f"task: pneumonia\\nspace: {{lr: {{grid: [1e-3]}}}}\\nseeds: 2\\n"
                text += f"epochs: 1\\nreplicates: {way}"
                tune_app.run(space.parse(text, name="my"), image_size=8, address="inline", show=False)
            """,
            False,
        ),
        ("torch.compile(nn.Linear(3, 2), backend='eager')(torch.ones(2, 3)); trained(*made())", True),
        (
            """
            before = trained(*made())
            step = torch.compile(lambda m, o: trained(m, o), backend="eager")
            assert torch.allclose(step(*made()), before, atol=1e-4)  # a compiled step rounds otherwise
            assert torch.equal(trained(*made()), before)
            hidden = [vars(Optimizer)[name].__wrapped__ for name in ("zero_grad", "state_dict")]
            assert not any(f.__dynamo_disable.__module__ == compiler.__name__ for f in hidden)
            """,
            True,
        ),
    ],
    ids=["not by replicates", "by a model", "by a whole step"],
)
def test_the_compiler_is_loaded_when_it_is_used(tmp_path: Path, program: str, loaded: bool) -> None:
    code = f"{TRAINING}\n{textwrap.dedent(program)}\nprint('torch._dynamo' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[-1] == str(loaded)
