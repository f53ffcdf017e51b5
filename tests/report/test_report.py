"""A whole report."""

from __future__ import annotations

from pathlib import Path

from edge_cases import CASES
from pages import Page, Written, says

from tune_app import report
from tune_app.sweep.events import Opened


def test_how_to_do_it_again_comes_from_what_the_run_wrote_down(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    provenance = {
        "started": "2026-11-24T16:03:33+00:00",
        "command": ["tune-app", "run", "my space.yaml"],
        "versions": {"python": "3.11.7", "ray": None, "torch": "2.13.0"},
        "git": {"commit": "abc123", "branch": "main", "dirty": True},
        "os": "Linux-6",
        "hardware": {"cpu": "EPYC", "cores": 2, "gpus": [{"name": "H100"}]},
        "settings": {},
    }
    with frames.sweep.writing() as sweep:
        sweep.note(Opened(provenance=provenance))
    sweep.paths.provenance.write_text('{"command": ["a", "copy", "that", "was", "edited"]}')
    report.write(frames, tmp_path / "report", figures=False)
    text = Page((tmp_path / "report/index.html").read_text(encoding="utf-8")).text
    assert "tune-app run 'my space.yaml'" in text
    assert "edited" not in text
    assert "python 3.11.7, torch 2.13.0" in text
    assert says(text, "abc123", "not committed")
    assert says(text, "EPYC", "2 cores", "H100")


def test_a_report_without_figures_is_quick_and_says_nothing_of_them(tmp_path: Path) -> None:
    files = report.write(CASES["finished"](tmp_path), tmp_path / "report", figures=False)
    assert not [path for path in files if path.suffix in (".png", ".svg")]
    assert '<h2 id="figures">' not in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_report(tmp_path: Path) -> None:
    made = Written(CASES["stopped"](tmp_path), tmp_path / "first")
    first = {name: path.read_bytes() for name, path in made.files.items()}
    again = report.write(made.frames, tmp_path / "report")
    assert {str(p.relative_to(tmp_path / "report")): p.read_bytes() for p in again} == first
