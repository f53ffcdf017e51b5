"""Make the pictures of the README: ``python docs/images/make.py`` (needs chromium and script; two minutes).

It trains the built-in grid in a temporary folder, and draws the terminal as SVG and the report as PNG.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COMMAND = ["tune-app", "run", "grid"]
#: Of the window of the browser, in pixels.
WIDTH, HEIGHT = 1040, 1300


def play(argv: list[str], folder: Path, columns: int) -> str:
    """What a terminal shows once a command has ended, with its colours as ANSI sequences."""
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "60", "TERM": "xterm-256color"}
    command = " ".join([str(Path(sys.executable).parent / argv[0]), *argv[1:]])
    typescript = ["script", "--quiet", "--return", "--command", command, "typescript"]
    subprocess.run(
        typescript, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    written = (folder / "typescript").read_bytes().decode()
    written = written.partition("\n")[2].rpartition("\nScript done")[0]
    lines, row = [""], 0
    for piece in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", written):
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif up := re.fullmatch(r"\x1b\[(\d*)A", piece):
            row = max(0, row - int(up[1] or 1))
        elif piece in ("\x1b[2K", "\x1b[K"):
            lines[row] = ""
        elif piece.endswith("m") or not piece.startswith(("\x1b", "\r")):
            lines[row] += piece
    return "\n".join(lines).strip("\n")


def main() -> None:
    """See the module."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = play(COMMAND, folder, columns=110)
        console = Console(record=True, width=112, file=io.StringIO())
        console.print(f"[bold]$[/bold] {' '.join(COMMAND)}")
        console.print(Text.from_ansi(shown))
        console.save_svg(str(HERE / "terminal.svg"), title="tune-app")
        page = folder / "runs/grid-1/report/index.html"
        picture = Image.new("RGB", (2 * WIDTH, HEIGHT), "white")
        picture.paste(screenshot(page, folder / "page.png"))
        top = 40
        for kind in ("heatmap", "slice", "parallel"):
            figure = Image.open(page.parent / "figures" / f"{kind}.png").convert("RGB")
            figure.thumbnail((WIDTH - 60, (HEIGHT - 80) // 3))
            picture.paste(figure, (WIDTH + (WIDTH - figure.width) // 2, top))
            top += (HEIGHT - 40) // 3
        small = picture.resize((WIDTH, HEIGHT // 2), Image.Resampling.LANCZOS)
        small.quantize(255).save(HERE / "report.png", optimize=True)


def screenshot(page: Path, picture: Path) -> Image.Image:
    """The top of a page in a browser."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
    argv = [chromium, *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(argv, check=True, capture_output=True)
    return Image.open(picture).convert("RGB")


if __name__ == "__main__":
    main()
