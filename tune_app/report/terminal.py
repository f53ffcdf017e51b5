"""What the commands print: plain aligned text, numbers as a person would write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tune_app import results
from tune_app import space as spaces_
from tune_app.report import confirmation
from tune_app.results import Frames, verdict, warnings
from tune_app.results.verdict import Verdict
from tune_app.session.model_file import Origin
from tune_app.session.saved_models import Prediction
from tune_app.stats.arithmetic import to_decimals
from tune_app.sweep import Sweep, run_summaries
from tune_app.text import aligned, counted, duration

#: How much of what could be said at the end of a run is said.
_TIED, _WARNINGS = 3, 3

#: What is proposed for confirming a choice that is tied with others.
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


def table(frames: Frames) -> str:
    """Every configuration and how it stands, best first."""
    space = frames.sweep.space
    shown = [metric.name for metric in space.metrics]
    shown += ["test_accuracy"] if "test_accuracy_mean" in frames.trials else []
    names = frames.varying or frames.parameters
    rows = [["sample", *names, "epoch", *shown, "n", "state", "time", "device"]]
    for _, row in _best_first(frames).iterrows():
        rows.append(
            [
                str(row["sample"]),
                *(_value(frames, row, name) for name in names),
                f"{row['epochs']}/{space.epochs}",
                *(_measured(frames, row, name) for name in shown),
                str(row["n"]),
                str(row["status"]) + (f" like {row['twin']:.0f}" if pd.notna(row["twin"]) else ""),
                duration(row["duration_s"]) if row["duration_s"] else "-",
                row["device"] or "-",
            ]
        )
    head = f"{frames.sweep.name}: {tally(frames.sweep)}\ndata {frames.sweep.data.label()}\n"
    return head + "\n" + aligned(rows)


def best(frames: Frames, found: Mapping[str, Any]) -> str:
    """The best configuration, every parameter of it, and what it reached."""
    row = results.ranked(frames).iloc[0]
    lines = [f"{found['run']}: configuration {found['sample']} is best by {found['metric']['name']}"]
    if found["config"]:
        labels = frames.short_labels
        lines.append(aligned([[name, labels.value(name, each)] for name, each in found["config"].items()]))
    lines.append(aligned([[name, _measured(frames, row, name), f"n={row['n']}"] for name in frames.metrics]))
    if "model" in found:
        model = found["model"]
        how = f"replicate {model['replicate']}, epoch {model['epoch']}"
        lines.append(
            f"its model ({how}) is in {model['file']}. Next: tune-app predict {model['file']} IMAGE..."
        )
        if frames.sweep.data.kind == "phantom":
            lines.append("warning: it was trained on images drawn by code, and knows no real X-ray")
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
        return f"configuration {sample}: the same, all {compared:,} values to the last digit (on {device})"
    lines = [f"configuration {sample}: {len(differences):,} of {compared:,} values differ (now on {device})"]
    shown = [["replicate", "", "recorded", "now"]]
    shown += [[str(r), name, f"{then!r}", f"{now!r}"] for r, name, then, now in differences[:5]]
    more = f"\n  and {len(differences) - 5:,} more" if len(differences) > 5 else ""
    hint = "\n  The usual reason is another device, number of threads or version of torch: provenance.json"
    return "\n".join([*lines, aligned(shown)]) + more + hint


def _best_first(frames: Frames) -> pd.DataFrame:
    ranked = results.ranked(frames)
    return pd.concat([ranked, frames.trials.drop(index=ranked.index)])


def summary(frames: Frames) -> str:
    """The end of a run: the best configurations, where the files are, what to do next."""
    sweep = frames.sweep
    metric = sweep.space.metric.name
    lines = []
    following = f"show {sweep.name}"
    best = results.ranked(frames)
    if best.empty:
        lines.append(f"no configuration finished: {tally(sweep)}")
    else:
        winner = best.iloc[0]
        n = f", n={winner['n']}"
        reached = _measured(frames, winner, metric)
        lines.append(f"Chosen by {metric}: {frames.name_of(winner['sample'], short=True)} ({reached}{n})")
        judged = verdict.judge(frames)
        lines += _tied(frames, judged) if judged.chosen.pairs else _runners_up(frames, best, metric)
        if judged.tied and not sweep.header.confirms:
            following = f"confirm {sweep.name} --top {min(_TOP, 1 + len(judged.tied))} --seeds {_SEEDS}"
        if "test_accuracy_mean" in best:
            lines.append(f"  on the test set: accuracy {_measured(frames, winner, 'test_accuracy')}")
        found = warnings.check(frames, judged, warnings.runs_on_same_test_set(sweep))
        lines += [f"  note: {warning.text}" for warning in found[:_WARNINGS]]
        lines += [f"  note: {note}" for note in [frames.units.note()] if note]
        lines += [f"  {note[0].lower()}{note[1:]}" for note in judged.notes]
    if said := confirmation.luck(frames):
        lines.append(said)
    folder = sweep.paths.folder
    lines.append(f"Results: {folder}/results.csv, seeds.csv, curves.csv")
    lines.append(f"Report:  {sweep.paths.report}/index.html (also report.md, figures, tables)")
    if sweep.data.kind == "phantom":
        lines.append("Phantom images are drawn by code: for the paper's table, give X-rays with --data")
    lines.append(f"Next: tune-app {following}")
    return "\n".join(lines)


def _runners_up(frames: Frames, best: pd.DataFrame, metric: str) -> Iterable[str]:
    for _, row in best.iloc[1:3].iterrows():
        yield f"  then {frames.name_of(row['sample'], short=True)} ({_measured(frames, row, metric)})"


def _tied(frames: Frames, judged: Verdict) -> Iterable[str]:
    """What cannot be told from the winner, or that all else can."""
    seeds = counted(judged.chosen.standings[0].n, "seed")
    mine = [pair for pair in judged.chosen.pairs if pair.first == judged.winner]
    tied = [frames.name_of(sample, short=True) for sample in judged.tied]
    others = len(judged.chosen.standings) - 1
    compared = f" that {'is' if others == 1 else 'are'} compared" if judged.notes else ""
    if not tied:
        apart = f"told apart from {'the other' if others == 1 else f'all {others} others'}{compared}"
        still = all(pair.seeds and pair.seeds.constant for pair in mine)
        what = "the same value" if judged.chosen.seedless else "the same difference"
        yield f"  {apart}" + (f": each of the {seeds} gives {what}" if still else f" with {seeds}")
    elif len(tied) == sum(pair.same for pair in mine):
        listed = "; ".join(tied[:_TIED]) + (f" and {len(tied) - _TIED} more" if len(tied) > _TIED else "")
        yield f"  tied with {listed}: the same values with all {seeds}"
    elif len(tied) == 1:
        yield f"  tied with {tied[0]}: these two cannot be told apart with {seeds}"
    elif len(tied) == others:
        yield f"  tied with all {others} others{compared}: none of them can be told from it with {seeds}"
    else:
        listed = "; ".join(tied[:_TIED]) + (f" and {len(tied) - _TIED} more" if len(tied) > _TIED else "")
        yield f"  tied with {listed}: they cannot be told from it with {seeds}"


def _value(frames: Frames, row: pd.Series, name: str) -> str:
    """A parameter of a configuration; ``-`` where it does not exist."""
    config = frames.config(row["sample"])
    return frames.short_labels.value(name, config[name]) if name in config else "-"


def _measured(frames: Frames, row: pd.Series, name: str) -> str:
    values = frames.measured(row["sample"], name)
    return frames.units.measure(name, values, unit=True) if values else "-"
