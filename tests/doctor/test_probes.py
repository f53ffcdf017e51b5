"""What is found on a machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from facts import lacking

from tune_app import doctor
from tune_app.doctor import Check, Probe, probes


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_runs_folder_that_is_a_file_or_refuses_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probes.check_runs_dir(tmp_path).status == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    check = probes.check_runs_dir(tmp_path / "file" / "runs")
    assert check.status == "problem"
    assert "--runs-dir" in check.fix
    assert "Not a directory" in check.found

    def refuse(**_: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert "Permission denied" in probes.check_runs_dir(tmp_path).found


def test_data_phantom_course_folder_and_nothing(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probes.check_data("phantom").status == "ok"
    assert probes.check_data("course").status == "problem"
    assert probes.check_data("elsewhere").status == "problem"
    for split in ("train", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            (quiet / "xrays" / split / label).mkdir(parents=True)
    assert probes.check_data("xrays").status == "ok"
    monkeypatch.setattr("tune_app.data.course.first_differing_file", lambda folder: None)
    assert probes.check_data("course").status == "ok"
    assert "data" in probes.check_data("phantom").found


def test_a_broken_search_space_is_told_with_its_line(quiet: Path) -> None:
    assert probes.check_spaces().status == "ok"
    (quiet / "search_spaces").mkdir()
    (quiet / "search_spaces" / "grid.yaml").write_text("task: pneumonia\nspaec: {}\n", encoding="utf-8")
    check = probes.check_spaces()
    assert check.status == "problem"
    assert "grid.yaml:2" in check.found


def test_no_built_in_space_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_app.space.builtin_names", list)
    assert probes.check_spaces().status == "problem"


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("print('chatter'); print('{\"a\": 1}')", Probe({"a": 1})),
        (
            "import no_such_module_x",
            Probe(fault="ModuleNotFoundError: No module named 'no_such_module_x'"),
        ),
        ("raise ValueError('what\\n  advice')", Probe(fault="ValueError: what")),
    ],
)
def test_ask_reports_what_breaks_and_survives_it(program: str, answer: Probe) -> None:
    assert doctor.run_probe(program) == answer


@pytest.mark.parametrize(
    ("program", "code"),
    [("import os; os._exit(11)", "11"), ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "-11")],
)
def test_ask_survives_a_crash(program: str, code: str) -> None:
    assert lacking(doctor.run_probe(program).fault, [code]) == []


def test_ask_does_not_wait_for_ever() -> None:
    began = time.monotonic()
    assert doctor.run_probe("import time; time.sleep(60)", timeout_s=0.5).fault
    assert time.monotonic() - began < 30


def test_ask_without_an_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "No such file" in doctor.run_probe("").fault


def test_render_aligns_words_and_puts_mends_below() -> None:
    found = [
        Check("disk", "ok", "9 GiB free"),
        Check("RAY_ADDRESS", "warning", "set", "unset it"),
        Check("GPUs", "problem", "none\nat all", "first\nthen"),
    ]
    assert doctor.render(found).splitlines() == [
        "ok       disk         9 GiB free",
        "warning  RAY_ADDRESS  set",
        "                      -> unset it",
        "problem  GPUs         none",
        "                      at all",
        "                      -> first",
        "                      -> then",
        "",
        "1 problem, 1 warning",
    ]
    assert "problem" not in doctor.render(found[:1])


def test_exit_code_is_1_for_a_problem_alone() -> None:
    ok, warning, problem = Check("a", "ok", ""), Check("b", "warning", ""), Check("c", "problem", "")
    assert doctor.exit_code([ok, warning]) == 0
    assert doctor.exit_code([ok, problem]) == 1
