"""Whether the texts of a figure can be read: what leaves the figure, and what lies over another text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from tune_app.report.figures import style

#: Pixels, of which a figure has 100 to the inch, that are no fault.
_SLACK = 1.0


def faults(figure: Figure) -> list[str]:
    """Texts that leave a figure, and pairs of texts that overlap, as laid out by `figures.draw`."""
    with style.styled():
        figure.draw_without_rendering()
        shapes = dict(_texts(figure))
    (width, height), (_, inches) = (100 * np.array(style.saved_size(figure)), figure.get_size_inches())
    low, high = np.array([0, 100 * inches - height]) - _SLACK, np.array([width, 100 * inches]) + _SLACK
    found = [
        f"{text.get_text()!r} leaves the figure"
        for text, corners in shapes.items()
        if (corners < low).any() or (corners > high).any()
    ]
    for (one, first), (other, second) in combinations(shapes.items(), 2):
        if _overlap(first, second):
            found.append(f"{one.get_text()!r} lies over {other.get_text()!r}")
    return found


def _texts(figure: Figure) -> Iterator[tuple[Text, NDArray[np.float64]]]:
    """Each visible text, and the corners (4, 2) of its rectangle in pixels."""
    shown = [axes for axes in figure.axes if axes.axison]
    ticks = {
        label: (axis, axis.get_view_interval())
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):
        if not text.get_visible() or not text.get_text().strip():
            continue
        if text in ticks:
            axis, (start, end) = ticks[text]
            place = text.get_position()[style.letter(axis) == "y"]
            reach = 1e-6 * abs(end - start)
            drawn = axis.get_visible() and axis.axes in shown
            if not drawn or not min(start, end) - reach <= place <= max(start, end) + reach:
                continue
        box, angle = text.get_window_extent(), text.get_rotation()
        text.set_rotation(0)
        width, height = text.get_window_extent().size
        text.set_rotation(angle)
        turn = np.radians(angle)
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
        yield text, corners @ matrix + np.add(box.p0, box.p1) / 2


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two rectangles overlap: no side of either separates them."""
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[2] - corners[1]):
            normal = side / (np.linalg.norm(side) or 1)
            first, second = one @ normal, other @ normal
            if first.max() - _SLACK <= second.min() or second.max() - _SLACK <= first.min():
                return False
    return True
