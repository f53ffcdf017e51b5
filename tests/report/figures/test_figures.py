"""The kinds of figures by name: drawn and saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_cases import CASES
from PIL import Image

from tune_app.cli import cli
from tune_app.errors import ReportError
from tune_app.report import figures
from tune_app.results import Frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_a_picture_is_saved_in_the_format_of_its_ending(finished: Frames, tmp_path: Path) -> None:
    written = {
        path.suffix: path
        for ending in ("png", "svg", "pdf")
        for path in figures.plot(finished, "heatmap", tmp_path / f"x.{ending}")
    }
    assert written[".pdf"].read_bytes().startswith(b"%PDF")
    assert written[".svg"].read_text(encoding="utf-8").startswith("<?xml")
    with Image.open(written[".png"]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200


def test_a_kind_of_several_pictures_names_each(finished: Frames, tmp_path: Path) -> None:
    names = [path.name for path in figures.plot(finished, "panels", tmp_path / "my.svg")]
    assert names == ["my_accuracy.svg", "my_loss.svg"]
    own = figures.plot(finished, "panels")
    assert [path.parent for path in own] == [finished.sweep.paths.report / "figures"] * 4


@pytest.mark.parametrize(
    ("kind", "out", "says"),
    [
        (
            "interval",
            None,
            r'"interval".*"intervals"(.|\n)*intervals, curves',
        ),
        ("rungs", None, "rungs: .*early stopping"),
        ("curves", "x.jpeg", r"x\.jpeg: .*\.svg, \.png, \.pdf"),
        ("curves", "x", r"x: .*\.svg, \.png, \.pdf"),
    ],
)
def test_what_cannot_be_drawn_is_told(finished: Frames, kind: str, out: str | None, says: str) -> None:
    with pytest.raises(ReportError, match=says):
        figures.plot(finished, kind, Path(out) if out else None)


def test_the_help_names_every_kind() -> None:
    told = str(cli.commands["plot"].help).split("KIND:")[1]
    assert [kind for kind in figures.KINDS if kind not in told] == []
