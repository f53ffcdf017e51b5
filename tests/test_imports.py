"""The architecture, held by its imports and by the tests beside it."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tune_app

#: A package imports only from those before it; the modules at the top are packages of one.
ORDER = (
    *("errors", "version", "text", "status"),
    *("stats", "space", "data", "tasks", "task", "sweep", "storage", "stopping", "training", "search"),
    *("progress", "driver", "engines", "results", "session", "report"),
    *("cluster", "doctor", "cli", "__main__", "__init__"),
)
#: Only these import torch at all; `training` alone does so before it trains.
WITH_TORCH = ("tasks", "training", "driver", "engines", "session", "doctor")

ROOT = Path(tune_app.__file__).parent
FILES = [path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py"))]


def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imports(file: Path, late: bool) -> Iterator[str]:
    """The dotted names that a file imports; ``late`` with those inside of functions and type checking."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (each.name for each in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield from (f"{child.module}.{each.name}" for each in child.names)
            elif late or not isinstance(child, ast.FunctionDef | ast.If):
                yield from walk(child)

    return walk(tree(file))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_module_imports_only_from_those_before_it(file: Path) -> None:
    module = file.parts[0].removesuffix(".py")
    ours = {name.split(".")[1] for name in imports(file, late=True) if name.startswith("tune_app.")} & set(
        ORDER
    )
    assert {name for name in ours if ORDER.index(name) > ORDER.index(module)} == set()
    top, anywhere = ({name.split(".")[0] for name in imports(file, late)} for late in (False, True))
    assert "ray" not in anywhere or module == "cluster" or file.parts[:2] == ("engines", "ray")
    assert "torch" not in top or module == "training"
    assert "torch" not in anywhere or module in WITH_TORCH


#: Modules, or folders of them, without a test file of their name, and the file that tests each.
ELSEWHERE = {
    # the public functions of the package, each a whole sweep
    "__init__.py": "test_run.py",
    # they need a Ray of several machines, which takes seconds to start
    "engines/ray/nodes.py": "cluster/test_nodes.py",
    "engines/ray/trainable.py": "engines/ray/test_tune_engine.py",
}
#: Nothing to test by itself: a dataclass without methods, names that are exported again, a number.
TRIVIAL = ("task.py", "version.py", "__main__.py")


def has_test_file(module: Path) -> bool:
    """Whether the folder that mirrors a module's has ``test_<module>.py``, perhaps with more to its name."""
    name, folder = module.stem, Path(__file__).parent / module.parent
    if name == "__init__":
        functions = any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree(module).body)
        return not functions or (folder / f"test_{module.parent.name}.py").is_file()
    names = (f"test_{name}.py", f"test_{module.parent.name}_{name}.py")
    return any((folder / each).is_file() for each in names) or any(folder.glob(f"test_{name}_*.py"))


def test_each_module_has_a_test_file_in_the_mirrored_folder() -> None:
    without = [str(file) for file in FILES if str(file) not in TRIVIAL and not has_test_file(file)]
    assert [file for file in without if not file.startswith(tuple(ELSEWHERE))] == []
    assert [each for each in ELSEWHERE if not any(file.startswith(each) for file in without)] == []
    assert [file for file in ELSEWHERE.values() if not (Path(__file__).parent / file).is_file()] == []


def test_no_file_is_too_long_to_read_in_one_go() -> None:
    tests = [path for path in Path(__file__).parent.rglob("*.py") if "node_modules" not in path.parts]
    for paths, most in (([ROOT / file for file in FILES], 400), (tests, 499)):
        lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
        assert {path: count for path, count in lines.items() if count > most} == {}


def test_the_package_is_small_enough_to_find_a_place_in_it() -> None:
    assert len({file.parts[0] for file in FILES}) <= 25


def test_modules_import_each_other_in_no_circle() -> None:
    names = {
        ".".join(["tune_app", *file.with_suffix("").parts]).removesuffix(".__init__"): file for file in FILES
    }
    graph = {}
    for name, file in names.items():
        found = {other if other in names else other.rpartition(".")[0] for other in imports(file, late=False)}
        graph[name] = found & names.keys() - {name}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_each_public_class_has_a_name_of_its_own() -> None:
    classes = [node.name for file in FILES for node in tree(file).body if isinstance(node, ast.ClassDef)]
    public = Counter(name for name in classes if not name.startswith("_"))
    assert {name: count for name, count in public.items() if count > 1} == {}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom tune_app.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'torch', 'ray', 'pandas', 'optuna', 'scipy', 'numpy', 'matplotlib'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: tune-app" in ran.stdout
    assert ran.stderr.strip() == "[]"


def test_what_is_loaded_ahead_leaves_the_gpus_alone() -> None:
    """A process that looks at GPUs before Ray has said which are its own would see them all, for ever."""
    code = """
        import importlib
        import torch
        from unittest import mock
        from tune_app.engines import choice
        from tune_app.tasks.task import Splits
        looks = ("is_available", "device_count", "init", "_lazy_init", "current_device", "mem_get_info")
        with mock.patch.multiple(torch.cuda, **{look: mock.DEFAULT for look in looks}) as spies:
            for splits in (mock.create_autospec(Splits), None):
                for module in choice.modules_of_a_trial(splits):
                    importlib.import_module(module)
        assert not any(spy.called for spy in spies.values()), spies
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
