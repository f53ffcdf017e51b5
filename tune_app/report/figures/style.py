"""How every figure looks, and how it is saved: legible in grey, for the colour-blind, and on paper.

Colours are those of Okabe and Ito ("Color Universal Design", 2008); series also differ in line style and
marker, so that none is told by its colour alone.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import cycle, islice, pairwise
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from tune_app.space.labels import text

#: Inches: the text width of a page.
WIDTH = 7.2

GREY, INK, BLUE, ORANGE, FAINT, PAPER = "#767676", "#222222", "#0072b2", "#d55e00", "#a8a8a8", "#ffffff"

_GRID = "#dddddd"

#: What a colour becomes on a page with a dark theme; others stay as they are.
_DARK = {
    **{PAPER: "#15171a", INK: "#e6e6e6", GREY: "#9a9a9a", FAINT: "#70767d", _GRID: "#33373c"},
    **{BLUE: "#4aa5e0", ORANGE: "#f5893d"},
}

#: Text on cells of a colour map, whose colours are those of no theme.
_ON_LIGHT, _ON_DARK = "#111111", "#fefefe"

#: Inches: a figure that stands beside another one.
NARROW = 5.4

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
    "figure.facecolor": PAPER,
    "font.size": 9,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.handlelength": 3.4,
    "savefig.dpi": 150,
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "tune-app",  # the same record gives the same file
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}

#: Where a figure's legend stands.
Where = Literal["outside lower center", "outside upper right"]

#: Fonts with letters that matplotlib's own lacks; those that are installed are fallen back on.
_MORE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "Hiragino Sans", "Noto Emoji")


_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", INK, "#E69F00", "#56B4E9")
_LINES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def looks(count: int) -> list[dict[str, Any]]:
    """Arguments of ``Axes.plot`` for ``count`` series, any two of which differ in more than their colour."""
    each = zip(cycle(_COLOURS), cycle(_LINES), cycle(_MARKERS), strict=False)
    return [{"color": color, "linestyle": line, "marker": mark} for color, line, mark in islice(each, count)]


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
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # keeps its renderer; without one, each measuring of a text makes another
    return figure


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel."""
    figure = canvas(width, height)
    return figure, figure.subplots()


#: Formats of a figure's file, with what stands in it beside the picture: no date.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "tune-app"},
    "png": {"Software": "tune-app"},
    "pdf": {"CreationDate": None, "Creator": "tune-app", "Producer": None},
}
KINDS = tuple(_METADATA)

#: Inches that are added below a figure for the line on its source.
_FOOT = 0.2

#: A metric whose values span more than this factor has a logarithmic axis.
DECADES = 20

#: Pixels between two labels of an axis; nearer ones are turned.
_BETWEEN = 4


def finish(figure: Figure, source: str) -> None:
    """Lay a figure out for good, and write below it which run and data it shows."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        if any(left.x1 + _BETWEEN > right.x0 for left, right in pairwise(boxes)):
            axes.tick_params(axis="x", rotation=45)
            figure.draw_without_rendering()
    figure.set_layout_engine(None)  # "none" would have every save lay it out once more
    for each in figure.legends:  # else saving with a foot would move them into it
        each.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(legible(source), max(30, int(20 * width)), max_lines=1, placeholder=" …")
    figure.text(0.04 / width, -0.5 * _FOOT / height, "".join(lines), fontsize=6.5, color=GREY, va="center")


def legible(text: str) -> str:
    """Text without letters that no picture can show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


#: Inches that a letter of a legend takes, about.
_LETTER = 0.075


def legend_columns(texts: Sequence[str], most: int = 2) -> int:
    """The columns of a legend: one where some text is too long for ``most``."""
    return most if most * (max(map(len, texts), default=0) + 8) * _LETTER <= WIDTH else 1


def legend(figure: Figure, axes: Axes, where: Where, columns: int = 2) -> None:
    """The legend of ``axes`` outside of all panels, where it hides nothing; one entry for equal labels."""
    entries = {str(label): handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries, loc=where, ncols=legend_columns([*entries], columns))


def log_locator(low: float, high: float, most: int = 8) -> LogLocator:
    """Few ticks on a logarithmic axis from ``low`` to ``high``."""
    decades = math.log10(high / low)
    steps = (1.0,) if decades >= 2 else (1.0, 2.0, 5.0) if decades >= 0.8 else (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
    return LogLocator(subs=steps, numticks=most)


def log_ticks(axis: Axis) -> None:
    """Few and short labels on a logarithmic axis, for what it shows now."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(log_locator(low, high))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(float(value))))
    axis.set_minor_formatter(NullFormatter())


def letter(axis: Axis) -> str:
    """``x`` or ``y``."""
    return "x" if isinstance(axis, XAxis) else "y"


def scale(axis: Axis, values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Make an axis logarithmic where its positive values span more than a factor of ``DECADES``."""
    wide = min(values) > 0 and max(values) / min(values) > DECADES
    if wide:
        axis.axes.set(**{f"{letter(axis)}scale": "log"})
    return wide


def fit(axis: Axis, values: Iterable[float], share: bool = False) -> None:
    """Limits from the values, which are all shown; of what reaches further, what leaves them legible.

    A share ends at 0 and 100%.
    """
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:
        return
    low, high = float(known.min()), float(known.max())
    if share:
        reach = (-2.0, 102.0)
    elif scale(axis, known):
        reach = (low / 1.5, high * 1.5)
    else:
        room = 0.35 * (high - low) or abs(high) or 1.0
        reach = (low - room if low < 0 else max(0.0, low - room), high + room)
    start, end = sorted(axis.get_view_interval())
    axis.axes.set(**{f"{letter(axis)}lim": (max(start, reach[0]), min(end, reach[1]))})
    if axis.get_scale() == "log":
        log_ticks(axis)


def whole_numbers(axis: Axis, most: int = 8) -> None:
    """Labels of whole numbers alone."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=most, min_n_ticks=1))


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """A row for each name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def matrix(
    axes: Axes,
    values: NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    fontsize: float,
    **look: Any,
) -> AxesImage:
    """A matrix (rows, columns) as coloured cells, hatched where a value is NaN; ``texts`` may be empty."""
    shown = axes.imshow(np.ma.masked_invalid(values), **look)
    axes.patch.set(hatch="////", edgecolor=FAINT)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    light = shown.to_rgba(values)[..., :3].sum(axis=-1)
    for row, line in enumerate(texts):
        for column, cell in enumerate(line):
            drawn = axes.text(column, row, cell, ha="center", va="center", fontsize=fontsize)
            if np.isfinite(values[row, column]):
                drawn.set_color(_ON_DARK if light[row, column] < 1.45 else _ON_LIGHT)
            elif cell:
                drawn.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 1.5})
    return shown


def saved_size(figure: Figure) -> tuple[float, float]:
    """Width and height of what is saved, in inches."""
    width, height = figure.get_size_inches()
    return float(width), float(height) + _FOOT


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of one of ``KINDS``; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    box = Bbox.from_bounds(0, -_FOOT, *saved_size(figure))
    with styled():
        figure.savefig(buffer, format=kind, metadata=_METADATA[kind], bbox_inches=box)
    return buffer.getvalue()


def themed(svg: bytes) -> bytes:
    """An SVG that follows the light or dark theme of the page that shows it."""
    rules = "".join(
        f'[style*="{what}: {light}"], [{what}="{light}"] {{{what}: {dark} !important}} '
        for light, dark in _DARK.items()
        for what in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark) {{ {rules}}}</style>"
    return svg.replace(b"<defs>", f"{style}<defs>".encode(), 1)
