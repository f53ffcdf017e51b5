"""What a sweep looks like in a terminal while it trains.

`snapshot` computes what there is to show, `drawing` makes text of it, and `watch` shows it from a thread.
"""

from __future__ import annotations

from tune_app.progress.watch import Watch, follow, note, waiting

__all__ = ["Watch", "follow", "note", "waiting"]
