from __future__ import annotations

import ast
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawing import DRAWING, PROGRAMS
from hypothesis import given, settings
from hypothesis import strategies as st
from process_state import process
from specs import make_spec

from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.errors import TaskError, Terminated
from tune_app.session import lifecycle
from tune_app.session.request import Request, request_for
from tune_app.space import Config
from tune_app.sweep import Sweep
from tune_app.tasks import isolation
from tune_app.tasks.isolation import ProcessState, TaskExited, preserved
from tune_app.tasks.task import Context, FunctionTask
from tune_app.training.replicates import FunctionReplicates

UserModule = Callable[[str], str]
#: By replicate, program and epoch.
Values = dict[tuple[int, Any, int], float]


@pytest.fixture(scope="module")
def drawing() -> FunctionTask:
    scope: dict[str, Any] = {}
    exec(textwrap.dedent(DRAWING), scope)
    train: FunctionTask = scope["train"]
    return train


def generated(function: FunctionTask, program: str, *replicates: int, epochs: int = 3) -> FunctionReplicates:
    spec = make_spec({"program": program, "a": 1, "extra": 2}, replicates, seed=4, epochs=epochs)
    return FunctionReplicates(spec, function, "cpu")


def values(group: FunctionReplicates, epochs: int = 3) -> list[list[float]]:
    """Of each replicate, epoch by epoch."""
    found = [[each["val_loss"] for each in group.step()] for _ in range(epochs)]
    return [list(each) for each in zip(*found, strict=True)]


@settings(max_examples=25)
@given(st.text("rntpdgsScxfFhvewky", min_size=1, max_size=8), st.sampled_from(["", "N", "I", "E"]))
def test_a_replicate_of_a_generated_task_is_the_same_alone_and_beside_others(
    drawing: FunctionTask, program: str, end: str
) -> None:
    alone = {r: values(generated(drawing, program + end, r))[0] for r in range(3)}
    for group in [(0, 1, 2), (2, 0), (1, 2)]:
        assert values(generated(drawing, program + end, *group)) == [alone[r] for r in group]
    if set(program) & set("rntp") and "S" not in program:
        assert len({str(each) for each in alone.values()}) == 3, "replicates differ"


@settings(max_examples=15)
@given(st.text("rntpdgsScxfFhvewky", max_size=8), st.sampled_from(["", "N", "I", "E"]))
def test_a_generated_task_leaves_no_trace_in_its_process(
    drawing: FunctionTask, program: str, end: str
) -> None:
    before = process()
    group = generated(drawing, program + end, 0, 1)
    values(group)
    assert process() == before
    del group
    assert process() == before


# ---------------------------------------------------------------- whole sweeps


def request(name: str, seeds: int, run: str) -> Request:
    programs = ", ".join(PROGRAMS)
    text = f"task: {name}:train\nepochs: 3\nseeds: {seeds}\nmetric: {{name: val_loss, mode: min}}\n"
    text += f"space: {{program: {{grid: [{programs}]}}}}\nfixed: {{a: 1, extra: 2}}\n"
    return Request(spaces.parse(text, file="my.yaml", name="my"), name=run, address="inline")


def train(asked: Request) -> Sweep:
    return lifecycle.run(asked, asked.load()).train()


def of_record(sweep: Sweep) -> Values:
    found: Values = {}
    for configuration in Sweep.open(sweep.paths.folder).history.configurations.values():
        for replicate in configuration.replicates(sweep.space):
            for epoch, metrics, _ in configuration.epochs(replicate):
                value = metrics["val_loss"]
                assert value is not None
                found[replicate, configuration.config["program"], epoch] = value
    return found


def test_a_replicate_is_the_same_with_any_number_of_seeds_extended_and_resumed(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = user_module(DRAWING)
    before = process()
    one, three, seven = (train(request(name, seeds, f"of-{seeds}")) for seeds in (1, 3, 7))
    whole = of_record(seven)
    assert len(whole) == 7 * len(PROGRAMS) * 3
    assert of_record(three).items() < whole.items()
    assert of_record(one).items() < of_record(three).items()
    wider = spaces.extend(one.space, seeds="+2", samples=None, epochs=None, add=())
    asked = request_for(one, address="inline")
    assert of_record(lifecycle.extend(asked, asked.load(one), one, wider, "").train()) == of_record(three)

    ticks, tick = iter(range(10**6)), Driver.tick

    def die(driver: Driver) -> None:
        tick(driver)
        if next(ticks) == 3 * len(PROGRAMS) // 2:
            raise KeyboardInterrupt  # as a second signal, in mid-trial

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "tick", die)
        with pytest.raises(KeyboardInterrupt):
            train(request(name, 3, "killed"))
    killed = Sweep.open(Path("runs/killed"))
    assert 0 < len(of_record(killed)) < len(of_record(three))
    assert of_record(train(request(name, 3, "killed"))) == of_record(three)
    assert process() == before


LATE = """
    import sys

    def train(config, context):
        assert ("torch" in sys.modules) == (context.replicate != NUMBERS[0])
        import torch
        for _ in range(2):
            yield {"val_loss": torch.rand(()).item()}

    from tune_app.tasks.isolation import ProcessState
    from specs import make_spec
    from tune_app.training.replicates import FunctionReplicates
    NUMBERS = [int(each) for each in sys.argv[1]]
    state = ProcessState(0, with_torch=lambda: sys.modules["torch"].set_num_threads(3))
    with state:
        group = FunctionReplicates(make_spec({}, NUMBERS, epochs=2), train, "cpu")
        found = [group.step(), group.step()]
        threads = sys.modules["torch"].get_num_threads()
    found = {r: [each[i]["val_loss"] for each in found] for i, r in enumerate(NUMBERS)}
    print([found, threads, sys.modules["torch"].get_num_threads() != 3])
"""


@pytest.mark.slow
def test_torch_that_is_imported_in_the_first_epoch_is_seeded_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(textwrap.dedent(LATE))
    found = []
    for numbers in ("01", "10", "1"):
        ran = subprocess.run(
            [sys.executable, "late.py", numbers],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        values, threads, threads_as_before = ast.literal_eval(ran.stdout)
        assert (threads, threads_as_before) == (3, True)
        found.append(values)
    assert found[0] == found[1]
    assert found[2] == {1: found[0][1]}
    assert found[0][0] != found[0][1]


class Gpu:
    """Torch's functions on the generators of a GPU, which there are once something has looked for it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.initialized, self._queued, self._state = False, 0, 0
        patch.setattr(isolation, "_gpus_were_possible", lambda: True)
        patch.setattr(torch.cuda, "is_initialized", lambda: self.initialized)
        patch.setattr(torch.cuda, "manual_seed_all", self._seed)
        patch.setattr(torch.cuda, "get_rng_state_all", lambda: [self._state])
        patch.setattr(torch.cuda, "set_rng_state_all", lambda states: setattr(self, "_state", states[0]))

    def _seed(self, seed: int) -> None:
        if self.initialized:
            self._state = seed
        self._queued = seed

    def draw(self) -> int:
        if not self.initialized:
            self.initialized, self._state = True, self._queued
        self._state += 1
        return self._state


def test_a_gpus_generators_are_each_replicates_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        for epoch in range(3):
            yield {"val_loss": gpu.draw() if epoch or context.replicate else 0}

    found: dict[int, list[float]] = {}
    for numbers in [(0,), (1,), (0, 1), (1, 0)]:
        with monkeypatch.context() as patch:
            gpu = Gpu(patch)
            group = FunctionReplicates(make_spec({}, numbers), task, "cuda")
            for r, each in zip(numbers, values(group), strict=True):
                assert found.setdefault(r, each) == each
            assert gpu.draw() == torch.initial_seed() + 1, "as it was for whoever else is in this process"
    assert found[0][1:] != found[1][1:]


# ---------------------------------------------------------------- what ends a process


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda: sys.exit(0), "called sys.exit(0)"),
        (lambda: sys.exit(), "called sys.exit()"),
        (lambda: sys.exit("too bad"), "called sys.exit('too bad')"),
        (lambda: exit(3), "called sys.exit(3)"),
        (lambda: _raise(GeneratorExit()), "raised GeneratorExit"),
        (lambda: _raise(type("Own", (BaseException,), {})()), "raised Own"),
    ],
)
def test_what_would_end_the_process_is_an_error_of_the_task(end: Callable[[], Any], words: str) -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        yield {"val_loss": 1}
        end()
        yield {"val_loss": 2}

    group = FunctionReplicates(make_spec({}, epochs=2), task, "cpu")
    group.step()
    before = process()
    with pytest.raises(TaskExited) as caught:
        group.step()
    assert caught.value.what == words
    assert isinstance(caught.value, TaskError)
    assert process() == before


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Terminated(143), ValueError("mine")])
def test_signals_and_exceptions_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, ProcessState(0):
        raise error
    assert caught.value is error


# ---------------------------------------------------------------- states


def test_threads_take_turns_and_draw_what_they_draw_alone() -> None:
    def draw(seed: int) -> None:
        state = ProcessState(seed)
        for _ in range(50):
            with state:
                found[seed].append((random.random(), np.random.rand(), torch.rand(()).item()))

    found: dict[int, list[tuple[float, ...]]] = {0: [], 1: []}
    for seed in found:
        draw(seed)
    alone, found = found, {0: [], 1: []}
    threads = [threading.Thread(target=draw, args=(seed,)) for seed in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_a_folder_that_is_removed_is_left_all_the_same(tmp_path: Path) -> None:
    before = Path.cwd()
    (tmp_path / "gone").mkdir()
    state = ProcessState(0)
    with state:
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
    assert Path.cwd() == before
    with state:
        assert Path.cwd() == before


def test_what_a_task_has_not_changed_follows_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ProcessState(0)
    with state:
        np.seterr(over="raise")
    monkeypatch.setenv("LATER", "1")
    with state:
        assert os.environ["LATER"] == "1"
        assert np.geterr()["over"] == "raise"


def test_preserved_lets_others_in_and_restores(tmp_path: Path) -> None:
    def enter() -> None:
        with ProcessState(0):
            random.random()

    before = process()
    with preserved():
        os.chdir(tmp_path)
        random.random()
        torch.set_float32_matmul_precision("high")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    assert process() == before
