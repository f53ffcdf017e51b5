"""``python -m tune_app`` is the command line, too."""

from __future__ import annotations

from tune_app.cli import main

main()
