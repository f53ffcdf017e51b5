"""The commands run, resume, extend and retry: each is one `Session`, with its sweep and its change."""

from __future__ import annotations

from dataclasses import replace

from tune_app.errors import RunError
from tune_app.session import named_run
from tune_app.session.loading import LoadedTask
from tune_app.session.request import Request
from tune_app.session.session import Session
from tune_app.space import SearchSpace
from tune_app.status import Status
from tune_app.sweep import Sweep, code, events, find_sample
from tune_app.tasks import task


def run(request: Request, loaded: LoadedTask) -> Session:
    """A session of a new run, or of the run of the requested name.

    Raises:
        RunError: a run of that name exists, and it is another sweep.
    """
    return Session(request, loaded, named_run.find(request, loaded))


def resume(request: Request, loaded: LoadedTask, sweep: Sweep) -> Session:
    """A session that trains what a run lacks."""
    return Session(request, loaded, sweep)


def extend(
    request: Request,
    loaded: LoadedTask,
    sweep: Sweep,
    wider: SearchSpace,
    asked: str,
    code_changed: bool = False,
) -> Session:
    """A session that wants the space ``wider`` from now on; ``asked`` is how the user put it.

    Raises:
        TaskError: the task cannot take a new value.
        RunError: seeds or epochs would be added to those of other code, unless ``code_changed``.
    """
    task.check(wider, loaded.task)
    from_start = restarts(sweep.space, wider, loaded)
    current = code.collect(wider.task, code.known_files(sweep.history))
    mixed = code.mixed_if_trained(sweep.history, wider, current, from_start)
    if mixed and not code_changed:
        raise code.mixing_error(sweep.name, mixed)
    space = wider.model_copy(update={"resources": request.space.resources})
    return Session(
        replace(request, space=space), loaded, sweep, lambda run: run.extend(wider, asked, from_start)
    )


def restarts(space: SearchSpace, wider: SearchSpace, loaded: LoadedTask) -> bool:
    """Whether more epochs change training from the first epoch on, as under a cosine schedule."""
    return wider.epochs != space.epochs and task.reads_epochs(loaded.task)


def retry(request: Request, loaded: LoadedTask, sweep: Sweep, samples: list[int]) -> Session:
    """A session that tries failed configurations again, from their last checkpoints."""
    retried = events.Retried(samples=samples)
    return Session(request, loaded, sweep, lambda run: run.note(retried, durable=True))


def failed(sweep: Sweep, trials: tuple[str, ...]) -> list[int]:
    """The samples that `retry` trains: those of ``trials``, or all that failed.

    Raises:
        RunError: nothing has failed, or one of ``trials`` has not.
    """
    configurations = sweep.history.configurations
    statuses = dict(zip(configurations, sweep.statuses(), strict=True))
    failures = [
        sample
        for sample, status in statuses.items()
        if status == Status.FAILED and configurations[sample].duplicate_of is None
    ]
    if not failures:
        raise RunError(
            f"{sweep.name}: no configuration has failed. To train what is lacking: "
            f"tune-app resume {sweep.name}"
        )
    chosen = list(dict.fromkeys(find_sample(sweep, trial) for trial in trials)) or failures
    for sample in chosen:
        if sample not in failures:
            raise RunError(
                f"{sweep.name}: configuration {sample} has not failed, it is {statuses[sample]}. "
                f"These have failed: {', '.join(map(str, failures))}"
            )
    return chosen
