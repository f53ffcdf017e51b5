"""The events of a record: one frozen class for each kind, checked when it is read.

The line of an event is a JSON object: ``event`` is its kind, the class's name in lower case; ``t`` is when it
was recorded, in seconds since 1970; the fields of the class follow, but for some that say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tune_app.data.identity import DataIdentity
from tune_app.space import Value

_EXACT = 2**53  # the largest integer that a float, and so a column of a table, holds exactly
_FINITE = 1.7976931348623157e308

Time = Annotated[float, Meta(ge=0, le=1e11)]  # a date must exist for it
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Count = Annotated[int, Meta(ge=0, le=_EXACT)]
Number = Annotated[int, Meta(ge=1, le=_EXACT)]
Finite = Annotated[float, Meta(ge=-_FINITE, le=_FINITE)]
Crc32 = Annotated[int, Meta(ge=0, lt=2**32)]
Replicates = Annotated[list[Count], Meta(min_length=1)]
#: Files of a run lie in its own folders: a record may come from a stranger.
FileName = Annotated[str, Meta(pattern=r"\A[0-9]+-[0-9]+-[0-9]{6,}-(state|weights)\.pt\Z", max_length=255)]
LogName = Annotated[str, Meta(pattern=r"\A(logs/[0-9]+\.[0-9]+\.log)?\Z", max_length=255)]
RunName = Annotated[str, Meta(pattern=r"\A(?!\.{1,2}\Z)[^/\x00-\x1f]+\Z", max_length=255)]

#: A metric's values of one epoch, one a replicate; None where a replicate has none.
Values = dict[str, list[float | None]]


class EventError(ValueError):
    """An invalid event, or one that cannot follow those before it; the message says why."""


@dataclass(frozen=True)
class Numerics:
    """What decides whether equal work gives equal numbers; fixed when a sweep is planned.

    ``stacked`` replicates are looped all the same if a trial has one, or its configuration cannot be stacked.
    """

    replicates: Annotated[str, Meta(pattern=r"\A(looped|stacked)\Z")] = "looped"
    threads: Annotated[int, Meta(ge=1, le=4096)] = 1
    precision: Annotated[str, Meta(pattern=r"\A(float32|tf32|bf16)\Z")] = "float32"


class Saved(Struct, frozen=True, forbid_unknown_fields=True):
    """A file in the run's ``checkpoints/``."""

    epoch: Count
    file: FileName
    size_bytes: Count
    crc32: Crc32


class ScoreRows(Struct, frozen=True, forbid_unknown_fields=True):
    """Test scores in ``test_scores.bin``: ``<f4`` of shape (R, N) or (R, N, C); version 1 has no CRC-32."""

    offset: Count
    shape: tuple[Count, ...]
    crc32: Crc32 | None = None


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the data was found: ``data`` as asked for, ``path`` absolute where that is a path."""

    data: str | None
    path: str | None
    image_size: Count | None
    split: str
    everything: bool


class RecordLine(Struct, frozen=True, forbid_unknown_fields=True, tag_field="event", tag=str.lower):
    """Base of all events. ``t`` is the time of recording, in seconds since 1970."""

    t: Time = 0.0


class OfTrial(RecordLine, frozen=True, kw_only=True):
    """Base of the events of a trial that has started."""

    trial: str


class Created(RecordLine, frozen=True, kw_only=True):
    """The first event: what the sweep is. ``version`` is that of the record, ``space`` a name.

    ``measured`` is what was found when stacked replicates were tried against looped ones.
    """

    version: int
    space: str
    task: str
    yaml: str
    seed: int
    data: DataIdentity
    numerics: Numerics
    source: Source | None = None
    confirms: RunName | None = None
    measured: dict[str, Any] = {}


class Opened(RecordLine, frozen=True, kw_only=True):
    """A session begins: trials that have not ended are interrupted.

    ``storage`` is where the run is mirrored, ``sharing`` how many trials share a GPU, and why. ``slots`` is
    how many trials may run at a time.
    """

    provenance: dict[str, Any] = {}
    storage: str | None = None
    test_images_crc32: Crc32 | None = None
    sharing: dict[str, Any] | None = None
    slots: Count | None = None

    def __post_init__(self) -> None:
        msgspec.convert(self.provenance, _Provenance)


class Planned(RecordLine, frozen=True, kw_only=True):
    """A configuration: the point ``config``, of the number ``sample``.

    ``duplicate_of`` is the number of an earlier one that is the same point: then this one trains nothing.
    ``asked`` says that a sampler suggested it.
    """

    sample: Number
    fingerprint: str
    config: dict[str, Value]
    duplicate_of: Number | None = msgspec.field(name="twin")
    asked: bool = False


class Started(RecordLine, frozen=True, kw_only=True):
    """A trial begins to train ``replicates`` of a configuration, after ``epoch`` and up to ``target``.

    It resumes from the checkpoint ``start``. If it ``follows`` another, it takes no part in early stopping.
    """

    trial: str
    sample: Number
    replicates: Replicates
    epoch: Count
    target: Count
    node: str
    start: Saved | None = None
    follows: bool | None = None


class Epoch(OfTrial, frozen=True, kw_only=True):
    """An epoch of a trial: metrics and seconds, each with one value a replicate.

    The first of a trial has its ``device``, and why its replicates are ``looped`` where others are stacked.
    """

    epoch: Number
    metrics: Values
    durations_s: list[Seconds]
    device: str = ""
    looped: str = ""


class Code(OfTrial, frozen=True, kw_only=True):
    """The files (SHA-256 by path) and versions of a trial's process, where they differ from its session's."""

    files: dict[str, str] = {}
    versions: dict[str, str | None] = {}


class Checkpoint(OfTrial, frozen=True, kw_only=True):
    """A checkpoint of a trial is on the disk, and replaces the one before."""

    saved: Saved


class Decision(OfTrial, frozen=True, kw_only=True):
    """A decision of early stopping, see `tune_app.stopping.StoppingDecision`; to ``stop`` ends the trial."""

    sample: Number
    epoch: Count
    rung: Count
    value: Finite | None
    threshold: Finite | None
    stop: bool
    rule: str = "asha"
    bracket: Count | None = None
    saved: Saved | None = None


class Paused(OfTrial, frozen=True, kw_only=True):
    """A trial leaves its slot after an epoch that is a rung, where it waits with the checkpoint ``saved``.

    ``value`` is what the rung ranks by.
    """

    epoch: Number
    value: Finite | None
    saved: Saved | None = None


class Promoted(OfTrial, frozen=True, kw_only=True):
    """A trial trains on beyond a rung, at once or, if it is paused, as a new trial."""

    epoch: Number
    value: Finite | None


class Diverged(OfTrial, frozen=True, kw_only=True):
    """Replicates of a trial became non-finite at an epoch; ``why`` says what did."""

    epoch: Count
    replicates: Replicates
    why: str | None = None


class Ended(OfTrial, frozen=True, kw_only=True):
    """Replicates of a trial ended early after an epoch, ``by`` patience or the task."""

    epoch: Count
    replicates: Replicates
    by: str


class Finished(OfTrial, frozen=True, kw_only=True):
    """A trial finished at ``epoch``: test metrics and evaluated epochs, each with one value a replicate.

    ``look`` counts how often the test set was looked at for them, ``weights`` is the file of the evaluated
    models, and ``saved`` that of the last state.
    """

    epoch: Count
    evaluated: list[Count]
    test: Values
    scores: ScoreRows | None
    look: Number = 1
    weights: Saved | None = None
    saved: Saved | None = None


class Stopped(OfTrial, frozen=True, kw_only=True):
    """A trial was stopped by a person, or because its configuration was stopped."""

    reason: str
    saved: Saved | None = None


class Failed(OfTrial, frozen=True, kw_only=True):
    """A trial failed. It is tried again unless ``final``; if its machine was taken away, it ``moved``."""

    reason: str
    log: LogName
    sample: Number | None = None
    final: bool = True
    moved: bool = False


class Extended(RecordLine, frozen=True, kw_only=True):
    """The sweep was extended to ``space``, in YAML; ``from_start``: every trial restarts from epoch 1.

    ``absorbs`` is how many of the seeds that batches added to a configuration count among those of the space
    from now on. The samples ``revives``, which were paused or stopped, are trained to the end, and no rule of
    early stopping sees them any more; the checkpoints of their trials ``lost`` are no longer there.
    """

    space: str
    asked: str
    from_start: bool
    absorbs: Count = 0
    revives: list[Number] = []
    lost: list[str] = []


class Undone(RecordLine, frozen=True, kw_only=True):
    """The last extension was undone, as far as nothing of it was trained; ``space`` is the new one in YAML.

    Only the first ``keeps`` configurations stay. ``trials``, which trained nothing new, are removed. Of those
    that were revived, the samples ``rests`` are paused or stopped as before.
    """

    space: str
    keeps: Count
    trials: list[str]
    absorbs: Count = 0
    rests: list[Number] = []


class Batch(RecordLine, frozen=True, kw_only=True):
    """Settling adds ``seeds`` replicates to each of ``samples``, which may be the best, and then looks again.

    It began with ``among``. The look before this was at ``before`` replicates of each, the next is at
    ``after``; ``looks`` are planned in all. ``within`` is the margin and ``budget`` the number of replicates.
    """

    samples: Annotated[list[Number], Meta(min_length=1)]
    seeds: list[Count]
    among: list[Number]
    before: Number
    after: Number
    looks: Number
    budget: Number
    within: Finite | None = None


class Settled(RecordLine, frozen=True, kw_only=True):
    """The settling has ended: one is left, all left are ``within`` the margin, the budget is spent, ..."""

    why: Annotated[str, Meta(pattern=r"\A(one|within|budget|none|undone)\Z")]


class Rerun(RecordLine, frozen=True, kw_only=True):
    """A configuration was trained again: how many values were compared, and how many differ."""

    sample: Number
    compared: Count
    differing: Count
    device: str


class TestOpened(RecordLine, frozen=True, kw_only=True):
    """The test figures of all configurations were shown: ``by`` a command, or in the ``paper``'s tables."""

    by: Annotated[str, Meta(pattern=r"\A(show|report|plot|paper)\Z")]


class Retried(RecordLine, frozen=True, kw_only=True):
    """Failed configurations will be tried again."""

    samples: list[Number]


SessionEvent = Created | Opened | Planned | Extended | Undone | Batch | Settled | Rerun | Retried | TestOpened
TrialEvent = Started | Epoch | Code | Checkpoint | Decision | Paused | Promoted | Diverged | Ended
Event = SessionEvent | TrialEvent | Finished | Stopped | Failed


class _Hardware(Struct):
    cpu: str = ""
    cores: int = 0
    gpus: list[dict[str, Any]] = []


class _Provenance(Struct):
    """The types of what is read of a provenance; whatever else is in there is for people."""

    started: str = ""
    command: list[Any] = []
    versions: dict[str, str | None] = {}
    code: dict[str, dict[str, str] | None] | None = None
    git: dict[str, str | bool | None] | None = None
    os: str = ""
    hardware: _Hardware | None = None
    settings: dict[str, Any] = {}
