"""The report's page in a browser: readable for everybody, on a phone too, and asking for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import browser, look, printed_pages
from edge_cases import CASES, GRID, XRAYS, full
from records import record

from tune_app import report

pytestmark = pytest.mark.slow

PHONE, DESK = 390, 1280


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "figures"),
    [("stopped", True), ("function_task", False), ("all_failed", False), ("forty", False)],
)
def test_a_page_has_no_finding_and_fits_a_phone(tmp_path: Path, name: str, figures: bool, theme: str) -> None:
    browser()
    report.write(CASES[name](tmp_path), tmp_path / "report", figures=figures)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    phone, desk = look(page, [PHONE, DESK], tmp_path, dark=theme == "dark")
    for seen in (phone, desk):
        assert seen.violations == []
        assert seen.passes > 20, "axe has looked"
        assert all(address.startswith("data:") for address in seen.requests)
    assert phone.scroll_width <= PHONE
    assert desk.scroll_width <= DESK


def test_nine_configurations_take_five_screens_and_five_sheets(tmp_path: Path) -> None:
    browser()
    nine = GRID.replace("[3e-6, 3e-5]", "[3e-6, 3e-5, 3e-7]")
    report.write(record(tmp_path, nine, full(9), XRAYS), tmp_path / "report")
    index = tmp_path / "report" / "index.html"
    [desk] = look(index.read_text(encoding="utf-8"), [DESK], tmp_path)
    assert desk.height <= 5 * 900
    assert 3 <= printed_pages(index, tmp_path) <= 5, "folded parts are open"


def test_what_is_wrong_would_be_found(tmp_path: Path) -> None:
    page = (
        '<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy" content="default-src data:">'
        '<title>x</title></head><body><img src="data:,"><p style="color:#ccc; width: 900px">pale</p>'
        "</body></html>"
    )
    [seen] = look(page, [PHONE], tmp_path)
    assert {"image-alt", "html-has-lang", "color-contrast"} <= {rule for rule, *_ in seen.violations}
    assert {"serious", "critical"} <= {impact for _, impact, _ in seen.violations}
    assert seen.scroll_width > PHONE
