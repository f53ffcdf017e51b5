"""The architecture, held by its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
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

    return walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))


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
