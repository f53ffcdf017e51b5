"""The verdict in three sentences, the settings of the space, and how to reproduce the run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tune_app.report import formats, rows
from tune_app.space import Sampler
from tune_app.space.labels import texts
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.verdict import Comparison, Standing, Verdict

#: How many of several are named.
_NAMED = 3
_LISTED = 8


def verdict(frames: Frames, judged: Verdict) -> list[str]:
    """Three sentences: the chosen configuration, what it is tied with, and its result on the test set."""
    if judged.winner is None:
        return [f"No configuration has finished, so nothing is chosen: {_states(frames)}."]
    return [
        _chosen(frames, judged.chosen.standing(judged.winner), judged.chosen.metric),
        _tied(frames, judged),
        _tested(frames, judged, judged.winner),
    ]


def _states(frames: Frames) -> str:
    counts = frames.trials["status"].value_counts()
    return formats.listed([f"{number} {state}" for state, number in counts.items()]) or "none was started"


def _chosen(frames: Frames, best: Standing, metric: str) -> str:
    over = f"over {counted(best.n, 'seed')}"
    over += {1: ", which gives no interval", 2: ""}.get(best.n, ", 95% interval")
    figure = frames.units.measure(metric, best.values, unit=True)
    still = "" if (frames.trials["status"] == Status.FINISHED).all() else _so_far(frames)
    return (
        f"Chosen by {formats.quantity(metric)}{still}: {frames.name_of(best.sample)} "
        f"(sample {best.sample}), with {figure} {over}."
    )


def _so_far(frames: Frames) -> str:
    done = int((frames.trials["status"] == Status.FINISHED).sum())
    return f" of the {done} finished of {counted(len(frames.trials), 'configuration')}"


def _tied(frames: Frames, judged: Verdict) -> str:
    others = len(judged.chosen.standings) - 1
    if others == 0:
        return "It is the only one that has finished, so there is nothing to tell it from."
    if reason := judged.chosen.unanswered.get("seeds"):
        return f"Whether it is better than the others cannot be said: {reason}."
    seeds = counted(judged.chosen.standings[0].n, "seed")
    mine = [pair for pair in judged.chosen.pairs if pair.first == judged.winner]
    if not judged.tied:
        if all(pair.seeds and pair.seeds.constant for pair in mine):
            what = "the same value" if judged.chosen.seedless else "the same difference"
            why = f"seeds play no part, as each of the {seeds} gives {what}"
            return f"It is told apart from {_all(others, judged)}: {why}."
        how = "(paired t tests, Holm's correction at 5%)"
        return f"It is told apart from {_all(others, judged)} with {seeds} {how}."
    tied = [f"sample {each} ({frames.name_of(each)})" for each in judged.tied]
    same = [pair.second for pair in mine if pair.same]
    if len(same) == len(tied):
        more = [f"{len(tied) - _NAMED} more"] if len(tied) > _NAMED else []
        return f"It is tied with {formats.listed([*tied[:_NAMED], *more])}: the same values with all {seeds}."
    if len(tied) == others:
        return (
            f"It is not told apart from {_all(others, judged)}: with {seeds}, chance may have put it first."
        )
    more = [f"{len(tied) - _NAMED} more"] if len(tied) > _NAMED else []
    return (
        f"It is tied with {formats.listed([*tied[:_NAMED], *more])}: "
        f"with {seeds}, chance may have put it before {'it' if len(tied) == 1 else 'them'}."
    )


def _all(others: int, judged: Verdict) -> str:
    all_of_them = "the other" if others == 1 else f"any of the other {others}"
    return f"{all_of_them} that {'is' if others == 1 else 'are'} compared" if judged.notes else all_of_them


def _tested(frames: Frames, judged: Verdict, winner: int) -> str:
    test = judged.test
    if test is None or all(each.sample != winner for each in test.standings):
        return "There is no test metric: what it is worth on data that no choice has seen is left open."
    best = test.standing(winner)
    figure = frames.units.measure(test.metric, best.values, unit=True)
    text = f"On the test set: {formats.quantity(test.metric)} {figure}"
    if best.both is not None:
        text += f" over seeds, ± {frames.units.half_width(test.metric, best.both)} over seeds and patients"
    return f"{text}{_beside(test, winner)}."


def _beside(test: Comparison, winner: int) -> str:
    """From how many others it differs significantly there, and in which direction."""
    if not test.pairs:
        return ""
    worse, better = test.significantly_different(winner)
    if not worse and not better:
        return "; there it is told apart from no other configuration"
    sides = [("better", worse), ("worse", better)]
    told = [f"{side} than {counted(len(found), 'configuration')}" for side, found in sides if found]
    return f"; there it is {formats.listed(told)}, as far as these are told apart"


def asked(frames: Frames) -> list[tuple[str, str]]:
    """The settings of the space, as pairs of a term and its value."""
    space = frames.sweep.space
    found = [("task", space.task), *([("description", space.description)] if space.description else [])]
    found += [(name, _sampler(sampler)) for name, sampler in space.space.items()]
    if space.configs:
        each = [frames.labels.point(config, config) for config in space.configs]
        rest = len(each) - _LISTED
        listed = [*each[:_LISTED], *([f"{rest:,} more"] if rest > 0 else [])]
        found.append(("exact configurations", "; ".join(listed)))
    if space.fixed:
        found.append(("fixed", frames.labels.point(space.fixed, space.fixed)))
    search = space.search
    how: str = search.algorithm
    if search.samples is not None:
        how += f", {counted(search.samples, 'sample')}"
    found += [
        ("search", f"{how} ({search.sampler})" if search.sampler else how),
        ("configurations", f"{space.size():,}"),
        ("seeds each", str(space.seeds)),
        ("epochs", f"{space.epochs}, evaluated at the {space.evaluate}"),
        ("chosen by", f"{formats.quantity(space.metric.name)} ({space.metric.mode})"),
        *(("optimised too", f"{formats.quantity(each.name)} ({each.mode})") for each in space.metrics[1:]),
        ("early stopping", _stopping(frames)),
    ]
    return found


def _sampler(sampler: Sampler) -> str:
    values = ", ".join(texts(sampler.args))
    when = " and ".join(f"{name} is {formats.listed(texts(values))}" for name, values in sampler.when.items())
    return f"{sampler.kind} {values}" + (f", where {when}" if when else "")


def _stopping(frames: Frames) -> str:
    stop, history = frames.sweep.space.stop, frames.sweep.history
    said = []
    if stop.scheduler != "none":
        rungs = stop.rungs(frames.sweep.space.epochs)
        after = f"; decisions after epochs {formats.listed(rungs)}" if rungs else ""
        stopped = int((frames.trials["status"] == Status.STOPPED).sum())
        of_all = counted(len(frames.trials), "configuration")
        said.append(f"{stop.scheduler}{after}; {stopped} of {of_all} stopped")
    if stop.patience is not None:
        trained = frames.seeds[frames.seeds["epochs"] > 0]
        converged = sum(
            attempt is not None and replicate in attempt.converged
            for configuration in history.configurations.values()
            for replicate in frames.sweep.space.replicate_numbers
            for attempt in [configuration.last(replicate)]
        )
        of_all = counted(len(trained), "replicate")
        said.append(f"patience {stop.patience}; {converged} of {of_all} converged before the last epoch")
    return "; ".join(said) or "none"


def failures(frames: Frames) -> list[str]:
    """Why configurations failed or diverged, one line each, for the first few."""
    failed = []
    for configuration in frames.sweep.history.configurations.values():
        newest = {id(a): a for r in frames.sweep.space.replicate_numbers if (a := configuration.last(r))}
        last = next((a for a in newest.values() if a.fault), None)
        if last is None:
            continue
        log = f" ({last.log})" if last.log else ""
        what = f"failed at epoch {last.epoch}" if last.end == Status.FAILED else "diverged"
        failed.append(f"Sample {configuration.sample} {what}: {last.fault}{log}")
    more = len(failed) - _NAMED
    return failed[:_NAMED] + ([counted(more, "further configuration")] if more > 0 else [])


def reproduce(frames: Frames) -> list[tuple[str, str]]:
    """How to reproduce the run, as pairs of a term and its value."""
    return list(_reproduce(frames, rows.provenance(frames)))


def command(frames: Frames) -> str:
    """The command line of the run, ready for a shell; empty where it is not recorded."""
    return shlex.join(map(str, rows.provenance(frames).get("command", [])))


def _reproduce(frames: Frames, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    sweep = frames.sweep
    yield "space", f"in the record, frozen when the run began; {sweep.paths.space.name} is a copy"
    yield "seed", f"{sweep.space.seed}, from which every other is derived"
    yield "data", sweep.data.label()
    if sweep.data.fingerprint:
        yield "data sha256", sweep.data.fingerprint
    numerics = sweep.numerics
    threads = counted(numerics.threads, "thread")
    yield "numerics", f"replicates {numerics.replicates}, {numerics.precision}, {threads}"
    if found.get("started"):
        yield "started", str(found["started"])
    versions = {name: version for name, version in (found.get("versions") or {}).items() if version}
    if versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    git = found.get("git")
    if git and git.get("commit"):
        yield (
            "code",
            f"git commit {git['commit']}"
            + (", with changes that were not committed" if git.get("dirty") else ""),
        )
    hardware = found.get("hardware") or {}
    if hardware.get("cpu"):
        gpus = ", ".join(str(gpu.get("name")) for gpu in hardware.get("gpus", []))
        yield (
            "machine",
            f"{hardware['cpu']}, {counted(int(hardware.get('cores', 0)), 'core')}, GPU: {gpus or 'none'}",
        )
    if found.get("os"):
        yield "system", str(found["os"])
