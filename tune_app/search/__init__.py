"""Samples from Optuna: the sampler, its distributions, and the study file."""

from __future__ import annotations

from tune_app.errors import StorageError
from tune_app.sweep import Sweep
from tune_app.sweep.files import not_written
from tune_app.text import Notify


def restore_study(sweep: Sweep, notify: Notify) -> None:
    """Write ``study.db`` again from the record, if the sweep has one and no other process is updating it."""
    if sweep.space.search.algorithm != "optuna" or sweep.live():
        return
    from tune_app.search.study_file import StudyFile

    try:
        file = StudyFile(sweep.paths.study, sweep.name, sweep.space)
        file.write_history(sweep.history)
        file.close()
    except StorageError as error:
        notify(not_written(sweep.paths.study, error))
