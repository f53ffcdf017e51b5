"""The verdict in three sentences, the settings of the space, and how to reproduce the run."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tune_app.report import formats
from tune_app.space import Sampler
from tune_app.space.labels import texts
from tune_app.status import Status
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames
    from tune_app.results.verdict import Comparison, Verdict
    from tune_app.sweep.events import TestOpened

#: How many of several are named.
_NAMED = 3
_LISTED = 8


def verdict(frames: Frames, judged: Verdict) -> list[str]:
    """Three sentences: the chosen configuration, which may be the best, and its result on the test set."""
    if judged.winner is None:
        states = formats.listed(frames.states()) or "none was started"
        return [f"No configuration has finished, so nothing is chosen: {states}."]
    if len(judged.chosen.standings) == 1:
        rivals = "It is the only one that has finished, so there is nothing to compare it with."
    elif reason := judged.chosen.unanswered.get("seeds"):
        rivals = f"Whether it is better than the others cannot be said: {reason}."
    else:
        rivals = " ".join([f"{best_set(frames, judged)}.", *settled(frames)])
    tested = _tested(frames, judged.test, judged.winner)
    return [_chosen(frames, judged, judged.winner), rivals, *equivalent(frames, judged), tested]


def _chosen(frames: Frames, judged: Verdict, winner: int) -> str:
    best, metric = judged.chosen.standing(winner), judged.chosen.metric
    over = f"over {counted(best.n, 'seed')}"
    over += {1: ", which gives no interval", 2: ""}.get(best.n, ", 95% interval")
    figure = frames.units.measure(metric, best.values, unit=True)
    done, every = len(frames.finished), len(frames.trials)
    still = "" if done == every else f" of the {done} finished of {counted(every, 'configuration')}"
    return (
        f"Chosen by {formats.chosen_by(frames)}{still}: {frames.name_of(best.sample)} "
        f"(sample {best.sample}), with {figure} {over}{expected(frames, judged)}."
    )


def expected(frames: Frames, judged: Verdict) -> str:
    """What to expect of the winner on new seeds, as a clause; empty where too few seeds can say."""
    if judged.expected is None:
        return ""
    metric, units = judged.chosen.metric, frames.units
    per_cent = "%" if units.is_share(metric) else ""
    middle = units.number(metric, judged.expected.mean) + per_cent
    return f"; on new seeds expect {middle} ± {units.half_width(metric, judged.expected.half_width)}"


def settled(frames: Frames) -> list[str]:
    """How far the last `tune-app settle` came, as a sentence; none without one."""
    done = next(iter(reversed(frames.sweep.history.settlings)), None)
    if not done or not done.batches:
        return []
    name = frames.sweep.space.metric.name
    why, spent = done.ended.why if done.ended else "", f"{counted(done.spent, 'more seed')}"
    spent += f" in {counted(len(done.batches), 'batch', 'batches')}"
    if why == "within":
        margin = _margin(frames, frames.units.scale(name) * (done.batches[-1].within or 0.0))
        return [f"Settled with {spent}: any of these will do, they are within {margin} of each other."]
    if why in ("one", "none"):
        return [f"Settled with {spent}."]
    if why == "budget":
        return [f"Not settled with {spent}, of at most {done.batches[-1].budget:,}."]
    return [f"Not settled: it was ended after {spent}." if why else f"Not settled yet, after {spent}."]


def best_set(frames: Frames, judged: Verdict, short: bool = False) -> str:
    """Which configurations may be the best, as a sentence without its full stop; ``short`` for a terminal.

    At least two were compared over the seeds. It says no more than the procedure guarantees: the best one is
    in the set, and the others are no better than the best of the set.
    """
    members, count = judged.best_set, judged.chosen.candidates
    seeds, others = counted(judged.chosen.standings[0].n, "seed"), count - len(members)
    sure = f"95% confidence, {seeds}" + (f", look {len(judged.looks)}" if len(judged.looks) > 1 else "")
    if len(members) == 1:
        mine = [pair for pair in judged.chosen.pairs if judged.winner in (pair.first, pair.second)]
        same = "value" if judged.chosen.seedless else "difference"
        constant = all(pair.seeds and pair.seeds.constant for pair in mine)
        why = f": seeds have no effect, because each of the {seeds} gives the same {same}" if constant else ""
        said = f"It is the best of these {count} ({sure}){why}"
    elif not others and all(pair.same for pair in judged.chosen.pairs):
        said = f"Each of the {count} may be the best: they have the same values with all {seeds}"
    elif not others:
        said = f"Each of the {count} may be the best: {seeds} are too few to leave one out (95% confidence)"
    else:
        names = [frames.name_of(each, short) for each in members[:_NAMED]]
        if not short:
            names = [f"sample {each} ({name})" for each, name in zip(members, names, strict=False)]
        more = [f"{len(members) - _NAMED} more"] if len(members) > _NAMED else []
        listed = formats.listed(["; ".join(names), *more] if short else [*names, *more])
        rest = "the other one is" if others == 1 else f"the other {others} are"
        said = f"One of these {len(members)} is the best ({sure}): {listed}; "
        said += f"{rest} no better than the best of these"
    states = ", ".join(frames.states(Status.FINISHED))
    return f"{said}; not compared: {states}" if states else said


def equivalent(frames: Frames, judged: Verdict) -> list[str]:
    """Which configurations are shown to be about equal to the winner: a sentence if a margin is given."""
    found = judged.equivalence
    if found is None or not found.others:
        return []
    margin = _margin(frames, found.margin)
    rest = found.others - len(found.shown)
    if not found.shown:
        which = "the other configuration is not" if rest == 1 else f"none of the other {rest} is"
        said = f"{which} shown to be within {margin} of it (95% confidence)"
    else:
        names = [f"sample {each} ({frames.name_of(each)})" for each in found.shown[:_LISTED]]
        more = [f"{len(found.shown) - _LISTED} more"] if len(found.shown) > _LISTED else []
        said = f"shown to be within {margin} of it (95% confidence): {formats.listed([*names, *more])}"
        said += f"; not shown for the other {rest}" if rest else ""
    said += "; that does not show that they differ by more" if rest > 1 else ""
    said += "; that does not show that it differs by more" if rest == 1 else ""
    return [f"{said[0].upper()}{said[1:]}."]


def _margin(frames: Frames, margin: float) -> str:
    metric = frames.sweep.space.metric.name
    return f"{margin:.6g}" + (" points" if frames.units.is_share(metric) else f" of {metric}")


def _tested(frames: Frames, test: Comparison | None, winner: int) -> str:
    if test is None or all(each.sample != winner for each in test.standings):
        if test and frames.opened is not None and not frames.opened:
            return "The test set is sealed until everything that this run wants is trained."
        return "There is no test metric, so its result on unseen data is not known."
    best = test.standing(winner)
    said = f"On the test set: {formats.quantity(test.metric)} "
    said += frames.units.measure(test.metric, best.values, unit=True)
    if best.both is not None:
        said += f" over seeds, ± {frames.units.half_width(test.metric, best.both)} over seeds and patients"
    if not test.pairs:
        return f"{said}."
    worse, better = test.significantly_different(winner)
    sides = [("better", worse), ("worse", better)]
    told = [f"{side} than {counted(len(found), 'configuration')}" for side, found in sides if found]
    if not told:
        return f"{said}; there no difference from another configuration is significant."
    return f"{said}; there it is significantly {formats.listed(told)}."


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
        ("chosen by", formats.ranked_by(frames)),
        *(("optimised too", f"{formats.quantity(each.name)} ({each.mode})") for each in space.metrics[1:]),
        ("early stopping", _stopping(frames)),
    ]
    return found


def _sampler(sampler: Sampler) -> str:
    values = ", ".join(texts(sampler.args))
    when = " and ".join(f"{name} is {formats.listed(texts(values))}" for name, values in sampler.when.items())
    return f"{sampler.kind} {values}" + (f", where {when}" if when else "")


def _stopping(frames: Frames) -> str:
    stop = frames.sweep.space.stop
    said = []
    if stop.scheduler != "none":
        rungs = stop.rungs(frames.sweep.space.epochs)
        after = f"; decisions after epochs {formats.listed(rungs)}" if rungs else ""
        stopped = int((frames.trials["status"] == Status.STOPPED).sum())
        of_all = counted(len(frames.trials), "configuration")
        by = f" by {formats.quantity(stop.by.name)}" if stop.by else ""
        kind = ", promotion" if stop.promotes else ""
        said.append(f"{stop.scheduler}{kind}{by}{after}; {stopped} of {of_all} stopped")
    if stop.patience is not None:
        last = [
            (replicate, configuration.last(replicate))
            for configuration in frames.sweep.history.configurations.values()
            for replicate in configuration.replicates(frames.sweep.space)
        ]
        converged = sum(attempt is not None and replicate in attempt.converged for replicate, attempt in last)
        of_all = counted(int((frames.seeds["epochs"] > 0).sum()), "replicate")
        said.append(f"patience {stop.patience}; {converged} of {of_all} converged before the last epoch")
    return "; ".join(said) or "none"


def failures(frames: Frames) -> list[str]:
    """Why configurations failed or diverged, one line each, for the first few."""
    failed = []
    for configuration in frames.sweep.history.configurations.values():
        newest = map(configuration.last, configuration.replicates(frames.sweep.space))
        if last := next((attempt for attempt in newest if attempt and attempt.fault), None):
            log = f" ({last.log})" if last.log else ""
            what = f"failed at epoch {last.epoch}" if last.end == Status.FAILED else "diverged"
            failed.append(f"Sample {configuration.sample} {what}: {last.fault}{log}")
    more = len(failed) - _NAMED
    return failed[:_NAMED] + ([counted(more, "further configuration")] if more > 0 else [])


def command(frames: Frames) -> str:
    """The command line of the run, ready for a shell; empty where it is not recorded."""
    return shlex.join(map(str, frames.provenance.get("command", [])))


def _opening(event: TestOpened) -> str:
    """By what the test figures of all configurations were opened, and when."""
    by = "in the paper's tables" if event.by == "paper" else f"by {event.by} --test"
    return f"opened {by}" + (f" on {datetime.fromtimestamp(event.t, UTC):%Y-%m-%d}" if event.t else "")


def reproduce(frames: Frames) -> list[tuple[str, str]]:
    """How to reproduce the run, as pairs of a term and its value."""
    sweep, found, numerics = frames.sweep, frames.provenance, frames.sweep.numerics
    versions = [f"{name} {version}" for name, version in (found.get("versions") or {}).items() if version]
    git, hardware = found.get("git") or {}, found.get("hardware") or {}
    uncommitted = ", with uncommitted changes" if git.get("dirty") else ""
    cores = counted(int(hardware.get("cores", 0)), "core")
    gpus = ", ".join(str(gpu.get("name")) for gpu in hardware.get("gpus", [])) or "none"
    threads = counted(numerics.threads, "thread")
    terms = {
        "space": f"in the record, frozen when the run began; {sweep.paths.space.name} is a copy",
        "seed": f"{sweep.space.seed}, from which all other seeds derive",
        "data": sweep.data.label(),
        "data sha256": sweep.data.fingerprint,
        "numerics": f"replicates {numerics.replicates}, {numerics.precision}, {threads}",
        "started": str(found.get("started", "")),
        "versions": ", ".join(versions),
        "code": f"git commit {git['commit']}{uncommitted}" if git.get("commit") else "",
        "machine": f"{hardware['cpu']}, {cores}, GPU: {gpus}" if hardware.get("cpu") else "",
        "system": str(found.get("os", "")),
        "test figures of all": formats.listed(list(map(_opening, sweep.test_openings))),
    }
    return [(term, value) for term, value in terms.items() if value]
