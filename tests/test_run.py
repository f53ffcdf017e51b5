"""A sweep from Python: what it leaves of the process that asked for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from process_state import process

import tune_app
from tune_app.errors import TrialsFailed

#: Its import changes the process, and so does each epoch; level 3 ends it.
TASK = """
    import argparse, logging, os, random, signal, sys, warnings
    import numpy as np
    import torch
    from helper import HELP

    argparse.ArgumentParser().parse_args()
    os.chdir("/")
    os.environ["MINE"] = "1"
    sys.path.insert(0, "/nowhere")
    warnings.simplefilter("ignore")
    logging.getLogger("optuna").setLevel(5)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("high")
    random.seed(0)

    def train(config, context):
        np.random.seed(context.seed)
        for epoch in range(context.epochs):
            assert (os.getcwd(), os.environ["MINE"], sys.path[0]) == ("/", "1", "/nowhere")
            if config["level"] == 3:
                sys.exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            yield {"val_accuracy": float(torch.rand(())) * HELP}
"""


def make(folder: Path) -> None:
    (folder / "mine.py").write_text(textwrap.dedent(TASK))
    (folder / "helper.py").write_text("HELP = 0.5")
    for name in ("random", "queue", "pandas", "scipy", "torch", "ray", "bottleneck", "colorlog", "triton"):
        (folder / f"{name}.py").write_text("raise RuntimeError('a file beside the task')")


def run(levels: list[int], address: str) -> list[float]:
    space = {"task": "mine:train", "space": {"level": {"grid": levels}}, "epochs": 2, "seeds": 2}
    frames = tune_app.run(space, address=address, show=False)
    return [float(value) for value in frames.seeds["val_accuracy"]]


def test_a_sweep_in_this_process_leaves_it_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["notebook", "--not", "for the task"])
    monkeypatch.syspath_prepend("")  # as in a notebook
    before = process()
    assert len(set(run([1, 2], "inline"))) == 2, "by seed, not by level"
    assert process() == before
    with pytest.raises(TrialsFailed, match=r"the task called sys.exit\(0\)"):
        run([3], "inline")
    assert process() == before
    assert {path.name for path in Path("runs").iterdir()} == {"space-1", "space-2"}


PROGRAM = """
    import json
    import tune_app
    from process_state import process
    from test_run import TrialsFailed, run

    before, said = process(), ""
    try:
        run([1, 2, 3], "local")
    except TrialsFailed as error:
        said = str(error)
    after = process()
    seeds = tune_app.open("runs/space-1").seeds
    found = [float(value) for value in seeds[seeds["level"] < 3]["val_accuracy"]]
    print(json.dumps([found, [name for name in before if after[name] != before[name]], said]))
"""


@pytest.mark.slow
def test_a_sweep_on_ray_leaves_the_process_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside/program.py").write_text(textwrap.dedent(PROGRAM))
    tests = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = tests
    ran = subprocess.run(
        [sys.executable, "aside/program.py"],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        | {"PYTHONPATH": tests},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found, changed, error = json.loads(ran.stdout.splitlines()[-1])
    assert changed == []
    assert "the task called sys.exit(0)" in error
    assert found == run([1, 2], "inline"), "the same as in this process"
