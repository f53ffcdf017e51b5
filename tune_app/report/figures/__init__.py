"""The figures of a report: what each shows is computed apart from how it is drawn.

Every kind is a function from the frames to its pictures; one that has nothing to show raises ``NotDrawn``
and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tune_app.errors import ReportError, nearest
from tune_app.report.figures import (
    curves,
    heatmap,
    intervals,
    pareto,
    rungs,
    scores,
    search_figures,
    style,
)
from tune_app.report.figures.picture import NotDrawn, Picture, Rendered
from tune_app.sweep.files import write_file

if TYPE_CHECKING:
    from tune_app.results import Frames

__all__ = ["KINDS", "NotDrawn", "Picture", "Rendered", "draw", "plot", "rendered", "save"]

#: Every kind of figure, in the order of a report.
KINDS: dict[str, Callable[[Frames], Iterator[Picture]]] = {
    "intervals": intervals.intervals,
    "curves": curves.curves,
    "panels": curves.panels,
    "heatmap": heatmap.heatmap,
    "pareto": pareto.trade_offs,
    "rungs": rungs.rungs,
    "confusion": scores.confusion_matrix,
    "roc": scores.roc_curve,
    **search_figures.KINDS,
}


def draw(frames: Frames, kind: str) -> list[Picture]:
    """The pictures of one kind, each signed with the run and the data that it shows.

    Raises:
        NotDrawn: there is nothing to show.
        RunError: a file of the run is damaged.
    """
    data = frames.sweep.data
    source = f"{frames.sweep.name} · {'' if data.kind == 'none' else 'data '}{data.label()}"
    with style.styled():
        pictures = list(KINDS[kind](frames))
        for picture in pictures:
            style.finish(picture.figure, source)
    return pictures


def save(picture: Picture, path: Path) -> Path:
    """Write one picture to ``path``, as the format that its ending names: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        DiskError: the disk refused it.
    """
    return write_file(path, style.rendered(picture.figure, path.suffix.removeprefix(".").lower()))


def plot(frames: Frames, kind: str, out: Path | None = None) -> list[Path]:
    """Draw one kind of figure into the run's report, or to ``out``; returns the files.

    A kind of several pictures adds to the name of ``out`` what each is of.

    Raises:
        ReportError: an unknown kind or format, or nothing to show.
        DiskError: the disk refused it.
        RunError: a file of the run is damaged.
    """
    if kind not in KINDS:
        raise ReportError(f'no figure "{kind}".{nearest(kind, KINDS)}\n  there are: {", ".join(KINDS)}')
    endings = [f".{each}" for each in style.KINDS]
    if out is not None and out.suffix.lower() not in endings:
        raise ReportError(f"{out}: a figure's file ends with one of {', '.join(endings)}")
    try:
        pictures = draw(frames, kind)
    except NotDrawn as reason:
        raise ReportError(f"{kind}: nothing to draw: {reason}") from reason
    if out is None:
        folder = frames.sweep.paths.report / "figures"
        return [save(each, folder / f"{each.name}.{end}") for each in pictures for end in ("svg", "png")]
    return [save(each, out.with_stem(f"{out.stem}{each.name.removeprefix(kind)}")) for each in pictures]


def rendered(frames: Frames, kind: str) -> list[Rendered] | NotDrawn:
    """The pictures of one kind as PNG and SVG, or why there are none; raises RunError as `draw` does."""
    try:
        pictures = draw(frames, kind)
    except NotDrawn as reason:
        return reason
    found = []
    for each in pictures:
        width, height = (round(96 * inches) for inches in style.saved_size(each.figure))
        svg, png = (style.rendered(each.figure, end) for end in ("svg", "png"))
        found.append(Rendered(each.name, each.title, each.alt, each.caption, width, height, svg, png))
    return found
