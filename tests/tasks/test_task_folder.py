from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tune_app.errors import TaskError
from tune_app.tasks import task, task_folder

#: What tune-app and its libraries import, some of it late, and some of it only where it is installed.
SHADOWS = (
    *("pandas", "random", "queue", "scipy", "matplotlib", "optuna", "ray", "yaml", "torch", "click", "rich"),
    *("bottleneck", "numexpr", "code", "fsspec", "PIL", "colorlog", "html", "csv", "triton"),
)
TRAIN = """
from helper import LEVEL
from package.inner import inner

def train(config, context):
    import late
    for epoch in range(context.epochs):
        yield {"val_accuracy": LEVEL + inner() + late.LATE + config["x"]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TRAIN)
    (tmp_path / "helper.py").write_text("LEVEL = 0.1")
    (tmp_path / "late.py").write_text("LATE = 0.2")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").write_text("")
    (tmp_path / "package/inner.py").write_text("from .more import inner")
    (tmp_path / "package/more.py").write_text("def inner():\n    return 0.3")
    (tmp_path / "my.yaml").write_text("task: mine:train\nspace: {x: {grid: [0, 0.1]}}\nepochs: 2\nseeds: 2\n")
    return tmp_path


def shadow(folder: Path) -> None:
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('this is no {name}')")


def test_no_file_beside_the_task_takes_the_place_of_what_tune_app_imports(folder: Path) -> None:
    shadow(folder)
    command = [sys.executable, "-m", "tune_app", "run", "my.yaml", "--address", "inline"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    results = Path("runs/my-1/results.csv").read_text().splitlines()
    assert [line.split(",")[1:3] for line in results[1:]] == [["0.0", "finished"], ["0.1", "finished"]]
    assert Path("runs/my-1/report/index.html").exists() or list(Path("runs/my-1/report").iterdir())


def test_a_tasks_modules_are_seen_by_its_own_code_alone(folder: Path) -> None:
    before, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    task.load("mine:train")
    with task.code("mine:train"):
        import late  # type: ignore[import-not-found]

        assert late.LATE == 0.2
        assert {"mine", "helper", "package.more", "late"} <= sys.modules.keys()
    own = {"mine", "helper", "late", "package", "package.inner", "package.more"}
    assert task_folder.current().modules.keys() == own
    assert not own & (sys.modules.keys() - before)
    assert (sys.path, sys.meta_path) == (path, finders)
    assert task.load("mine:train") is task.load("mine:train")


def test_modules_that_have_every_attribute_are_let_be(folder: Path) -> None:
    (folder / "odd.py").write_text(
        "import sys, types\nclass Odd(types.ModuleType):\n    __getattr__ = lambda self, _: self\n"
        "sys.modules['every'] = Odd('every')\nsys.modules['nothing'] = None\n"
        "def train(config, context):\n    yield {}"
    )
    task.load("odd:train")
    assert sys.modules.pop("every").anything
    assert sys.modules.pop("nothing") is None


def test_modules_of_one_name_in_two_folders_are_kept_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Mapping[str, Any]] = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        monkeypatch.chdir(folder / name)
        Path("its.py").write_text(f"def train(config, context):\n    yield {{'at': '{name}'}}")
        loaded = task.load("its:train")
        assert callable(loaded)
        found.append(next(iter(loaded({}, None))))  # type: ignore[arg-type]
    assert found == [{"at": "one"}, {"at": "two"}]


@pytest.mark.parametrize("name", ["code", "types", "queue", "time", "pandas", "torch", "optuna", "yaml"])
def test_a_task_with_the_name_of_a_module_that_is_needed_is_refused(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text("def train(config, context):\n    yield {}")
    with pytest.raises(TaskError) as caught:
        task.load(f"{name}:train")
    assert all(words in str(caught.value) for words in (f'"{name}:train"', f"{name}.py", "Rename"))


@pytest.mark.parametrize("name", ["test", "utils", "models", "bottleneck", "numexpr"])
def test_any_other_name_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Also where a package of that name is installed, which tune-app has no use for."""
    (folder / "installed").mkdir()
    (folder / f"installed/{name}.py").write_text("raise RuntimeError('installed')")
    monkeypatch.syspath_prepend(folder / "installed")
    (folder / f"{name}.py").write_text("def train(config, context):\n    yield {'here': 1}")
    loaded = task.load(f"{name}:train")
    assert callable(loaded)
    assert next(iter(loaded({}, None))) == {"here": 1}  # type: ignore[arg-type]


def test_a_folder_that_is_no_package_comes_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `wandb/`, in which wandb writes."""
    (folder / "tracker").mkdir()
    (folder / "tracker/log.txt").touch()
    (folder / "installed").mkdir()
    (folder / "installed/tracker.py").write_text("HERE = 1")
    monkeypatch.syspath_prepend(folder / "installed")
    (folder / "its.py").write_text("from tracker import HERE\ndef train(config, context):\n    yield {}")
    task.load("its:train")


def test_a_helper_whose_name_is_taken_is_told(folder: Path) -> None:
    (folder / "random.py").write_text("def helper(): ...")
    (folder / "its.py").write_text("from random import helper")
    with pytest.raises(TaskError, match=r"(?s)ImportError.*/random\.py is not it"):
        task.load("its:train")


PARSING = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", default=3)
LR = parser.parse_args().lr

def train(config, context):
    yield {"lr": LR, "prog": parser.prog}
"""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys\nsys.exit(0)", "importing its called sys.exit(0)"),
        ("exit('no data')", "importing its called sys.exit('no data')"),
        (PARSING.replace("default=3", "required=True"), "importing its called sys.exit(2)"),
        ("class Own(BaseException): ...\nraise Own", "importing its raised Own"),
        ("import os\nclass train:\n    def __init__(self): os.sys.exit(3)", "train() called sys.exit(3)"),
    ],
)  # fmt: skip
def test_a_module_that_would_end_the_process_is_told(folder: Path, source: str, words: str) -> None:
    (folder / "its.py").write_text(source)
    with pytest.raises(TaskError) as caught:
        task.load("its:train")
    assert words in str(caught.value)
    assert ("__main__" in str(caught.value)) == words.startswith("importing")


def test_a_module_that_parses_arguments_finds_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tune-app", "run", "my", "--address", "inline"])
    (folder / "its.py").write_text(PARSING)
    loaded = task.load("its:train")
    assert callable(loaded)
    assert next(iter(loaded({}, None))) == {"lr": 3, "prog": "its.py"}  # type: ignore[arg-type]
    assert sys.argv[0] == "tune-app"
