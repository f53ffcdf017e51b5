"""A run's folder on storage that outlives its machine: a mounted path, S3 or Google Cloud Storage.

Only the driver writes there. The record goes as immutable numbered segments under the name of their owner
(`segments`), behind a real write that was read back (`store`); a thread follows the files of the run
(`mirror`); another machine takes the run over by a higher generation (`takeover`).
"""

from __future__ import annotations

from tune_app.storage.mirror import Mirror
from tune_app.storage.store import NONE, Store, connect, normal, there
from tune_app.storage.takeover import fetch, mirrored, runs

__all__ = ["NONE", "Mirror", "Store", "connect", "fetch", "mirrored", "normal", "runs", "there"]
