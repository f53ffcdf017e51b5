"""What every kind of figure gives: a drawing with the words that go with it."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from tune_app.errors import ReportError


@dataclass(frozen=True)
class Picture:
    """One figure of a report.

    ``name`` is the stem of its files; ``alt`` says in words what it shows, for whoever cannot see it;
    ``caption`` what its marks mean and, where some are left out, which configurations it has.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Rendered:
    """A picture as the bytes of its files; ``width`` and ``height`` are CSS pixels, 96 to the inch."""

    name: str
    title: str
    alt: str
    caption: str
    width: int
    height: int
    svg: bytes
    png: bytes


class NotDrawn(ReportError):
    """There is nothing that this kind of figure could show; says why."""


def sentences(*parts: str | bool) -> str:
    """The parts that say something, each as a sentence."""
    said = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
    return " ".join(f"{part[0].upper()}{part[1:]}{'' if part[-1] in '.!?' else '.'}" for part in said)
