"""A copy of a run folder on storage that outlives its machine: a mounted path, S3 or Google Cloud Storage.

Only the driver writes there: `mirror` is the thread that copies what is new. `takeover` lets another machine
continue the run.
"""

from __future__ import annotations

from tune_app.storage.mirror import Mirror
from tune_app.storage.store import NONE, Store, connect, normalized, remote_uri
from tune_app.storage.takeover import fetch, mirrored, runs

__all__ = ["NONE", "Mirror", "Store", "connect", "fetch", "mirrored", "normalized", "remote_uri", "runs"]
