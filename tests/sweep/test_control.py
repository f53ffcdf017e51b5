from __future__ import annotations

from pathlib import Path

from tune_app.sweep import control


def test_requests_are_heard_once_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    assert list(control.take_requests(folder)) == []
    paths = [control.ask(folder, {"do": "stop", "sample": number}) for number in (2, 1)]
    assert all(path.exists() for path in paths)
    assert [request["sample"] for request in control.take_requests(folder)] == [2, 1]
    assert list(folder.iterdir()) == []


def test_one_that_is_being_written_waits_and_nonsense_goes(tmp_path: Path) -> None:
    half, nonsense = tmp_path / "1.json", tmp_path / "2.json"
    half.write_text('{"do": "st')
    nonsense.write_text("[1]")
    assert list(control.take_requests(tmp_path)) == []
    assert half.exists()
    assert not nonsense.exists()
    half.write_text('{"do": "stop"}')
    assert list(control.take_requests(tmp_path)) == [{"do": "stop"}]
