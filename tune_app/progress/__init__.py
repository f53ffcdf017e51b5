"""What a sweep looks like in a terminal while it trains.

What there is to show (`snapshot`, `pace`) is computed apart from how it is drawn
(`drawing`); `watch` draws it on a clock of its own while the engine works.
"""

from __future__ import annotations

from tune_app.progress.watch import follow, note, waiting, watch

__all__ = ["follow", "note", "waiting", "watch"]
