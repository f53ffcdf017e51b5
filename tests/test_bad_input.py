"""What users get wrong: one clear message, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tune_app import cli

Prepare = Callable[[Path], object]

SPACE = """\
task: pneumonia
space:
  lr: {grid: [3e-6, 3e-5]}
fixed: {step_size: 4}
epochs: 2
seeds: 1
"""


def nothing(_: Path) -> None: ...


def file(text: str, name: str = "my.yaml") -> Prepare:
    def prepare(folder: Path) -> None:
        (folder / name).write_text(text)

    return prepare


def both(*prepares: Prepare) -> Prepare:
    return lambda folder: [prepare(folder) for prepare in prepares]


def folder(name: str) -> Prepare:
    return lambda inside: (inside / name).mkdir()


def edited(old: str, new: str) -> Prepare:
    assert old in SPACE
    return file(SPACE.replace(old, new))


def arrays(change: Prepare = nothing) -> Prepare:
    """A small folder ``xrays`` in the course's layout, then damaged by ``change``."""

    def prepare(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for name in ("train/normal", "train/pneumonia", "test/test_normal", "test/test_pneumonia"):
            path = folder / "xrays" / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rng.integers(0, 256, (20, 16, 16), np.uint8))
        change(folder / "xrays")

    return prepare


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncate(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, 200)


def replace(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


def finished_run(folder: Path) -> None:
    """A run called ``mine`` of a function task, trained inline."""
    (folder / "quick.py").write_text("def train(config, context):\n    yield {'val_accuracy': config['x']}\n")
    file(FUNCTION)(folder)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "my.yaml", "--name", "mine", "--address", "inline"])
    assert ended.value.code == 0


def trained_run(folder: Path) -> None:
    """A run called ``mine`` on small phantom images."""
    file(SPACE)(folder)
    with pytest.raises(SystemExit) as ended:
        cli.main([*RUN, "--name", "mine", "--image-size", "8"])
    assert ended.value.code == 0


FUNCTION = "task: 'quick:train'\nspace:\n  x: {grid: [1, 2]}\nepochs: 1\nseeds: 1\n"
TASK = "task: '{}'\nepochs: 1\nseeds: 1\n"
RUN = ["run", "my.yaml", "--address", "inline"]
ON_ARRAYS = [*RUN, "--data", "xrays"]

CASES: dict[str, tuple[Prepare, list[str], list[str]]] = {
    # the space: which one
    "unknown space": (nothing, ["run", "grd"], ['called "grd"', 'mean "grid"', "looked in"]),
    "missing file": (nothing, ["run", "no/such.yaml"], ["no/such.yaml"]),
    "folder for a space": (folder("d"), ["run", "./d"], ["d", "is a folder"]),
    "empty file": (file(""), RUN, ["my.yaml", "empty"]),
    "no mapping": (file("- a\n- b\n"), RUN, ["my.yaml", "mapping"]),
    "broken yaml": (file("task: [pneumonia\n"), RUN, ["my.yaml:"]),
    "no text": (lambda f: (f / "my.yaml").write_bytes(b"\xff\xfe\x00task"), RUN, ["my.yaml", "UTF-8"]),
    "key twice": (file(SPACE + "epochs: 3\n"), RUN, ["my.yaml:7", "epochs"]),
    # the space: its keys
    "unknown key": (edited("epochs:", "epoch:"), RUN, ["my.yaml:5", "epoch", 'mean "epochs"']),
    "no task": (edited("task: pneumonia\n", ""), RUN, ["my.yaml:1", "task"]),
    "epochs 0": (edited("epochs: 2", "epochs: 0"), RUN, ["my.yaml:5", "epochs", "0"]),
    "epochs in words": (edited("epochs: 2", "epochs: two"), RUN, ["my.yaml:5", "epochs", "two"]),
    "half an epoch": (edited("epochs: 2", "epochs: 2.5"), RUN, ["my.yaml:5", "2.5"]),
    "seeds 0": (edited("seeds: 1", "seeds: 0"), RUN, ["my.yaml:6", "seeds", "0"]),
    "negative seed": (file(SPACE + "seed: -1\n"), RUN, ["my.yaml:7", "seed", "-1"]),
    "a test metric": (
        file(SPACE + "metric: {name: test_accuracy, mode: max}\n"),
        RUN,
        ["my.yaml:7", "test_accuracy", "sealed", "val_accuracy"],
    ),
    "unknown metric": (
        file(SPACE + "metric: {name: val_acuracy, mode: max}\n"),
        RUN,
        ["my.yaml:7", "val_acuracy", 'mean "val_accuracy"'],
    ),
    "unknown mode": (
        file(SPACE + "metric: {name: val_loss, mode: less}\n"),
        RUN,
        ["my.yaml:7", "less", "min"],
    ),
    "unknown scheduler": (
        file(SPACE + "stop: {scheduler: ahsa}\n"),
        RUN,
        ["my.yaml:7", "ahsa", 'mean "asha"'],
    ),
    "rung out of reach": (
        file(SPACE + "stop: {scheduler: asha, grace_period: 2}\n"),
        RUN,
        ["my.yaml:7", "grace_period"],
    ),
    "factor of one": (
        file(SPACE + "stop: {scheduler: asha, reduction_factor: 1}\n"),
        RUN,
        ["my.yaml:7", "reduction_factor"],
    ),
    "a column's name": (
        edited("fixed: {step_size: 4}", "fixed: {status: 4}"),
        RUN,
        ["my.yaml:4", "status", "column"],
    ),
    "searched and fixed": (edited("step_size: 4", "lr: 4"), RUN, ["my.yaml:", "lr", "fixed"]),
    # the space: its samplers
    "unknown sampler": (
        edited("grid: [3e-6, 3e-5]", "loguniforn: [1e-6, 1e-3]"),
        RUN,
        ["my.yaml:3", "loguniforn", 'mean "loguniform"'],
    ),
    "empty grid": (edited("[3e-6, 3e-5]", "[]"), RUN, ["my.yaml:3", "space.lr"]),
    "same value twice": (edited("[3e-6, 3e-5]", "[3e-6, 3e-6]"), RUN, ["my.yaml:3", "twice"]),
    "a bare value": (edited("{grid: [3e-6, 3e-5]}", "3e-6"), RUN, ["my.yaml:3", "fixed"]),
    "a bare list": (edited("{grid: [3e-6, 3e-5]}", "[3e-6, 3e-5]"), RUN, ["my.yaml:3", "grid"]),
    "min above max": (edited("grid: [3e-6, 3e-5]", "uniform: [2, 1]"), RUN, ["my.yaml:3", "2", "1"]),
    "min equals max": (edited("grid: [3e-6, 3e-5]", "uniform: [1, 1]"), RUN, ["my.yaml:3", "1"]),
    "log range at 0": (edited("grid: [3e-6, 3e-5]", "loguniform: [0, 1]"), RUN, ["my.yaml:3", "0"]),
    "three ends": (edited("grid: [3e-6, 3e-5]", "uniform: [1, 2, 3]"), RUN, ["my.yaml:3", "uniform"]),
    "a range in words": (edited("grid: [3e-6, 3e-5]", "uniform: [low, 1]"), RUN, ["my.yaml:3", "low"]),
    "infinite range": (edited("grid: [3e-6, 3e-5]", "uniform: [0, .inf]"), RUN, ["my.yaml:3", "inf"]),
    "a range in a grid": (
        edited("grid: [3e-6, 3e-5]", "uniform: [1e-6, 1e-5]"),
        RUN,
        ["my.yaml:3", "random"],
    ),
    "random without samples": (
        edited("grid: [3e-6, 3e-5]", "uniform: [1e-6, 1e-5]}\nsearch: {algorithm: random"),
        RUN,
        ["samples"],
    ),
    "when of nothing": (
        edited("{grid: [3e-6, 3e-5]}", "{grid: [3e-6, 3e-5], when: {loss: bce}}"),
        RUN,
        ["my.yaml:3", "loss"],
    ),
    # overrides and flags
    "no equals sign": (nothing, ["run", "grid", "--set", "epochs"], ["--set epochs", "="]),
    "override of nothing": (nothing, ["run", "grid", "--set", "epoch=3"], ["epoch", 'mean "epochs"']),
    "override in words": (nothing, ["run", "grid", "--set", "epochs=x"], ["--set epochs=x"]),
    "bad --epochs": (nothing, ["run", "grid", "--epochs", "0"], ["epochs", "0"]),
    "bad --stop": (nothing, ["run", "grid", "--stop", "ahsa"], ["ahsa", 'mean "asha"']),
    "unknown flag": (nothing, ["run", "grid", "--epoch", "3"], ["--epoch", "--epochs"]),
    "unknown command": (nothing, ["rnu", "grid"], ["rnu"]),
    "no space given": (nothing, ["run"], ["SPACE"]),
    # the task
    "unknown task": (file(TASK.format("pnuemonia")), RUN, ["pnuemonia", 'mean "pneumonia"']),
    "no such module": (file(TASK.format("nowhere:train")), RUN, ["nowhere"]),
    "no such function": (
        both(file(TASK.format("quick2:trian")), file("def train(): ...\n", "quick2.py")),
        RUN,
        ["trian", 'mean "train"'],
    ),
    "no generator": (
        both(file(TASK.format("quick3:train")), file("def train(c): return 1\n", "quick3.py")),
        RUN,
        ["quick3:train", "generator"],
    ),
    "a module that raises": (
        both(file(TASK.format("quick4:train")), file("1 / 0\n", "quick4.py")),
        RUN,
        ["quick4", "ZeroDivisionError"],
    ),
    "unknown parameter": (edited("step_size", "stepsize"), RUN, ["my.yaml:4", 'mean "step_size"']),
    "bad parameter": (edited("step_size: 4", "loss: mse"), RUN, ["my.yaml:4", "mse", "bce"]),
    "negative rate": (edited("3e-6, 3e-5", "-3e-6"), RUN, ["my.yaml:3", "learning rate above 0"]),
    "data for a function": (
        both(file(FUNCTION.replace("quick", "quick5")), file("def train(c, x): yield {}", "quick5.py")),
        [*RUN, "--data", "phantom"],
        ["--data", "function"],
    ),
    # the data
    "unknown data": (file(SPACE), [*RUN, "--data", "fantom"], ["fantom", 'mean "phantom"']),
    "course not fetched": (file(SPACE), [*RUN, "--data", "course"], ["data fetch"]),
    "folder without data": (
        both(file(SPACE), folder("empty")),
        [*RUN, "--data", "empty"],
        ["empty", "train"],
    ),
    "file missing": (arrays(remove("train/normal.npy")), ON_ARRAYS, ["normal.npy"]),
    "file truncated": (arrays(truncate("train/normal.npy")), ON_ARRAYS, ["normal.npy"]),
    "file of floats": (
        arrays(replace("train/normal.npy", np.zeros((20, 16, 16)))),
        ON_ARRAYS,
        ["normal.npy", "uint8", "float64"],
    ),
    "flat images": (
        arrays(replace("train/normal.npy", np.zeros((20, 256), np.uint8))),
        ON_ARRAYS,
        ["normal.npy", "(20, 256)"],
    ),
    "sizes differ": (
        arrays(replace("train/normal.npy", np.zeros((20, 8, 8), np.uint8))),
        ON_ARRAYS,
        ["8", "16"],
    ),
    "empty class": (
        arrays(replace("train/normal.npy", np.zeros((0, 16, 16), np.uint8))),
        ON_ARRAYS,
        ["normal.npy"],
    ),
    "no patients known": (arrays(), [*ON_ARRAYS, "--split", "patient"], ["patient", "import"]),
    "image size 0": (file(SPACE), [*RUN, "--image-size", "0"], ["image size 0"]),
    "unknown split": (file(SPACE), [*RUN, "--split", "day"], ["--split", "day"]),
    "import of nothing": (nothing, ["data", "import", "no-folder", "--out", "o"], ["no-folder"]),
    "import onto something": (
        folder("out"),
        ["data", "import", ".", "--out", "out"],
        ["out", "exists"],
    ),
    # the run
    "another sweep's name": (
        finished_run,
        [*RUN, "--name", "mine", "--epochs", "2"],
        ["mine", "epochs: 1 recorded, 2 asked"],
    ),
    "a name with a slash": (file(SPACE), [*RUN, "--name", "a/b"], ["a/b", "letters"]),
    "an unknown run": (finished_run, ["show", "mien"], ["mien", 'mean "mine"']),
    "no runs yet": (nothing, ["report", "grid-1"], ["grid-1", "none yet"]),
    "damaged record": (
        both(finished_run, file("{}\n{}\n", "runs/mine/record.jsonl")),
        ["show", "mine"],
        ["record.jsonl", "damaged"],
    ),
    "runs folder is a file": (
        both(file(SPACE), file("", "runs")),
        RUN,
        ["runs", "not a run folder"],
    ),
    # going on with a run
    "resume of nothing": (finished_run, ["resume", "mime"], ["mime", 'mean "mine"']),
    "extend by nothing": (finished_run, ["extend", "mine"], ["nothing to extend by", "--seeds +5"]),
    "extend by less": (finished_run, ["extend", "mine", "--epochs", "0"], ["--epochs 0", "1 already"]),
    "extend by a word": (finished_run, ["extend", "mine", "--seeds", "+two"], ["--seeds +two", "+5"]),
    "samples of a grid": (finished_run, ["extend", "mine", "--samples", "+2"], ["is a grid", "--add"]),
    "a value that is there": (finished_run, ["extend", "mine", "--add", "x=2.0"], ["x", "2.0"]),
    "a value the task cannot take": (
        trained_run,
        ["extend", "mine", "--add", "lr=-1"],
        ["-1", "a learning rate above 0"],
    ),
    "a parameter that is fixed": (trained_run, ["extend", "mine", "--add", "step_size=5"], ["is fixed at 4"]),
    "retry of what went well": (finished_run, ["retry", "mine"], ["no configuration has failed"]),
    "rerun of no trial": (finished_run, ["rerun", "mine", "7"], ['no trial called "7"', "1 to 2"]),
    "stop of what has ended": (finished_run, ["stop", "mine"], ["mine", "nothing to stop"]),
    "stop of no trial": (finished_run, ["stop", "mine", "x"], ['no trial called "x"']),
    "logs of what went well": (finished_run, ["logs", "mine", "1"], ['"1" has left no log']),
    "confirm with one seed": (finished_run, ["confirm", "mine", "--seeds", "1"], ["--seeds", "1"]),
    "a limit without a unit": (file(SPACE), [*RUN, "--time-limit", "2"], ["--time-limit 2", "45m"]),
    "a wait without a unit": (file(SPACE), [*RUN, "--wait-at-most", "5"], ["--wait-at-most 5", "45m"]),
    "a limit of nothing": (file(SPACE), [*RUN, "--time-limit", "0s"], ["--time-limit 0s"]),
    "the data has moved": (
        finished_run,
        ["extend", "mine", "--seeds", "+1", "--data", "no-folder"],
        ["no-folder", "takes no data"],
    ),
    "predict with no model": (
        file("", "m.pt"),
        ["predict", "m.pt", "x.png"],
        ["m.pt", "model file", "best NAME --model"],
    ),
    "predict with a missing model": (nothing, ["predict", "m.pt", "x.png"], ["m.pt", "cannot be read"]),
    "the data is not the same": (
        both(trained_run, arrays()),
        ["extend", "mine", "--seeds", "+1", "--data", "xrays"],
        ["mine was trained on phantom", "--data"],
    ),
    # the resources
    "more CPUs than there are": (file(SPACE), [*RUN, "--cpus-per-trial", "4096"], ["4096", "CPUs"]),
    "a GPU where there is none": (file(SPACE), [*RUN, "--gpus-per-trial", "1"], ["no GPU", "Leave it out"]),
    "one and a half GPUs": (file(SPACE), [*RUN, "--gpus-per-trial", "1.5"], ["1.5", "1 or 2"]),
    "none at a time": (file(SPACE), [*RUN, "--max-concurrent", "0"], ["max_concurrent", "0"]),
    "negative CPUs": (file(SPACE), [*RUN, "--cpus-per-trial", "-1"], ["cpus_per_trial", "-1"]),
}


@pytest.mark.parametrize("case", CASES)
def test_is_told_in_one_message(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare, argv, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    if not (tmp_path / "my.yaml").exists() and "my.yaml" in argv:
        file(SPACE)(tmp_path)
    runs = sorted(tmp_path.glob("runs/*"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    captured = capsys.readouterr()
    assert ended.value.code == 2, captured.err
    assert "Traceback" not in captured.err + captured.out
    for word in words:
        assert word in captured.err, captured.err
    assert captured.err.count("\n") <= 12, "one message, not a page"
    assert sorted(tmp_path.glob("runs/*")) == runs, "a run folder was left behind"


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    file(SPACE)(tmp_path)
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(SystemExit) as ended:
        cli.main([*RUN])
    tmp_path.chmod(0o700)
    assert ended.value.code == 2


def test_damaged_images_are_named(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        for word in ("NORMAL", "PNEUMONIA"):
            (tmp_path / "images" / split / word).mkdir(parents=True)
            for path in sorted((xrays / split / word).iterdir())[:10]:
                shutil.copy(path, tmp_path / "images" / split / word)
    victim = next((tmp_path / "images/train/NORMAL").iterdir())
    victim.write_bytes(victim.read_bytes()[:500])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "show", "images", "--image-size", "32"])
    assert ended.value.code == 2
    assert victim.name in capsys.readouterr().err
