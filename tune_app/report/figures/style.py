"""How every figure looks, and how it is saved: legible in grey, for the colour-blind, and on paper.

Colours are those of Okabe and Ito ("Color Universal Design", 2008); series also differ in line style and
marker, so that none is told by its colour alone.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from tune_app.space.labels import text

#: Inches: the text width of a page.
WIDTH = 7.2

GREY, INK = "#767676", "#222222"

#: Perceptually even, and one way from dark to light: in grey print too.
COLOUR_MAP = "cividis"

_RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 150,
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "tune-app",  # the same record gives the same file
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}

#: Where a figure's legend stands.
Where = Literal["outside lower center", "outside upper right"]

#: Fonts with letters that matplotlib's own lacks; those that are installed are fallen back on.
_MORE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "Hiragino Sans", "Noto Emoji")


@dataclass(frozen=True)
class Look:
    """How one series is drawn."""

    color: str
    linestyle: Any
    marker: str

    def line(self) -> dict[str, Any]:
        """Arguments of ``Axes.plot``."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_LINES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def looks(count: int) -> list[Look]:
    """``count`` looks, any two of which differ in more than their colour."""
    each = zip(cycle(_COLOURS), cycle(_LINES), cycle(_MARKERS), strict=False)
    return [Look(*parts) for parts in islice(each, count)]


@contextmanager
def styled() -> Iterator[None]:
    """For as long as it is open, matplotlib draws and saves in the report's style."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update({**_RC, "font.family": ["DejaVu Sans", *_installed()]})
        # a letter that no font here has is drawn as a box; the page has it as text
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    names = set(font_manager.get_font_names())
    return tuple(name for name in _MORE_FONTS if name in names)


def canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches, that lays itself out so that nothing overlaps."""
    return Figure(figsize=(width, height), layout="constrained")


#: Formats of a figure's file, with what stands in it beside the picture: no date.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "tune-app"},
    "png": {"Software": "tune-app"},
    "pdf": {"CreationDate": None, "Creator": "tune-app", "Producer": None},
}
KINDS = tuple(_METADATA)

#: Inches that a letter takes, about.
_LETTER = 0.075

#: Inches that are added below a figure for the line that ``sign`` writes there.
_FOOT = 0.2


def add_source(figure: Figure, source: str) -> None:
    """Lay a figure out for good, and say below it which run and data it shows wherever it is passed on."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # "none" would have every save lay it out once more
    for each in figure.legends:  # else saving with a foot would move them into it
        each.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(
        text_of(source), max(30, int(72 * width / (0.55 * 6.5))), max_lines=1, placeholder=" …"
    )
    figure.text(
        0.04 / width, -0.5 * _FOOT / height, "".join(lines), fontsize=6.5, color=GREY, ha="left", va="center"
    )


def text_of(text: str) -> str:
    """Text that matplotlib shows as it is: two dollar signs would be read as a formula."""
    letters = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    return letters.replace("$", r"\$")


def legend(figure: Figure, axes: Axes, where: Where, columns: int = 2) -> None:
    """The legend of ``axes`` outside of all panels, where it hides nothing.

    It reads across, in the order that the series were drawn in.
    """
    handles, labels = axes.get_legend_handles_labels()
    texts = list(map(str, labels))
    if not legend_fits(texts, columns, figure.get_size_inches()[0]):
        columns = 1
    rows = math.ceil(len(handles) / columns)
    # matplotlib fills columns downwards, the first of them fuller than the last
    order = [row * columns + column for column in range(columns) for row in range(rows)]
    order = [index for index in order if index < len(handles)]
    figure.legend(
        [handles[index] for index in order],
        [texts[index] for index in order],
        loc=where,
        ncols=columns,
        handlelength=3.4,
    )


def legend_fits(texts: Sequence[str], columns: int, width: float) -> bool:
    """Whether a legend of these texts, in that number of columns, fits into ``width`` inches."""
    return columns * (max(map(len, texts), default=0) + 8) * _LETTER <= width


def log_ticks(axis: Axis) -> None:
    """Few and short labels on a logarithmic axis, for what it shows now."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    steps = (1.0,) if decades >= 2 else (1.0, 2.0, 5.0) if decades >= 0.8 else (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(float(value))))
    axis.set_minor_formatter(NullFormatter())


def add_margins(axes: Axes) -> None:
    """Room at both sides, for labels that would run into those of the next panel."""
    scale = axes.xaxis.get_transform()
    low, high = scale.transform(np.array(axes.get_xlim()))
    room = 0.12 * (high - low)
    axes.set_xlim(*scale.inverted().transform(np.array([low - room, high + room])))


def blank(axes: Axes) -> None:
    """Blank the place of a panel that a grid of panels has no use for."""
    axes.set_axis_off()


def saved_size(figure: Figure) -> tuple[float, float]:
    """Width and height of what is saved, in inches."""
    width, height = figure.get_size_inches()
    return float(width), float(height) + _FOOT


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of one of ``KINDS``; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    width, height = saved_size(figure)
    figure.savefig(
        buffer,
        format=kind,
        metadata=_METADATA[kind],
        bbox_inches=Bbox.from_bounds(0, -_FOOT, width, height),
    )
    return buffer.getvalue()
