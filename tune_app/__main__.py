"""``python -m tune_app`` is the command line, too."""

from __future__ import annotations

import sys
from pathlib import Path

if Path(sys.path[0]).resolve() == Path.cwd() != Path(__file__).resolve().parents[1]:
    del sys.path[0]  # where a file of the user's could take the place of what tune-app imports

from tune_app.cli import main

main()
