"""The code that results come from: a hash of each source file that a task imports, and library versions."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from tune_app.errors import RunError
from tune_app.space import SearchSpace
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.history import History
from tune_app.tasks.source_files import Sources, of_no_file
from tune_app.version import __version__

LIBRARIES = ("torch", "ray", "optuna", "numpy")


@dataclass(frozen=True)
class CodeState:
    """The code of a session, or of one trial.

    ``files`` are those that the task's source imports; ``found`` are others that were imported while it
    trained. Each maps a path to a SHA-256 in hex. ``files`` is None for older records, which do not have it.
    """

    files: Mapping[str, str] | None = None
    found: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, str]:
        """All files by path."""
        return {**self.found, **(self.files or {})}


def differences(old: CodeState, new: CodeState) -> list[str]:
    """The files and libraries that differ: ``train.py (1a2b3c4d -> 5e6f7a8b)``."""
    said = []
    if old.files is not None and new.files is not None:
        before, after = old.all, new.all
        both = before.keys() & after.keys()
        said += [f"{path} (no longer imported)" for path in old.files.keys() - both]
        said += [f"{path} (new)" for path in new.files.keys() - both]
        changed = [path for path in both if before[path] != after[path]]
        said += [f"{path} ({before[path][:8]} -> {after[path][:8]})" for path in changed]
    for name in old.versions.keys() & new.versions.keys() & {"python", "tune-app", *LIBRARIES}:
        then, now = (versions[name] or "not installed" for versions in (old.versions, new.versions))
        if then != now:
            said.append(f"{name} {then} -> {now}")
    return sorted(said)


@cache
def versions() -> dict[str, str | None]:
    """Versions, when this process started, of Python, tune-app and the libraries that decide results."""
    return {
        "python": platform.python_version(),
        "tune-app": __version__,
        **{name: version(name) for name in LIBRARIES},
    }


def version(package: str) -> str | None:
    """The installed version of a package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# ---------------------------------------------------------------- of this process


def collect(reference: str, known: Iterable[str] = ()) -> CodeState:
    """The code of the loaded task ``reference``, with those of the ``known`` files that exist."""
    sources = Sources.of(reference)
    if sources is None:
        return CodeState(of_no_file(reference), {}, versions())
    files = sources.hashes(sources.imported())
    others = [sources.root / name for name in known if name not in files]
    return CodeState(files, sources.hashes(path for path in others if sources.holds(path)), versions())


def unrecorded(reference: str, code: CodeState) -> dict[str, dict[str, Any]]:
    """The files and versions of this process that differ from ``code``; empty if there are none."""
    sources, recorded = Sources.of(reference), code.all
    files = sources.loaded() if sources else {}
    found: dict[str, dict[str, Any]] = {
        "files": {name: value for name, value in files.items() if recorded.get(name) != value},
        "versions": {n: value for n, value in versions().items() if code.versions.get(n, value) != value},
    }
    return found if any(found.values()) else {}


# ---------------------------------------------------------------- of a record


def of_session(history: History, session: int) -> CodeState:
    """The code of a session, by its number from 0, with further files that its trials imported."""
    opened = history.openings[session].provenance if 0 <= session < len(history.openings) else {}
    recorded = opened.get("code") or {}
    files, found = recorded.get("files"), dict(recorded.get("found") or {})
    for attempt in history.attempts.values():
        if attempt.session == session:
            for name, value in attempt.files.items():
                if name not in (files or {}):
                    found.setdefault(name, value)
    return CodeState(files, found, opened.get("versions", {}))


def of_attempt(attempt: Attempt, session: CodeState) -> CodeState:
    """The code of a trial: that of its session, with what differed in the trial's process."""
    own = attempt.files
    files = None if session.files is None else {n: own.get(n, v) for n, v in session.files.items()}
    return CodeState(files, {**session.found, **own}, {**session.versions, **attempt.versions})


def by_trial(history: History) -> dict[str, CodeState]:
    """The code of each trial."""
    attempts = history.attempts.values()
    sessions = {number: of_session(history, number) for number in {each.session for each in attempts}}
    return {each.trial: of_attempt(each, sessions[each.session]) for each in attempts}


def known_files(history: History) -> set[str]:
    """All files that the sessions of a run have recorded."""
    return {name for session in range(len(history.openings)) for name in of_session(history, session).all}


def contributing(configuration: Configuration, replicate: int) -> list[Attempt]:
    """The trials that trained the epochs of a replicate, oldest first."""
    found: list[Attempt] = []
    for attempt in configuration.attempts:
        if replicate in attempt.replicates and attempt.epochs:
            found = [*(found if attempt.start_epoch else []), attempt]
    return found


def newest(history: History) -> CodeState:
    """The code of the newest session that has begun a trial; empty before the first."""
    return of_session(history, max((attempt.session for attempt in history.attempts.values()), default=-1))


def mixed_if_trained(
    history: History, space: SearchSpace, now: CodeState, from_start: bool = False
) -> dict[int, list[str]]:
    """The samples that would have seeds or epochs of differing code if trained now, with the differences.

    ``from_start`` says that every trial restarts from its first epoch.
    """
    kept: dict[int, list[Attempt]] = {}
    for configuration in history.configurations.values():
        replicates = configuration.replicates(space) if configuration.duplicate_of is None else ()
        to_train = {r for r in replicates if configuration.lacks(r, space.epochs)}
        for replicate in replicates if to_train else ():
            last = configuration.last(replicate)
            if replicate not in to_train or (last and last.saved and not from_start):
                kept.setdefault(configuration.sample, []).extend(contributing(configuration, replicate))
    return _differing(history, kept, now)


def mixed(
    history: History, configurations: Iterable[Configuration], space: SearchSpace, now: CodeState
) -> dict[int, list[str]]:
    """How the code ``now`` differs from the code that trained these, by sample."""
    return _differing(history, {each.sample: _trained(each, space) for each in configurations}, now)


def difference_note(
    history: History, configurations: Iterable[Configuration], space: SearchSpace, now: CodeState
) -> str:
    """A note on how the code ``now`` differs from the code that trained these; may be empty."""
    found = mixed(history, configurations, space, now)
    return f"note: {_differs(found)}." if found else ""


def _trained(configuration: Configuration, space: SearchSpace) -> list[Attempt]:
    return [each for r in configuration.replicates(space) for each in contributing(configuration, r)]


def _differing(
    history: History, trained: Mapping[int, Sequence[Attempt]], now: CodeState
) -> dict[int, list[str]]:
    codes = by_trial(history)
    found = {
        sample: sorted({each for a in attempts for each in differences(codes[a.trial], now)})
        for sample, attempts in trained.items()
    }
    return {sample: differing for sample, differing in found.items() if differing}


def _differs(found: Mapping[int, Sequence[str]]) -> str:
    what = sorted({each for differing in found.values() for each in differing})
    return f"the code differs from the one that trained {name_samples(list(found))}: {', '.join(what)}"


def change_note(changed: Sequence[str], mixed: Mapping[int, Sequence[str]]) -> str:
    """A note for a session that resumes a run with other code; empty if the code is the same."""
    said = []
    if changed:
        said.append(f"the code has changed since the last session of this run: {', '.join(changed)}.")
    if mixed:
        said.append(f"Seeds or epochs of different code will be in the means of {name_samples(list(mixed))}.")
    return " ".join(["note:", *said]) if said else ""


def mixing_error(name: str, mixed: Mapping[int, Sequence[str]]) -> RunError:
    """The error for an extension that would average over differing code."""
    return RunError(
        f"{name}: {_differs(mixed)}.\n  A mean would have seeds or epochs of both. Restore the code, "
        "start a new run, or allow it with --code-changed."
    )


def name_samples(samples: Sequence[int]) -> str:
    """``configurations 1, 2``, and no more than eight."""
    named = ", ".join(map(str, samples[:8])) + (", ..." if len(samples) > 8 else "")
    return f"configuration{'s' if len(samples) > 1 else ''} {named}"


def mixture(history: History, space: SearchSpace) -> tuple[dict[int, tuple[str, list[str]]], list[int]]:
    """How the code of the recorded results differs, for the replicates that count.

    Returns:
        When each session, by its number from 1, began, and how its code differs from that of the first trial.
        The configurations whose seeds or epochs come from differing code.
    """
    codes = by_trial(history)
    trained = [a for a in history.attempts.values() if a.epochs]
    sessions: dict[int, tuple[str, list[str]]] = {}
    for attempt in trained:
        if found := differences(codes[trained[0].trial], codes[attempt.trial]):
            began = history.openings[attempt.session].provenance.get("started", "")
            sessions.setdefault(attempt.session + 1, (began, found))
    samples = []
    for configuration in history.configurations.values() if sessions else ():
        own = [codes[attempt.trial] for attempt in _trained(configuration, space)]
        if any(differences(own[0], each) for each in own[1:]):
            samples.append(configuration.sample)
    return sessions, samples
