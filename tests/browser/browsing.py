"""A browser that looks at a page: headless Chromium, with axe-core in the page."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

#: Nothing of a browser that a test has no use for: no network, no first run, no GPU.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

# srcdoc keeps both documents on one origin, so that the outer one may look into the inner one
_FRAME = '<iframe width="{width}" height="900" srcdoc="{document}"></iframe>'
_INNER = """
<script>{axe}</script>
<script>
axe.run(document).then(found => parent.postMessage(JSON.stringify({{
  width: innerWidth,
  height: document.documentElement.scrollHeight,
  scrollWidth: document.documentElement.scrollWidth,
  requests: performance.getEntriesByType("resource").map(each => each.name),
  violations: found.violations.map(
    each => [each.id, each.impact, each.nodes.map(node => node.html.slice(0, 200))]
  ),
  passes: found.passes.length,
}})));
</script>
"""
_OUTER = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>outer</title><script>
addEventListener("message", event => {{
  const line = document.createElement("pre");
  line.textContent = event.data;
  document.body.append(line);
}});
</script></head><body>{frames}</body></html>
"""


@dataclass(frozen=True)
class Seen:
    """A page at one width: axe's findings (rule, impact, each one's HTML), its size, what it asked for."""

    width: int
    height: int
    scroll_width: int
    requests: list[str]
    violations: list[tuple[str, str, list[str]]]
    passes: int


def browser() -> str:
    """The Chromium of this machine; a test that asks for it is skipped where it or axe-core is missing."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("TUNE_APP_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip("no Chromium: apt-get install chromium, or set TUNE_APP_CHROMIUM")
    if not AXE.is_file():
        pytest.skip("no axe-core: npm install --prefix tests/browser")
    return found


def look(page: str, widths: Sequence[int], folder: Path, dark: bool = False) -> list[Seen]:
    """A page's HTML at several widths, in pixels, in a theme; ``folder`` is for the browser's files."""
    browser()  # before axe-core is read: a test is skipped where it is missing
    # the page forbids scripts, which is what axe is
    open_page, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert count == 1
    inner = open_page.replace("</body>", _INNER.format(axe=AXE.read_text(encoding="utf-8")) + "</body>")
    frames = "".join(_FRAME.format(width=width, document=html.escape(inner)) for width in widths)
    (folder / "outer.html").write_text(_OUTER.format(frames=frames), encoding="utf-8")
    options = ["--dump-dom", "--virtual-time-budget=60000"]
    options += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = _run(options, folder / "outer.html", folder)
    found = [
        json.loads(html.unescape(text)) for text in re.findall(r"<pre>(.*?)</pre>", _body(done.stdout), re.S)
    ]
    assert len(found) == len(widths), done.stderr[-2000:]
    return sorted((_seen(each) for each in found), key=lambda each: widths.index(each.width))


def printed_pages(page: Path, folder: Path) -> int:
    """How many sheets a page takes on paper."""
    file = folder / "printed.pdf"
    _run([f"--print-to-pdf={file}", "--no-pdf-header-footer"], page, folder)
    return len(re.findall(rb"/Type\s*/Page\b", file.read_bytes()))


def _run(options: Sequence[str], page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [browser(), *FLAGS, *options, f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)


def _body(dom: str) -> str:
    """What stands after the frames, whose own pages may hold anything."""
    return dom.rsplit("</iframe>", 1)[1]


def _seen(found: dict[str, Any]) -> Seen:
    violations = [(rule, str(impact), list(nodes)) for rule, impact, nodes in found["violations"]]
    return Seen(
        found["width"], found["height"], found["scrollWidth"], found["requests"], violations, found["passes"]
    )
