"""The report as one page: ``index.html``, which needs nothing but itself, and ``report.md``."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tune_app.report import comparing, formats, narrative, render
from tune_app.report.figures.picture import NotDrawn, Rendered
from tune_app.report.render import Table
from tune_app.status import Status
from tune_app.version import __version__

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.verdict import Verdict
    from tune_app.results.warnings import ResultWarning

#: Rows of a table, and warnings about the results, that a page shows before it folds the others.
MOST_ROWS, MOST_WARNINGS = 40, 3

#: The figures below the tables, by what they answer; the first group is open.
_GROUPS = {
    "What the parameters do": ("heatmap", "pareto", "importance", "slice", "parallel"),
    "How it was trained": ("history", "rungs", "panels"),
    "The chosen configuration on the test set": ("confusion", "roc"),
}

_WHOLE = r"(--[a-z][a-z-]*|[\d.]+%? ± [\d.]+(?:e-\d+)?|\d[\d.]*e-\d+)"

_TEMPLATES = Path(__file__).parent / "templates"

Pictures = Sequence[Rendered]


@dataclass(frozen=True)
class Page:
    """All that a page says, as plain text: escaping is left to the formats.

    ``banner`` is what must not be overlooked; ``common`` what holds for every table. The pictures ``beside``
    stand beside the verdict, ``figures`` below the tables, by group. All from ``notes`` on is folded;
    ``left_out`` says by kind why a figure is missing.
    """

    title: str
    data: str
    fingerprint: str
    banner: str
    verdict: Sequence[str]
    warnings: Sequence[str]
    beside: Pictures
    curves: Pictures
    tables: Sequence[Table]
    common: Sequence[str]
    figures: Mapping[str, Pictures]
    notes: Sequence[str]
    asked: Sequence[tuple[str, str]]
    settings: Table
    left_out: Mapping[str, str]
    command: str
    reproduce: Sequence[tuple[str, str]]
    version: str = __version__


def gather(
    frames: Frames,
    judged: Verdict,
    result_warnings: Sequence[ResultWarning],
    tables: Sequence[Table],
    drawn: Mapping[str, list[Rendered] | NotDrawn],
) -> Page:
    """What the page of a run says; the last of the tables is that of its settings."""
    data = frames.sweep.data
    common = [line for line in tables[0].about if all(line in table.about for table in tables)]
    *shown, settings = [_shortened(table, common) for table in tables]
    warned = [warning.text for warning in result_warnings]
    noted = [*judged.notes, *filter(None, [frames.units.note()]), *data.notes]
    pictures = {kind: found for kind, found in drawn.items() if not isinstance(found, NotDrawn)}
    groups = {
        title: [each for kind in kinds for each in pictures.get(kind, [])] for title, kinds in _GROUPS.items()
    }
    return Page(
        title=f"Report of {frames.sweep.name}",
        data=data.label(),
        fingerprint=data.fingerprint,
        banner=_banner(frames),
        verdict=[*comparing.luck(frames, judged), *narrative.verdict(frames, judged)],
        warnings=[*narrative.failures(frames), *warned[:MOST_WARNINGS]],
        beside=pictures.get("intervals", []),
        curves=pictures.get("curves", []),
        tables=shown,
        common=[line for line in common if line.removeprefix("Note: ") not in data.notes],
        figures={title: found for title, found in groups.items() if found},
        notes=[*warned[MOST_WARNINGS:], *noted],
        asked=narrative.asked(frames),
        settings=settings,
        left_out={kind: str(reason) for kind, reason in drawn.items() if isinstance(reason, NotDrawn)},
        command=narrative.command(frames),
        reproduce=narrative.reproduce(frames),
    )


def _banner(frames: Frames) -> str:
    said = []
    states = frames.trials["status"].value_counts()
    open_ends = (Status.RUNNING, Status.INTERRUPTED, Status.PLANNED)
    if going := [f"{states[status]} {status}" for status in open_ends if status in states]:
        said.append(
            f"This run has not ended ({formats.listed(going)}): this page shows what is recorded so far."
        )
    if frames.sweep.data.kind == "phantom":
        said.append("Phantom images, drawn by code: nothing here says anything about X-rays.")
    return " ".join(said)


def _shortened(table: Table, common: Sequence[str]) -> Table:
    about = [line for line in table.about if line not in common]
    if len(table.rows) > MOST_ROWS:
        about.append(f"Shown are the first {MOST_ROWS} of {len(table.rows):,} rows; {table.name}.csv has all")
    return replace(table, rows=list(table.rows)[:MOST_ROWS], about=about)


def html(page: Page) -> str:
    """The page as one HTML file: styles and pictures are in it, and it asks for nothing from outside."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = _whole
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(page=page, style=style, uri=_uri)


def _whole(text: str) -> Markup:
    """Text in which a line never ends within ``--option``, ``3e-5`` or ``92.9% ± 0.6``."""
    found = re.sub(_WHOLE, r"<span class='whole'>\1</span>", str(escape(text)))
    return Markup(found)  # what was not ours is escaped above


def _uri(svg: bytes) -> str:
    from tune_app.report.figures import style

    return f"data:image/svg+xml;base64,{base64.b64encode(style.themed(svg)).decode()}"


def markdown(page: Page) -> str:
    """The page in GitHub's Markdown, its pictures beside it in ``figures/``."""
    text = render.markdown_text
    blocks = [f"# {text(page.title)}", f"Data: {text(page.data)}"]
    if page.fingerprint:
        blocks.append(f"SHA-256 of the data: {page.fingerprint}")
    if page.banner:
        blocks.append(f"**{text(page.banner)}**")
    blocks += ["## Verdict", *map(text, page.verdict)]
    if page.warnings:
        blocks += ["### Warnings", _list(page.warnings)]
    blocks += [*_pictures(page.beside), *_pictures(page.curves, "##"), "## Tables"]
    blocks += [render.markdown(table, level=3).rstrip() for table in page.tables]
    if page.common:
        blocks.append(_list(page.common))
    for title, pictures in page.figures.items():
        blocks += [f"## {title}", *_pictures(pictures)]
    if page.notes:
        blocks += ["## Notes", _list(page.notes)]
    blocks += ["## Settings", _terms(page.asked), render.markdown(page.settings, level=3).rstrip()]
    if page.left_out:
        blocks += ["## Figures left out", _terms(page.left_out.items())]
    blocks.append("## How to repeat the run")
    if page.command:
        command = " ".join(page.command.replace("```", "'''").splitlines())
        blocks.append(f"```sh\n{command}\n```")
    blocks += [_terms(page.reproduce), f"Made by tune-app {page.version} from record.jsonl."]
    return "\n\n".join(blocks) + "\n"


def _pictures(pictures: Pictures, level: str = "###") -> Iterator[str]:
    text = render.markdown_text
    for picture in pictures:
        yield f"{level} {text(picture.title)}"
        yield f"![{text(picture.alt)}](figures/{picture.name}.png)"
        yield text(picture.caption)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {render.markdown_text(line)}" for line in lines)


def _terms(pairs: Iterable[tuple[str, str]]) -> str:
    return _list([f"{term}: {value}" for term, value in pairs])
