"""The best value lies at the edge of what was tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from facts import lacking
from records import Ended, record, steady
from warned import said


def chosen(folder: Path, space: str, best: int, count: int, search: str = "") -> list[str]:
    text = f"task: pneumonia\n{space}\nepochs: 2\nseeds: 5\n{search}"
    ended = {
        i: Ended(steady(*[(0.9 if i == best else 0.5) + r * 0.001 * (i + 1) for r in range(5)]))
        for i in range(1, count + 1)
    }
    return said(record(folder, text, ended)).get("edge", [])


@pytest.mark.parametrize(
    ("values", "best", "expected"),
    [
        ("[3.0e-6, 3.0e-5, 3.0e-7]", 2, ["lr", "3e-5", "upper", "0.0003"]),
        ("[3.0e-6, 3.0e-5, 3.0e-7]", 3, ["lr", "3e-7", "lower", "3e-8"]),
        ("[3.0e-6, 3.0e-5, 3.0e-7]", 1, None),
        ("[3.0e-6, 3.0e-5]", 2, None),
    ],
)
def test_the_edge_of_a_grid(tmp_path: Path, values: str, best: int, expected: list[str] | None) -> None:
    texts = chosen(tmp_path, f"space: {{lr: {{grid: {values}}}}}", best, values.count(",") + 1)
    assert [lacking(text, expected or []) for text in texts] == [[]] * bool(expected)


@pytest.mark.parametrize(
    ("name", "values", "best", "bound"),
    [
        ("step_size", "[2, 4, 8]", 3, "up to 16"),
        ("nodes", "[10, 20, 30]", 3, "up to 40"),
        ("nodes", "[10, 20, 30]", 1, "down to 5"),
        ("step_size", "[1, 2, 4]", 1, None),
        ("dropout", "[0.0, 0.1, 0.3]", 1, None),
        ("gamma", "[0.5, 0.7, 0.9]", 3, "up to 0.95"),
        ("gamma", "[0.1, 0.5, 0.9]", 1, "down to 0.05"),
        ("loss", "[bce, ce]", 1, None),
    ],
)
def test_how_far_to_widen(tmp_path: Path, name: str, values: str, best: int, bound: str | None) -> None:
    texts = chosen(tmp_path, f"space: {{{name}: {{grid: {values}}}}}", best, values.count(",") + 1)
    assert [lacking(text, [bound or ""]) for text in texts] == [[]] * bool(bound)


def test_exact_points_have_edges_too(tmp_path: Path) -> None:
    points = "configs: [{lr: 1.0e-6}, {lr: 1.0e-5}, {lr: 1.0e-4}]"
    [text] = chosen(tmp_path, points, 3, 3)
    assert lacking(text, ["upper", "up to 0.001"]) == []


@pytest.mark.parametrize(
    ("sampler", "point", "bound"),
    [
        ("loguniform: [1.0e-6, 1.0e-3]", "9.0e-4", "up to 0.01"),
        ("loguniform: [1.0e-6, 1.0e-3]", "1.1e-6", "down to 1e-07"),
        ("loguniform: [1.0e-6, 1.0e-3]", "3.0e-5", None),
        ("uniform: [0.1, 0.9]", "0.89", "up to 0.95"),
        ("uniform: [0.1, 0.9]", "0.12", "down to 0.05"),
        ("uniform: [0.1, 0.9]", "0.8", None),
        ("randint: [10, 31]", "30", "up to 40"),
        ("randint: [1, 12]", "1", None),
        ("randn: [0, 1]", "3.0", None),
    ],
)
def test_the_edge_of_a_range(tmp_path: Path, sampler: str, point: str, bound: str | None) -> None:
    space = f"configs: [{{nodes: {point}}}]\nspace: {{nodes: {{{sampler}}}}}"
    task = "search: {algorithm: random, samples: 2}\n"
    texts = chosen(tmp_path, space, 1, 3, task)
    assert [lacking(text, [bound or ""]) for text in texts] == [[]] * bool(bound)


def test_a_confirmation_has_no_edges(tmp_path: Path) -> None:
    text = "task: pneumonia\nspace: {lr: {grid: [1.0e-6, 1.0e-5, 1.0e-4]}}\nepochs: 2\nseeds: 5\n"
    ended = {i: Ended(steady(*[0.5 + i / 10] * 5)) for i in (1, 2, 3)}
    assert "edge" in said(record(tmp_path, text, ended))
    assert "edge" not in said(record(tmp_path, text, ended, name="other", confirms="run"))
