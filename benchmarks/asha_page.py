"""The page of ``asha_replay``: its figures in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: What is asked of early stopping: choices within one standard error of the best, and epochs trained.
WANTED_WITHIN, WANTED_EPOCHS = 0.9, 0.3


def markdown(found: Mapping[str, Any]) -> str:
    """The figures that ``asha_replay.measure`` found, as a page."""
    real, ways = found["real"], found["all"]
    main = next(iter(ways.values()))
    paragraphs = [
        "# ASHA, replayed",
        f"Does early stopping choose well, and what does it save? `{found['command']}` wrote this page and "
        "`asha_replay.json`.",
        _what(found),
        _table(
            ["goal", "found", ""],
            [
                _verdict(
                    f"the choice within one standard error of the best, in {WANTED_WITHIN:.0%} of the "
                    "shuffles or more",
                    main["within"],
                    main["within"] >= WANTED_WITHIN,
                ),
                _verdict(
                    f"under {WANTED_EPOCHS:.0%} of the epochs", main["epochs"], main["epochs"] < WANTED_EPOCHS
                ),
            ],
        ),
        _table(
            [f"{main['shuffles']} shuffles in all", *_FIGURES],
            [[name, *_figures(each)] for name, each in ways.items()],
        ),
        _how(found["slots"]),
        "## Record by record, in lockstep",
        _table(
            ["seed", "trained in", "the best", "its value", *_FIGURES],
            [_record(each) for each in found["records"]],
        ),
        "## One of the orders for real",
        f"Seed {real['seed']}, `--stop asha`, on Ray, {found['slots']} trials at a time, beside the replay "
        "in lockstep of the same order:",
        _table(
            ["", "chosen", "points below the best", "epochs", "finished"],
            [
                _real(f"real, in {real['seconds']:.0f} s", real),
                _real("replayed", real["replayed"]),
            ],
        ),
        "---",
        _where(found),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _what(found: Mapping[str, Any]) -> str:
    wanted, records = found["space"], found["records"]
    rule, shuffles = wanted["stop"], records[0]["replays"]
    count = next(iter(shuffles.values()))["shuffles"]
    return _flow(f"""
        {len(records)} full records, each of a training seed of its own: {records[0]["configurations"]}
        configurations (9 learning rates x 3 steps x 3 gammas) x {wanted["seeds"]} seeds x
        {wanted["epochs"]} epochs, nothing stopped. Then ASHA (grace period {rule["grace_period"]}, reduction
        factor {rule["reduction_factor"]:g}, on the mean over seeds) decides over the recorded values, with
        the trials in {count} orders, as that many seeds shuffle them. Chosen is the best
        `{wanted["metric"]["name"]}` of those that finished.
    """)


def _how(slots: int) -> str:
    return _flow(f"""
        All but one are replayed in lockstep: {slots} trials at a time, an epoch taking each the same time.
        Trials then come to each rung in the order in which they started, so the number of slots changes
        nothing. *At uneven paces*, a trial's epochs take 0.5 to 1.5 times as long as the mean, drawn by the
        seed. *Nothing stopped*: as many epochs as ASHA took in that shuffle, spent on the first
        configurations of its order, each trained to its end. *In shards*: every third trial, or every ninth,
        in a run of its own, which holds its trials against each other alone; chosen is the best of all that
        finished. The standard error of the best is its own, over
        its seeds; that
        of the difference is made of both configurations'.
    """)


def _flow(text: str) -> str:
    return " ".join(text.split())


def _where(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    machine = found["machine"]
    return (
        f"{found['date']}; {machine['cpu']}, {machine['cores']} cores, which other work shared, so times are "
        f"rough; {versions}; data {found['data']}. The full records were trained in one process, a trial "
        "at a time."
    )


def _record(each: Mapping[str, Any]) -> list[str]:
    return [
        str(each["seed"]),
        f"{each['seconds']:.0f} s",
        ", ".join(f"{name} {value:g}" for name, value in each["config"].items()),
        f"{each['value']:.2%}, standard error {each['error'] * 100:.2f} points",
        *_figures(next(iter(each["replays"].values()))),
    ]


def _real(name: str, each: Mapping[str, Any]) -> list[str]:
    return [
        name,
        f"configuration {each['chosen']}",
        f"{each['shortfall'] * 100:.2f}",
        f"{each['epochs']:.1%}",
        str(each["finished"]),
    ]


_FIGURES = (
    "within one standard error of the best",
    "within one of their difference",
    "the best itself",
    "points below the best (most)",
    "epochs (range)",
)


def _verdict(asked: str, share: float, met: bool) -> list[str]:
    return [asked, f"{share:.1%}", "met" if met else "missed"]


def _figures(each: Mapping[str, float]) -> list[str]:
    return [
        f"{each['within']:.0%}",
        f"{each['alike']:.0%}",
        f"{each['best']:.0%}",
        f"{each['shortfall'] * 100:.2f} ({each['most_shortfall'] * 100:.2f})",
        f"{each['epochs']:.1%} ({each['least_epochs']:.1%} to {each['most_epochs']:.1%})",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
