"""What the commands print: plain aligned text, numbers as a person would write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tune_app import results
from tune_app import space as spaces_
from tune_app.report import comparing, formats, narrative
from tune_app.results import Frames, verdict, warnings
from tune_app.results.warnings import ResultWarning
from tune_app.session.saved_models import Origin, Prediction
from tune_app.space.rules import is_test_metric
from tune_app.stats.arithmetic import to_decimals
from tune_app.stats.units import NOTHING
from tune_app.sweep import Sweep, run_summaries
from tune_app.sweep.idle_slots import idle_slots
from tune_app.text import aligned, counted, duration

#: How many warnings are printed at the end of a run.
_WARNINGS = 3

#: How many of the configurations that may be the best are listed.
_MEMBERS = 10

#: What is proposed for confirming a choice among several that may be the best.
_TOP, _SEEDS = 3, 30


def spaces() -> str:
    """Every search space that a bare name would find, with its size."""
    here = Path("search_spaces")
    names = {path.stem for pattern in ("*.yaml", "*.yml") for path in here.glob(pattern)}
    rows = []
    for name in sorted(names | set(spaces_.builtin_names())):
        found = spaces_.find(name)
        space = spaces_.load(name)
        where = str(found) if name in names else "built in"
        how = space.search.algorithm if space.search.algorithm != "grid" else ""
        rows.append([name, counted(space.size(), "configuration"), counted(space.seeds, "seed"), how, where])
    return aligned(rows)


def tally(sweep: Sweep) -> str:
    """``7 of 9 finished, 2 running``."""
    statuses = sweep.statuses(sweep.live())
    return run_summaries.tally(Counter(statuses), max(len(statuses), sweep.space.size()))


def table(frames: Frames, width: int | None = None) -> str:
    """Every configuration and how it stands, best first; without columns that find no room in ``width``."""
    space = frames.sweep.space
    shown = [metric.name for metric in space.metrics]
    measured = "test_accuracy_mean" in frames.trials
    shown += ["test_accuracy"] if measured and frames.opened is None else []
    names = frames.varying or frames.parameters
    rows = [["sample", *names, "epoch", *shown, "n", "state", "time", "device"]]
    best = results.ranked(frames)
    for _, row in pd.concat([best, frames.trials.drop(index=best.index)]).iterrows():
        rows.append(
            [
                str(row["sample"]),
                *(formats.value(frames, row["sample"], name, short=True) for name in names),
                f"{row['epochs']}/{space.epochs}",
                *(formats.choice(frames, row["sample"], name, unit=True) for name in shown),
                str(row["n"]),
                str(row["status"]) + (f" like {row['twin']:.0f}" if pd.notna(row["twin"]) else ""),
                duration(row["duration_s"]) if row["duration_s"] else NOTHING,
                row["device"] or NOTHING,
            ]
        )
    head = [f"{frames.sweep.name}: {tally(frames.sweep)}", f"data {frames.sweep.data.label()}"]
    if settling := frames.sweep.history.settling:
        head.append(f"{settling.line}; the results are without those of this batch until it is trained")
    if space.choosing_epochs:
        chosen = [metric.name for metric in space.metrics]
        head.append(f"{formats.listed(chosen)}: mean of the {space.choosing_epochs}")
    if idle := idle_slots(space, frames.sweep.history):
        head.append(idle.line)
    written = aligned(_narrowed(rows, ["device", "time", "epoch", *reversed(names)], width))
    below = []
    if len(best):  # the first row may have scrolled out of sight
        winner, metric = best.iloc[0], space.metric.name
        figure = formats.choice(frames, winner["sample"], metric, unit=True)
        name = frames.name_of(winner["sample"], short=True)
        below = ["", f"best by {space.chosen_by(metric)}: {name} ({figure}, n={winner['n']})"]
        if frames.measured(winner["sample"], "test_accuracy") and frames.opened is not None:
            tested = formats.choice(frames, winner["sample"], "test_accuracy", unit=True)
            below.append(f"its test accuracy: {tested}; --test shows all, and is recorded")
        elif measured and frames.opened is not None and not frames.opened:
            below.append("test accuracy: sealed until everything is trained")
    return "\n".join([*head, "", written, *below])


def _narrowed(rows: Sequence[Sequence[str]], least: Sequence[str], width: int | None) -> list[list[str]]:
    """Rows without columns named in ``least``, from the first on, until they find room in ``width``."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    for name in least:
        if width is None or 3 * len(columns) - 1 + sum(max(map(len, each)) for each in columns) <= width:
            break
        columns = [column for column in columns if column[0] != name]
    return [list(row) for row in zip(*columns, strict=True)]


def best(frames: Frames, found: Mapping[str, Any]) -> str:
    """The best configuration, every parameter of it, and what it reached."""
    row = results.ranked(frames).iloc[0]
    metric, space = found["metric"]["name"], frames.sweep.space
    lines = [f"{found['run']}: configuration {found['sample']} is best by {space.chosen_by(metric)}"]
    if space.choosing_epochs:
        lines[0] += f": {formats.choice(frames, row['sample'], metric, unit=True)}"
    if found["config"]:
        labels = frames.short_labels
        lines.append(aligned([[name, labels.value(name, each)] for name, each in found["config"].items()]))
    reached = {name: formats.measure(frames, row["sample"], name, unit=True) for name in frames.metrics}
    if space.choosing_epochs:
        lines.append(f"at the {space.evaluate} epoch:")
    lines.append(aligned([[name, measure, f"n={row['n']}"] for name, measure in reached.items()]))
    if len(members := found["best_set"]) > 1:
        listed = formats.listed([*members[:_MEMBERS], *(["more"] if len(members) > _MEMBERS else [])])
        lines.append(f"one of samples {listed} is the best (95% confidence)")
    if "within" in found:
        listed = formats.listed(found["within"]["samples"]) or "none"
        points = " points" if frames.units.is_share(found["metric"]["name"]) else ""
        margin = f"{found['within']['margin']:g}{points}"
        lines.append(f"samples shown to be within {margin} of it (95% confidence): {listed}")
    if "model" in found:
        model = found["model"]
        how = f"replicate {model['replicate']}, epoch {model['epoch']}"
        lines.append(
            f"its model ({how}) is in {model['file']}. Next: tune-app predict {model['file']} IMAGE..."
        )
        if frames.sweep.data.kind == "phantom":
            lines.append("warning: it was trained on images drawn by code, not on real X-rays")
    return "\n\n".join(lines)


def predictions(origin: Origin, found: Sequence[Prediction]) -> str:
    """What a model was trained on, and what it says of each input, and how sure it is."""
    lines = [f"model: {origin.line}"]
    if origin.warning:
        lines.append(f"warning: {origin.warning}")
    lines += [f"warning: {each.name}: {warning}" for each in found for warning in each.warnings]
    rows = [
        [each.name, each.label, f"{to_decimals(each.probabilities[each.label], 1, 2)}%"] for each in found
    ]
    return "\n".join([*lines, *([aligned(rows, "")] if rows else [])])


def rerun(sample: int, compared: int, differences: Sequence[tuple[int, str, Any, Any]], device: str) -> str:
    """Whether a configuration came out the same when it was trained once more."""
    if not differences:
        return f"configuration {sample}: all {compared:,} values are the same to the last digit (on {device})"
    lines = [f"configuration {sample}: {len(differences):,} of {compared:,} values differ (now on {device})"]
    shown = [["replicate", "", "recorded", "now"]]
    for replicate, name, *values in differences[:5]:
        sealed = is_test_metric(name)  # also that of another configuration than the chosen one
        shown.append([str(replicate), name, *("sealed" if sealed else f"{each!r}" for each in values)])
    more = f"\n  and {len(differences) - 5:,} more" if len(differences) > 5 else ""
    hint = "\n  The usual reason is another device, number of threads or version of torch: provenance.json"
    return "\n".join([*lines, aligned(shown)]) + more + hint


def summary(frames: Frames, found_warnings: Sequence[ResultWarning] | None = None) -> str:
    """The end of a run: the best configurations, where the results are, what to do next.

    ``found_warnings`` are those of `warnings.check` if they are known.
    """
    sweep, whole = frames.sweep, frames
    metric = sweep.space.metric.name
    lines = []
    following = f"show {sweep.name}"
    frames = results.sealed(frames)
    best = results.ranked(frames)

    def reached(row: pd.Series[Any], metric: str) -> str:
        return formats.choice(frames, row["sample"], metric, unit=True)

    if best.empty:
        lines.append(f"no configuration finished: {tally(sweep)}")
    else:
        winner = best.iloc[0]
        names = {sample: frames.name_of(sample, short=True) for sample in best["sample"].head(3)}
        judged = verdict.judge(whole)
        chosen = f"{names[winner['sample']]} ({reached(winner, metric)}, n={winner['n']}"
        lines.append(
            f"Chosen by {sweep.space.chosen_by(metric)}: {chosen}{narrative.expected(frames, judged)})"
        )
        if judged.chosen.pairs:
            said = narrative.best_set(frames, judged, short=True)
            lines.append(f"  {said[0].lower()}{said[1:]}")
            lines += [f"  {sentence[0].lower()}{sentence[1:]}" for sentence in narrative.settled(frames)]
        else:
            others = [(names[row["sample"]], reached(row, metric)) for _, row in best.iloc[1:3].iterrows()]
            lines += [f"  then {name} ({figure})" for name, figure in others]
        if len(judged.best_set) > 1 and not sweep.header.confirms:
            following = f"settle {sweep.name}"
            if narrative.settled(frames):
                following = f"confirm {sweep.name} --top {min(_TOP, len(judged.best_set))} --seeds {_SEEDS}"
        if frames.measured(winner["sample"], "test_accuracy"):
            lines.append(f"  on the test set: accuracy {reached(winner, 'test_accuracy')}")
        found = warnings.check(whole, judged) if found_warnings is None else found_warnings
        lines += [f"  note: {warning.text}" for warning in found[:_WARNINGS]]
        lines += [f"  note: {note}" for note in [frames.units.note()] if note]
        lines += [f"  {note[0].lower()}{note[1:]}" for note in judged.notes]
        lines[:0] = comparing.luck(frames, judged)
    if idle := idle_slots(sweep.space, sweep.history):
        lines.append(idle.line.capitalize())
    lines.append(f"Results: {sweep.paths.folder}/results.csv, seeds.csv, curves.csv")
    if sweep.data.kind == "phantom":
        lines.append("Phantom images are drawn by code: for the paper's table, give X-rays with --data")
    if sweep.complete_and_trained():
        lines.append(f"Next: tune-app {following}")  # before that, the next step is to resume
    return "\n".join(lines)
