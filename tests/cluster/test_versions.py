"""The versions that shell commands of a cluster's file name."""

from __future__ import annotations

import sys

import pytest

from tune_app.cluster import versions


@pytest.mark.parametrize(
    ("command", "pins"),
    [
        ("pip install 'ray[tune]==2.60.0' torch", [("==", "2.60.0")]),
        ("pip install ray>=2.50", [(">=", "2.50")]),
        ("pip install raylib==1.0 array==2", []),
        ("pip install ray", []),
    ],
)
def test_pins_of_ray_are_found(command: str, pins: list[tuple[str, str]]) -> None:
    assert versions.ray_pins([command]) == pins


def test_versions_of_python_are_found() -> None:
    commands = ["conda create python=3.11", "apt install python3.12-venv", "conda create -n x Python 3.10"]
    assert versions.pythons(commands) == ["3.11", "3.12", "3.10"]


def test_this_machine_has_both() -> None:
    assert versions.python() == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert versions.ray()[0].isdigit()
