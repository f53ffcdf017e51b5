"""The page of ``benchmarks.stopping``: its tables and its figure, from the figures of every variant."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.stopping.replay import DRAWS, SEEN, WINDOW
from benchmarks.stopping.rules import EVERYTHING, OWN, PEERS

#: What is asked of the recommended rule on the judging records.
MOST_EPOCHS, MOST_MEAN, MOST_EACH = 0.20, 0.05, 0.10
#: Which records judge.
KINDS = {"choosing": False, "judging": True}

#: The figures of a variant by their names.
Row = dict[str, Any]


def summary(found: pd.DataFrame) -> list[Row]:
    """A row for each variant: its points above training everything, and its epochs, by kind of record."""
    rows = []
    for (rule, settings), each in found.groupby(["rule", "settings"], sort=False):
        row: Row = {"rule": rule, "settings": settings}
        for kind, judges in KINDS.items():
            records = each[each["judges"] == judges]
            row |= {f"excess {kind}": records["excess"].mean(), f"epochs {kind}": records["epochs"].mean()}
            row[f"most epochs {kind}"] = records["epochs"].max()
        rows.append(row)
    return rows


def recommended(rows: Sequence[Row]) -> Row:
    """The variant of tune-app's own rules that chooses best, of those within the epochs on each record."""
    cheap = [row for row in rows if row["most epochs choosing"] <= MOST_EPOCHS + 1e-9]
    return min((row for row in cheap if row["rule"] in OWN), key=itemgetter("excess choosing"))


def front(rows: Sequence[Row], kind: str = "choosing") -> list[Row]:
    """The variants than which no other of them is both cheaper and better."""
    found = list[Row]()
    for row in sorted(rows, key=itemgetter(f"epochs {kind}", f"excess {kind}")):
        if not found or row[f"excess {kind}"] < found[-1][f"excess {kind}"]:
            found.append(row)
    return found


def markdown(found: pd.DataFrame, where: str) -> str:
    """The whole page."""
    rows = summary(found)
    chosen = recommended(rows)
    same = [row for row in rows if row["rule"] == chosen["rule"]]
    named = f"{chosen['rule']}, {chosen['settings']}"
    records = {
        kind: list(found.loc[found["judges"] == judges, "record"].unique()) for kind, judges in KINDS.items()
    }
    fronts = [front([row for row in rows if row["rule"] == rule]) for rule in _rules(rows)]
    return "\n\n".join(
        [
            "# Early stopping, replayed over deep records",
            "`python -m benchmarks.stopping judge` replays every rule over curves of configurations that "
            f"were trained to their end: {DRAWS} searches a record, each with {SEEN} of the seeds and an "
            "order of the configurations, drawn at random. Every rule chooses by the mean of the last "
            f"{WINDOW} epochs among the configurations that it finished. Regret is the difference, in "
            "points, between the best configuration and the chosen one on the seeds that the search did not "
            "see. The best has the highest mean over all seeds after the last epoch. *Above everything* is "
            "the regret less that of training everything, in the same searches (± its standard error). "
            f"{_listed(records['choosing'])} choose the settings; {_listed(records['judging'])} judge them.",
            "![fronts](stopping.svg)",
            f"## The rule that the choosing records recommend: {named}",
            _table(
                ["record", "", "everything", "rule", "above everything", "epochs"],
                [_judged(found, chosen, record, kind) for kind in records for record in records[kind]],
            ),
            _verdict(found, chosen),
            "## The front of each rule",
            "For each rule the settings that no other setting of it beats in both epochs and regret on the "
            "choosing records. Points above everything; epochs on the judging records.",
            _table(_HEAD, [_cells(row) for each in fronts for row in each]),
            "## Peers",
            f"Beside each setting of a peer stands the setting of {chosen['rule']} that is best on the "
            "choosing records with no more epochs there.",
            _table(
                [*_HEAD, chosen["rule"], "choosing", "judging", "epochs"],
                [_beside(row, same) for row in rows if row["rule"] in PEERS],
            ),
            f"All {len(rows)} variants on each record: [stopping.csv](stopping.csv).",
            "---",
            f"{where}.",
        ]
    )


_HEAD = ["rule", "settings", "choosing", "judging", "epochs"]


def _cells(row: Row) -> list[str]:
    return [str(row["rule"]), str(row["settings"]), *_points(row)]


def _points(row: Row) -> list[str]:
    return [
        f"{row['excess choosing']:+.2f}",
        f"{row['excess judging']:+.2f}",
        f"{row['epochs judging']:.1%}",
    ]


def _beside(peer: Row, own: Sequence[Row]) -> list[str]:
    cheap = [row for row in own if row["epochs choosing"] <= peer["epochs choosing"]]
    best = min(cheap, key=itemgetter("excess choosing"), default=None)
    return [*_cells(peer), *([str(best["settings"]), *_points(best)] if best else ["none", "", "", ""])]


def _of(found: pd.DataFrame, variant: Row) -> pd.DataFrame:
    same: Any = (found["rule"] == variant["rule"]) & (found["settings"] == variant["settings"])
    return pd.DataFrame(found[same])


def _judged(found: pd.DataFrame, variant: Row, record: str, kind: str) -> list[str]:
    each: Any = _of(found, variant).set_index("record").to_dict("index")[record]
    return [
        record,
        kind,
        f"{each['regret'] - each['excess']:.2f}",
        f"{each['regret']:.2f}",
        f"{each['excess']:+.2f} ± {each['error']:.2f}",
        f"{each['epochs']:.1%}",
    ]


def _verdict(found: pd.DataFrame, variant: Row) -> str:
    judged = _of(found, variant)
    judged = judged[judged["judges"]]
    asked = (
        (MOST_MEAN, "points above everything on average", judged["excess"].mean(), "+.3f"),
        (MOST_EACH, "points above everything on each", judged["excess"].max(), "+.3f"),
        (MOST_EPOCHS, "of the epochs on each", judged["epochs"].max(), ".3f"),
    )
    return _table(
        ["asked on the judging records", "found", ""],
        [
            [f"at most {most} {what}", format(value, form), "met" if value <= most + 1e-9 else "missed"]
            for most, what, value, form in asked
        ],
    )


def draw(found: pd.DataFrame, path: Path) -> None:
    """Points above training everything against the share of epochs: the front of each rule."""
    rows = summary(found)
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, KINDS, strict=True):
        for place, rule in enumerate(name for name in _rules(rows) if name != EVERYTHING):
            points = front([row for row in rows if row["rule"] == rule], kind)
            axis.plot(
                [100 * row[f"epochs {kind}"] for row in points],
                [row[f"excess {kind}"] for row in points],
                "o-" if rule in OWN else "s:",
                color=mpl.colormaps["tab20"](place % 20),
                label=rule,
                markersize=4,
            )
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.axvline(100 * MOST_EPOCHS, color="0.5", linewidth=0.8, linestyle="--")
        axis.set(title=f"{kind} records", xlabel="epochs, % of training everything", xlim=(0, 50))
    axes[0].set(ylabel="points above training everything", ylim=(-0.1, 1.2))
    axes[1].legend(fontsize=8)
    with mpl.rc_context({"svg.hashsalt": "stopping"}):
        figure.savefig(path, metadata={"Date": None})


def _rules(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["rule"] for row in rows))


def _listed(names: Sequence[str]) -> str:
    text = " and ".join(([", ".join(names[:-1])] if names[1:] else []) + list(names[-1:]))
    return text[:1].upper() + text[1:]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
