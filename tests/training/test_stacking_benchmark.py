"""Looped or stacked: which rule decides, what is measured, and what a sweep keeps of it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facts import lacking
from lines import read
from specs import change

from tune_app import space as spaces
from tune_app import stopping
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.errors import RunError, SpaceError
from tune_app.session import lifecycle, preview
from tune_app.session.request import LoadedTask, Request
from tune_app.session.session import Session
from tune_app.space import Config
from tune_app.sweep import Sweep
from tune_app.sweep.events import Numerics
from tune_app.tasks import isolation
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.tasks.task import Labelled, Splits
from tune_app.training import stacking_benchmark
from tune_app.training.replicates import Replicates
from tune_app.training.stacking_benchmark import Benchmark, Choice
from tune_app.training.task_replicates import Looped, Stacked
from tune_app.training.trial import Trial

UserModule = Callable[[str], str]


def parse(text: str = "", seeds: int = 3) -> spaces.SearchSpace:
    head = f"task: pneumonia\nepochs: 3\nseeds: {seeds}\nfixed: {{batch_size: 2, nodes: 4, lr: 1e-4}}\n"
    return spaces.parse(head + text, file="my.yaml", name="my")


def images(side: int, count: int = 25) -> Splits:
    rng = np.random.default_rng(0)

    def draw(count: int) -> Labelled:
        x = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
        return Labelled(x, np.arange(count, dtype=np.int64) % 2)

    return Splits(draw(count), draw(9), draw(10))


def ask(space: spaces.SearchSpace, splits: Splits | None = None, device: str = "cpu") -> Benchmark | Choice:
    return stacking_benchmark.prepare(space, Pneumonia(), splits or images(6), 1, device)


def asked(space: spaces.SearchSpace, **changes: Any) -> Benchmark:
    """What is asked for a space, with these changes to its spec."""
    found = ask(space)
    assert isinstance(found, Benchmark)
    return replace(found, spec=change(found.spec, **changes))


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking_benchmark, "FEWEST_BATCHES", 0)


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("text", "seeds", "side", "facts"),
    [
        ("replicates: looped", 3, 6, ["asked"]),
        ("", 1, 6, ["one"]),
        ("", 3, 49, ["2,304", "CPU"]),
        ("", 3, 256, ["2,304", "CPU"]),
    ],
)
def test_where_a_rule_decides_nothing_is_measured(text: str, seeds: int, side: int, facts: list[str]) -> None:
    found = ask(parse(text, seeds), images(side, 4))
    assert isinstance(found, Choice)
    assert (found.replicates, lacking(found.why, facts)) == ("looped", [])


@pytest.mark.parametrize(("epochs", "measured"), [(12, False), (13, True)])
def test_a_sweep_that_is_soon_over_is_not_measured_first(
    monkeypatch: pytest.MonkeyPatch, epochs: int, measured: bool
) -> None:
    monkeypatch.setattr(stacking_benchmark, "FEWEST_BATCHES", 1000)
    space = parse("space: {gamma: {grid: [0.3, 0.4]}}").model_copy(update={"epochs": epochs})
    found = ask(space)  # 2 configurations, 3 seeds, 13 batches an epoch
    assert isinstance(found, Benchmark) is measured
    if isinstance(found, Choice):
        assert (found.replicates, lacking(found.why, ["1,000 batches"])) == ("looped", [])


def test_a_function_trains_its_replicates_itself() -> None:
    found = stacking_benchmark.prepare(parse(), lambda config, context: iter(()), None, 1, "cpu")
    assert isinstance(found, Choice)
    assert found.replicates == "looped"


@pytest.mark.parametrize(
    ("text", "seeds", "side", "device"),
    [("", 3, 48, "cpu"), ("", 3, 256, "cuda"), ("replicates: stacked", 1, 256, "cpu")],
)
def test_otherwise_a_few_of_the_inputs_are_taken(text: str, seeds: int, side: int, device: str) -> None:
    found = ask(parse(text, seeds), images(side), device)
    assert isinstance(found, Benchmark)
    assert found.splits.train.x.shape == (8, side, side)  # four batches
    assert found.splits.val.x.shape == (3, side, side)  # the same share of 9
    assert (len(found.spec.replicates), found.device, found.spec.config["nodes"]) == (seeds, device, 4)


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_looked_for_before_torch_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(isolation, "_GPU_DRIVERS", (str(tmp_path if there else tmp_path / "none"),))
    found = ask(parse(), images(6), "any")
    assert isinstance(found, Benchmark)
    assert found.device == ("any" if there else "cpu")
    assert isinstance(ask(parse(), images(256, 4), "any"), Benchmark if there else Choice)


def test_a_rule_takes_no_torch() -> None:
    ours = "tune_app.session.session, tune_app.training.stacking_benchmark"
    code = f"import sys, {ours}\nprint({{'torch', 'ray'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_a_gpu_what_looked_like_one_is_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    large = replace(asked(parse()), splits=images(256, 4), device="any")
    assert lacking(stacking_benchmark.run(large).why, ["2,304", "CPU"]) == []


# ---------------------------------------------------------------- measuring


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[type, float]:
    """What a replicate is said to take, looped and stacked; steps are taken all the same."""
    takes: dict[type, float] = {Looped: 0.01, Stacked: 0.01}

    def step_s(group: Any, clock: Callable[[], float]) -> float:
        group.step()
        return takes[type(group)] * len(group.all)

    monkeypatch.setattr(stacking_benchmark, "_step_s", step_s)
    return takes


@pytest.mark.parametrize(
    ("looped", "stacked", "replicates", "times"),
    [
        (0.01, 0.004, "stacked", "2.5"),
        (0.01, 0.0082, "stacked", "1.2"),
        (0.01, 0.0089, "looped", "1.1"),
        (0.01, 0.025, "looped", "0.4"),
    ],
)
def test_the_faster_is_taken_where_it_is_clearly_so(
    clock: dict[type, float], looped: float, stacked: float, replicates: str, times: str
) -> None:
    clock |= {Looped: looped, Stacked: stacked}
    found = stacking_benchmark.run(asked(parse()))
    assert (found.replicates, lacking(found.why, ["3 at once", times])) == (replicates, [])
    assert [found.looped_s, found.stacked_s] == pytest.approx([looped, stacked])
    assert lacking(found.line, [replicates, found.why]) == []


@pytest.mark.parametrize(("one_s", "at_once"), [(0.001, 40), (0.1, 10), (5.0, 2)])
def test_on_a_cpu_what_takes_long_is_measured_with_fewer(
    clock: dict[type, float], one_s: float, at_once: int
) -> None:
    clock |= {Looped: one_s, Stacked: one_s}
    assert f"{at_once} at once" in stacking_benchmark.run(asked(parse(seeds=40))).why


def test_it_is_measured_in_moments() -> None:
    stacking_benchmark.run(asked(parse()))  # loads what is loaded once
    began = time.perf_counter()
    found = stacking_benchmark.run(asked(parse()))
    assert time.perf_counter() - began < 5
    assert found.replicates in ("looped", "stacked")
    assert 0 < (found.looped_s or 0) < 1
    assert 0 < (found.stacked_s or 0) < 1


def test_what_cannot_be_stacked_is_looped_and_says_why() -> None:
    unfit = parse("space: {dropout: {grid: [0.3, 0.0]}}")
    assert stacking_benchmark.run(asked(unfit)) == Choice("looped", "Dropout 3 draws random numbers")
    forced = parse("space: {dropout: {grid: [0.3, 0.0]}}\nreplicates: stacked")
    choice = stacking_benchmark.run(asked(forced))
    assert (choice.replicates, lacking(choice.why, ["looped", "Dropout 3"])) == ("stacked", [])
    assert stacking_benchmark.run(asked(parse("replicates: stacked"))) == Choice("stacked", "as asked")


def test_what_diverges_cannot_be_measured() -> None:
    found = stacking_benchmark.run(asked(parse(), config={"lr": 1e30, "batch_size": 2}))
    assert (found.replicates, found.looped_s) == ("looped", None)
    assert "diverges" in found.why


@pytest.mark.parametrize(("replicates", "chosen"), [("auto", "looped"), ("stacked", "stacked")])
def test_what_fails_is_left_to_the_trials_to_tell(
    user_module: UserModule, replicates: str, chosen: str
) -> None:
    name = user_module(
        """
        from tune_app.tasks.pneumonia import Pneumonia

        class Task(Pneumonia):
            def model(self, config, shape):
                raise ValueError("no such model")
        """
    )
    found = stacking_benchmark.run(replace(asked(parse(), task=f"{name}:Task"), replicates=replicates))
    why = "where possible; the first configuration is looped: it raises ValueError: no such model"
    if chosen == "looped":
        why = "it raises ValueError: no such model"
    assert found == Choice(chosen, why)


def test_neither_does_a_batch_of_no_size_matter_here() -> None:
    class Task(Pneumonia):
        def batch_sizes(self, config: Config) -> tuple[int, int]:
            raise KeyError("batch")

    found = stacking_benchmark.prepare(parse(), Task(), images(6), 1, "cpu")
    assert found == Choice("looped", "measuring failed: KeyError: 'batch'")


# ---------------------------------------------------------------- in a process of its own


def test_another_process_answers(user_module: UserModule, capfd: pytest.CaptureFixture[str]) -> None:
    name = user_module(
        """
        from tune_app.tasks.pneumonia import Pneumonia

        print("loud")

        class Task(Pneumonia):
            def batch_sizes(self, config):
                print("very")
                return 2, 2
        """
    )
    with stacking_benchmark.run_beside(asked(parse(), task=f"{name}:Task", config={"dropout": 0.3})) as found:
        assert found() == Choice("looped", "Dropout 3 draws random numbers")
    assert capfd.readouterr().out == ""


def test_a_process_that_dies_is_told(user_module: UserModule) -> None:
    name = user_module("import os\nos._exit(7)")
    with stacking_benchmark.run_beside(asked(parse(), task=f"{name}:Task")) as found:
        choice = found()
        assert (choice.replicates, lacking(choice.why, ["7"])) == ("looped", [])


def test_a_process_that_hangs_is_told_and_ended(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacking_benchmark, "_PATIENCE_S", 0.2)
    name = user_module("import time\ntime.sleep(1000)")
    began = time.monotonic()
    with stacking_benchmark.run_beside(asked(parse(), task=f"{name}:Task")) as found:
        assert lacking(found().why, ["0.2 s"]) == []
    assert time.monotonic() - began < 20


# ---------------------------------------------------------------- kept with the sweep


@pytest.fixture
def loaded(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedTask:
    monkeypatch.chdir(tmp_path)
    return LoadedTask(Pneumonia(), tiny.identity, tiny, Pneumonia().splits(tiny))


def train(space: spaces.SearchSpace, loaded: LoadedTask, **options: Any) -> Sweep:
    return lifecycle.run(Request(space, address="inline", **options), loaded).train()


def epochs(sweep: Sweep) -> Iterator[dict[str, Any]]:
    return (event for _, event in read(sweep.paths.record) if event["event"] == "epoch")


@pytest.mark.parametrize("better", ["looped", "stacked"])
def test_the_choice_is_in_the_record_and_goes_for_all_trials(
    loaded: LoadedTask, clock: dict[type, float], monkeypatch: pytest.MonkeyPatch, better: str
) -> None:
    clock[Stacked if better == "stacked" else Looped] = 0.001
    made: list[type] = []
    monkeypatch.setattr(Trial, "_make", _spy(Trial._make, made))
    space = parse("space: {gamma: {grid: [0.3, 0.4]}}")
    sweep = train(space, loaded, name="mine")
    assert sweep.header.numerics == Numerics(better)
    assert sweep.header.measured["replicates"] == better
    assert sweep.header.measured["stacked_s"] > 0
    assert [kind.__name__.lower() for kind in made] == [better] * 2
    clock |= {Looped: 0.01, Stacked: 0.01}  # it would come out otherwise now
    clock[Looped if better == "stacked" else Stacked] = 0.001
    wider = spaces.extend(space, add=["gamma=0.5"])
    request = Request(wider, address="inline", name="mine")
    Session(request, loaded, sweep, lambda run: run.extend(wider, "more", False)).train()
    assert [kind.__name__.lower() for kind in made] == [better] * 3
    assert Sweep.open(sweep.paths.folder).numerics.replicates == better


def _spy(make: Callable[..., Replicates], kinds: list[type]) -> Callable[..., Replicates]:
    def spied(*args: Any) -> Replicates:
        replicates = make(*args)
        kinds.append(type(replicates))
        return replicates

    return spied


def test_both_ways_train_the_same(loaded: LoadedTask) -> None:
    space = parse("space: {gamma: {grid: [0.3, 0.4]}}\nevaluate: best\nprecision: float32")
    found = {}
    for replicates in ("looped", "stacked"):
        chosen = space.model_copy(update={"replicates": replicates})
        found[replicates] = list(epochs(train(chosen, loaded)))
    for one, other in zip(*found.values(), strict=True):
        assert one["metrics"].keys() == other["metrics"].keys()
        for name, values in one["metrics"].items():
            assert other["metrics"][name] == pytest.approx(values, rel=1e-3, abs=1e-3), name


def test_a_configuration_that_cannot_be_stacked_is_looped_and_the_record_tells(
    loaded: LoadedTask, capsys: pytest.CaptureFixture[str]
) -> None:
    space = parse("space: {dropout: {grid: [0.0, 0.3]}}\nreplicates: stacked")
    sweep = train(space, loaded)
    assert sweep.numerics.replicates == "stacked"
    told = {event["trial"]: event["looped"] for event in epochs(sweep) if "looped" in event}
    assert told == {"2.1": "Dropout 3 draws random numbers"}
    assert "note: replicates" not in capsys.readouterr().out
    train(parse("space: {dropout: {grid: [0.3, 0.0]}}\nreplicates: stacked"), loaded)
    assert re.search(r"replicates stacked.* looped.* Dropout", capsys.readouterr().out)


def test_a_run_of_other_replicates_or_precision_is_another_run(loaded: LoadedTask) -> None:
    train(parse(), loaded, name="mine")
    for text in ('replicates: "looped"', 'precision: "bf16"'):
        with pytest.raises(RunError, match=text.replace(": ", ": .* recorded, ")):
            train(parse(text), loaded, name="mine")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("replicates", ["looped", "stacked"])
def test_precision_is_kept_with_the_numerics(loaded: LoadedTask, precision: str, replicates: str) -> None:
    text = f"precision: {precision}\nreplicates: {replicates}"
    sweep = train(parse(text), loaded)
    assert sweep.numerics == Numerics(replicates, 1, precision)
    assert sweep.statuses() == ["finished"]
    plain = train(parse(f"replicates: {replicates}"), loaded)
    rough, exact = (next(epochs(each))["metrics"]["train_loss"] for each in (sweep, plain))
    assert rough == pytest.approx(exact, rel=0.2)
    assert (rough == exact) is (precision == "tf32")  # a CPU has none


@pytest.mark.parametrize(("key", "value"), [("replicates", "stacked"), ("precision", "bf16")])
def test_a_function_has_its_own_numerics(user_module: UserModule, key: str, value: str) -> None:
    name = user_module("def task(config, context):\n    yield {'val_accuracy': 1}")
    space = spaces.parse(f"task: {name}:task\n{key}: {value}", file="my.yaml", name="my")
    with pytest.raises(
        SpaceError, match=rf"my.yaml:2: {key}: {value} is only for tasks that tune-app trains"
    ):
        Request(space).load()


def test_check_tells_the_choice(loaded: LoadedTask) -> None:
    found = preview.estimate(Request(parse("replicates: stacked")), loaded)
    assert found.replicates == "stacked: as asked"
    single = preview.estimate(Request(parse("replicates: looped")), loaded)
    assert single.replicates == "looped: as asked"
    assert found.state_bytes == pytest.approx(single.state_bytes, rel=0.2)
    assert found.epoch_s > 0


def test_a_driver_passes_the_numerics_on(tmp_path: Path) -> None:
    numerics = Numerics("stacked", 2, "bf16")
    with Sweep.create(parse(), NO_DATA, tmp_path, numerics=numerics).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(sweep.space))
        spec = driver.next_trial()
        assert spec
        assert spec.settings.numerics == numerics
