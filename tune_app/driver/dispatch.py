"""Completes a planned trial with what only the session knows: where its files go, and the code."""

from __future__ import annotations

from dataclasses import replace

from tune_app.driver import logs
from tune_app.sweep import Sweep
from tune_app.sweep.code import CodeState
from tune_app.sweep.trial_spec import TrialFiles, TrialSpec


def completed(spec: TrialSpec, sweep: Sweep, code: CodeState, gather: bool) -> TrialSpec:
    """The spec as a worker gets it.

    Args:
        spec: as it was planned.
        sweep: of the trial.
        code: the code of the session.
        gather: whether the worker may run on a machine without the run's folder.

    Raises:
        OSError: the checkpoint cannot be read.
    """
    folder = sweep.paths.checkpoints.absolute()
    if gather:
        content = (folder / spec.start.file).read_bytes() if spec.start else None
        files = TrialFiles(str(folder), gather=True, content=content)
    else:
        output = logs.expected(sweep, spec).absolute()
        files = TrialFiles(str(folder), str(output), opened=sweep.opened)
    return replace(spec, files=files, code=code, reported=_reported(spec, sweep))


def _reported(spec: TrialSpec, sweep: Sweep) -> tuple[tuple[tuple[int, float | None], ...], ...]:
    """What patience must know of each replicate up to its checkpoint."""
    if spec.start is None or spec.settings.patience is None:
        return ()
    configuration = sweep.history.configurations[spec.sample]
    name, _ = spec.settings.stop_metric
    return tuple(
        tuple(
            (epoch, found.get(name))
            for epoch, found, _ in configuration.epochs(replicate)
            if epoch <= spec.start.epoch
        )
        for replicate in spec.replicates
    )
