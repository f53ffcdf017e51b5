"""What the verdict says in words, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from facts import lacking
from make_run import make
from records import constant

from benchmarks.recorder import Recorder
from tune_app import results
from tune_app.report import narrative, terminal
from tune_app.results import Frames, verdict, warnings
from tune_app.sweep.events import Batch, Settled

SPREAD = (-0.01, -0.005, 0.0, 0.005, 0.01)


def around(*means: float, seeds: int = 5) -> list[list[float]]:
    """Accuracies whose differences from one another vary over the seeds."""
    return [
        [round(mean + SPREAD[(r * (1 + i)) % 5], 4) for r in range(seeds)] for i, mean in enumerate(means)
    ]


def swept(
    folder: Path,
    val: Sequence[Sequence[float]],
    test: Sequence[Sequence[float]] = (),
    mode: str = "max",
    name: str = "val_accuracy",
) -> Frames:
    text = (
        f"task: mine:train\nspace: {{x: {{grid: {list(range(1, len(val) + 1))}}}}}\nepochs: 2\n"
        f"seeds: {len(val[0])}\nmetric: {{name: {name}, mode: {mode}}}\n"
    )
    outcomes = {
        i + 1: constant(
            val=values,
            test=test[i] if test else (),
            epochs=2,
            metrics={} if name == "val_accuracy" else {name: values},
        )
        for i, values in enumerate(val)
    }
    folder.mkdir(exist_ok=True)
    return make(folder, text, outcomes)


def kinds(frames: Frames) -> list[str]:
    return [each.kind for each in warnings.check(frames, verdict.judge(frames))]


@pytest.mark.parametrize(
    ("test", "worse", "better"),
    [
        ((0.738, 0.760, 0.781), [], [2, 3]),
        ((0.781, 0.760, 0.738), [2, 3], []),
        ((0.760, 0.738, 0.781), [2], [3]),
        ((0.760, 0.760, 0.760), [], []),
    ],
)
def test_the_test_set_speaks_with_its_sign(
    tmp_path: Path, test: Sequence[float], worse: list[int], better: list[int]
) -> None:
    frames = swept(tmp_path, around(0.858, 0.839, 0.821), around(*test))
    judged = verdict.judge(frames)
    assert judged.test is not None
    assert judged.winner == 1
    assert judged.test.significantly_different(1) == (worse, better)
    said = narrative.verdict(frames, judged)[-1]
    assert ("better than" in said, "worse than" in said) == (bool(worse), bool(better))
    assert ("worse_on_test" in kinds(frames)) == bool(better)


@pytest.mark.parametrize(
    ("margin", "facts"),
    [
        (5.0, ["within 5 points", "95%", "sample 2 (x 2)", "other 1"]),
        (50.0, ["within 50 points", "sample 2 (x 2) and sample 3 (x 3)"]),
        (0.1, ["none of the other 2", "within 0.1 points"]),
    ],
)
def test_equivalence_is_said_only_where_it_was_asked_for(
    tmp_path: Path, margin: float, facts: list[str]
) -> None:
    frames = swept(tmp_path, around(0.858, 0.839, 0.65))
    plain = narrative.verdict(frames, verdict.judge(frames))
    asked = narrative.verdict(frames, verdict.judge(frames, margin=margin))
    [said] = [sentence for sentence in asked if sentence not in plain]
    assert [fact for fact in facts if fact not in said.replace("None", "none")] == []


def test_where_less_is_better_a_lower_value_wins(tmp_path: Path) -> None:
    frames = swept(tmp_path, around(0.3, 0.5), name="val_loss", mode="min")
    chosen = verdict.judge(frames).chosen
    assert (chosen.mode, chosen.significantly_different(1), chosen.significantly_different(2)) == (
        "min",
        ([2], []),
        ([], [1]),
    )


@pytest.mark.parametrize(
    ("val", "rivals", "seedless"),
    [
        ([[0.99] * 5, [0.5] * 5], (), True),
        ([[0.99] * 2, [0.5] * 2], (), False),  # two equal values may be chance, but not so far apart
        ([[0.2, 0.3, 0.7123], [0.1, 0.2, 0.6123]], (), False),  # a constant shift
        ([[0.5] * 5, [0.5] * 5], (2,), True),
        ([[0.975, 0.95], [0.95, 0.925]], (2,), False),  # one image of 40, with both seeds: may be chance
        ([[0.9] * 5, [0.5, 0.6, 0.4, 0.55, 0.45]], (), False),  # one is constant, the other not
        ([[0.99] * 4 + [0.99 + 1e-12], [0.5] * 5], (), False),
    ],
)
def test_seeds_that_play_no_part_tie_nothing(
    tmp_path: Path, val: list[list[float]], rivals: tuple[int, ...], seedless: bool
) -> None:
    frames = swept(tmp_path, val)
    judged = verdict.judge(frames)
    assert judged.best_set == (1, *rivals)
    assert judged.chosen.seedless == seedless
    lines = terminal.summary(frames).splitlines()
    assert any(
        line.startswith("  each of the 2" if rivals else "  it is the best of these 2") for line in lines
    )
    assert ("seed_ignored" in kinds(frames)) == all(len(set(values)) == 1 for values in val)
    assert ("the same values" in narrative.verdict(frames, judged)[1]) == (seedless and bool(rivals))


@pytest.mark.parametrize(
    ("means", "members", "facts"),
    [
        ((0.80, 0.70, 0.60), 1, ["best of these 3", "5 seeds"]),
        ((0.80, 0.799, 0.60), 2, ["One of these 2", "sample 1 (x 1)", "sample 2 (x 2)", "the other one is"]),
        ((0.80, 0.799, 0.60, 0.61), 2, ["One of these 2", "the other 2 are"]),
        ((0.80, 0.799, 0.801), 3, ["Each of the 3", "5 seeds"]),
    ],
)
def test_the_second_sentence_names_the_set(
    tmp_path: Path, means: Sequence[float], members: int, facts: list[str]
) -> None:
    frames = swept(tmp_path, around(*means))
    judged = verdict.judge(frames)
    assert len(judged.best_set) == members
    said = narrative.verdict(frames, judged)
    assert [fact for fact in facts if fact not in said[1]] == []
    assert "not compared" not in said[1]
    assert judged.expected is not None
    assert frames.units.number("val_accuracy", judged.expected.mean) in said[0]


def test_what_has_not_finished_is_named_in_the_same_sentence(tmp_path: Path) -> None:
    values = around(0.8, 0.7, 0.6)
    text = "task: mine:train\nspace: {x: {grid: [1, 2, 3, 4]}}\nepochs: 2\nseeds: 5\n"
    text += "metric: {name: val_accuracy, mode: max}\n"
    outcomes = {i + 1: constant(val=each, test=(), epochs=2, metrics={}) for i, each in enumerate(values)}
    frames = make(tmp_path, text, outcomes)
    said = narrative.verdict(frames, verdict.judge(frames))[1]
    assert said.endswith("; not compared: 1 planned.")


def test_a_task_that_heeds_its_seed_elsewhere_does_not_ignore_it(tmp_path: Path) -> None:
    frames = swept(tmp_path, [[0.5] * 3, [0.5] * 3], around(0.7, 0.8, seeds=3))
    assert verdict.judge(frames).chosen.seedless
    assert "seed_ignored" not in kinds(frames)


def test_an_easy_task_does_not_prove_that_seeds_play_no_part(tmp_path: Path) -> None:
    # 19 of 20 images with both seeds is what chance does; that the others are all right tells nothing of it
    frames = swept(tmp_path, [[1.0] * 2] * 6 + [[0.95] * 2])
    judged = verdict.judge(frames)
    assert not judged.chosen.seedless
    assert 7 in judged.best_set
    right = swept(tmp_path / "2", [[1.0] * 2, [0.0] * 2])
    assert verdict.judge(right).best_set == (1,)


@pytest.mark.parametrize(
    ("why", "said", "following"),
    [
        ("", ["not settled yet", "10 more seeds in 1 batch"], ""),  # the session says: resume
        ("one", ["settled with 10 more seeds"], "confirm table3-1"),
        ("within", ["any of these will do", "within 0.5 points"], "confirm table3-1"),
        ("budget", ["not settled with 10 more seeds", "at most 10"], "confirm table3-1"),
        ("undone", [], "settle table3-1"),
    ],
)
def test_how_far_settling_came_is_said_with_what_is_next(
    tmp_path: Path, why: str, said: list[str], following: str
) -> None:
    frames = swept(tmp_path, around(0.9, 0.901))
    with frames.sweep.writing():
        frames.sweep.note(
            Batch(
                samples=[1, 2],
                seeds=[5, 5],
                among=[1, 2],
                before=5,
                after=10,
                looks=2,
                budget=10,
                within=0.005,
            )
        )
        for sample in (1, 2):
            recorder = Recorder(frames.sweep.note, frames.sweep.history, range(5, 10), 2)
            recorder.train(sample, [0.9 + sample / 1000 + each for each in SPREAD])
        if why:
            frames.sweep.note(Settled(why=why))
    shown = terminal.summary(results.load(frames.sweep))
    assert lacking(shown.lower(), said) == []
    assert shown.splitlines()[-1].startswith(f"Next: tune-app {following}") is bool(following)
    assert ("settled" in narrative.verdict(frames, verdict.judge(frames))[1].lower()) is bool(said)
