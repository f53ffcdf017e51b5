"""What was measured before about looped or stacked replicates: a file for each answer in the user's cache.

An answer holds for one task, configuration, data, number of seeds, code, versions and hardware: its file is
named after a digest of them. A file that is missing, damaged or not writable costs the time of measuring.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from tune_app import tasks, training
from tune_app.session import provenance
from tune_app.sweep import code
from tune_app.training.stacking_benchmark import Benchmark, Choice

#: Variables on which the speed of torch depends.
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_PROC_BIND")


def path_of(benchmark: Benchmark, fingerprint: str) -> Path | None:
    """The file for the answer to a benchmark on the data of a fingerprint; None without a home folder."""
    spec, state = benchmark.spec, code.collect(benchmark.spec.settings.task)
    question = {
        "task": spec.settings.task,
        "config": dict(spec.config),
        "seeds": len(spec.replicates),
        "numerics": asdict(spec.settings.numerics),
        "asked": [benchmark.replicates, benchmark.device],
        "data": [
            fingerprint,
            *([*part.x.shape, str(part.x.dtype)] for part in (benchmark.splits.train, benchmark.splits.val)),
        ],
        "code": [state.files, state.versions, _own_code()],
        "hardware": [provenance.cpu_model(), provenance.cores(), asdict(provenance.gpus())],
        "environment": {name: os.environ.get(name) for name in _ENVIRONMENT},
    }
    digest = hashlib.sha256(json.dumps(question, sort_keys=True, default=repr).encode()).hexdigest()
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return folder / f"tune-app/stacking/{digest}.json"


@cache
def _own_code() -> str:
    """A digest of the code that measures and is measured: the version alone says too little of a checkout."""
    folders = [Path(str(package.__file__)).parent for package in (tasks, training)]
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def read(path: Path | None) -> Choice | None:
    """The answer in a file; None if there is none."""
    if path is None:
        return None
    try:
        found = Choice(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    numbers = all(each is None or isinstance(each, float) for each in (found.looped_s, found.stacked_s))
    known = found.replicates in ("looped", "stacked") and isinstance(found.why, str) and numbers
    return found if known else None


def write(path: Path | None, choice: Choice) -> None:
    """Keep an answer, unless measuring has failed. Several processes may do so at once."""
    if path is None or choice.failed:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(asdict(choice), file)
        Path(file.name).replace(path)
