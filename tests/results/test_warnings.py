"""What a reader of the results is warned of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from facts import lacking
from records import DATA, Ended, record, right, steady
from warned import FIXED, curve, one, said

from tune_app.results import Frames, verdict, warnings

FIXED_TWO = """
task: pneumonia
space: {lr: {grid: [0.1, 0.2]}}
epochs: 2
seeds: 5
"""


def test_of_a_sound_sweep_nothing_is_said(tmp_path: Path) -> None:
    assert said(one(tmp_path, Ended(steady(0.9, 0.91, 0.92, 0.9, 0.91)))) == {}


def test_of_nothing_finished_nothing_is_said(tmp_path: Path) -> None:
    assert said(record(tmp_path, FIXED % (2, 1), {}), others=["other"]) == {}


def test_a_caution_names_its_configuration(tmp_path: Path) -> None:
    frames = one(tmp_path, Ended(steady(0.9)), seeds=1)
    [warning] = warnings.check(frames, verdict.judge(frames))
    assert (warning.kind, warning.sample) == ("few_seeds", 1)
    assert lacking(warning.text, ["seed", "--seeds 5"]) == []


@pytest.mark.parametrize(("seeds", "reach"), [(2, "9.0"), (3, "2.5"), (4, "1.6"), (5, None)])
def test_few_seeds(tmp_path: Path, seeds: int, reach: str | None) -> None:
    values = [0.9 + i / 1000 for i in range(seeds)]
    texts = said(one(tmp_path, Ended(steady(*values)), seeds=seeds)).get("few_seeds", [])
    assert [lacking(text, [str(reach)]) for text in texts] == [[]] * (reach is not None)


@pytest.mark.parametrize(
    ("rival", "expected"),
    [
        ((0.91, 0.92, 0.5, 0.9, 0.91), ["sample 2", "1 of 5", "50.0%", "91.0%", "33%"]),
        ((0.5, 0.92, 0.5, 0.93, 0.94), ["sample 2", "2 of 5", "50.0%", "92.0%", "8%"]),
        ((0.91, 0.92, 0.83, 0.9, 0.91), None),  # within 10 points: an ordinary spread
        ((0.81, 0.82, 0.5, 0.8, 0.81), None),  # far below the winner: no candidate
    ],
)
def test_a_rival_that_breaks_down_on_some_seeds(
    tmp_path: Path, rival: tuple[float, ...], expected: list[str] | None
) -> None:
    ends = [steady(0.92, 0.93, 0.91, 0.92, 0.9), steady(*rival)]
    frames = record(tmp_path, FIXED_TWO, {i: Ended(each) for i, each in enumerate(ends, 1)})
    texts = said(frames).get("breaks_down", [])
    assert [lacking(text, expected or []) for text in texts] == ([[]] if expected else [])


def test_a_wide_spread_is_no_breakdown(tmp_path: Path) -> None:
    values = [0.9 - 0.02 * i for i in range(5)]
    wide = [Ended(steady(*[value - 0.08 * i for i, value in enumerate(values)])) for _ in range(2)]
    assert "breaks_down" not in said(record(tmp_path, FIXED_TWO, dict(enumerate(wide, 1))))


def test_a_metric_that_still_rises(tmp_path: Path) -> None:
    frames = one(tmp_path, curve(*[0.5 + 0.01 * i for i in range(20)]), epochs=20)
    [text] = said(frames)["still_rising"]
    assert lacking(text, ["val_accuracy", "rising", "4.0 points", "5", "--epochs 40"]) == []


def test_a_loss_that_still_falls(tmp_path: Path) -> None:
    text = FIXED % (8, 5) + "metric: {name: val_loss, mode: min}\n"
    frames = record(tmp_path, text, {1: curve(*[1 - 0.05 * i for i in range(8)], name="val_loss")})
    [text] = said(frames)["still_rising"]
    assert lacking(text, ["val_loss", "falling", "0.2"]) == []


@pytest.mark.parametrize(
    "values",
    [
        [0.5 + 0.01 * i for i in range(10)] + [0.6] * 10,
        [0.9 - 0.01 * i for i in range(20)],
        [0.8 + 0.0005 * i for i in range(20)],
        [0.8 + 0.03 * (i % 2) for i in range(20)],
        [0.5, 0.6, 0.7, 0.8],
    ],
    ids=["levelled off", "falling", "by next to nothing", "up and down", "too short to tell"],
)
def test_what_does_not_rise_any_more(tmp_path: Path, values: list[float]) -> None:
    assert "still_rising" not in said(one(tmp_path, curve(*values), epochs=len(values)))


def pair(folder: Path, lead: float, val: int, scores: bool) -> Frames:
    """Two configurations that seeds tell apart by ``lead``; with test answers that differ on few images."""
    values = [[0.9, 0.901, 0.902, 0.901, 0.9], [0.9, 0.902, 0.9, 0.901, 0.902]]
    counts = {"train": 1800, "val": val, "test": 400}
    ended = {
        sample: Ended(
            steady(*[value - lead * (sample == 2) for value in values[sample - 1]]),
            right(5, [0.8 - lead * (sample == 2)] * 5, like=5) if scores else None,
        )
        for sample in (1, 2)
    }
    text = "task: pneumonia\nconfigs: [{lr: 1.0e-6}, {lr: 2.0e-6}]\nepochs: 2\nseeds: 5\n"
    return record(folder, text, ended, data=replace(DATA, counts=counts))


def test_a_validation_set_too_small_for_what_was_found(tmp_path: Path) -> None:
    # independent answers: sqrt(0.9 * 0.1 + 0.88 * 0.12) / sqrt(200) * 1.96 = 6.1 points
    [text] = said(pair(tmp_path, 0.02, 200, scores=False))["small_validation"]
    assert lacking(text, ["200", "2.0 points", "± 6.1", "3,900"]) == []


def test_large_enough_a_validation_set(tmp_path: Path) -> None:
    assert "small_validation" not in said(pair(tmp_path, 0.02, 5000, scores=False))


def test_the_test_answers_say_how_much_single_images_differ(tmp_path: Path) -> None:
    # the same hard images are wrong in both, so they differ on few, and 200 images see more
    assert "small_validation" not in said(pair(tmp_path, 0.03, 200, scores=True))
    assert "small_validation" in said(pair(tmp_path / "other", 0.03, 200, scores=False))


def test_where_nothing_was_found_no_set_is_too_small(tmp_path: Path) -> None:
    assert "small_validation" not in said(pair(tmp_path, 0.0001, 200, scores=False))


def test_with_one_seed_the_runner_up_counts(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{lr: 1.0e-6}, {lr: 2.0e-6}]\nepochs: 2\nseeds: 1\n"
    frames = record(tmp_path, text, {1: Ended(steady(0.9)), 2: Ended(steady(0.89))})
    assert lacking(said(frames)["small_validation"][0], ["1.0 points"]) == []


@pytest.mark.parametrize(
    ("train", "val", "told"), [(0.99, 0.90, True), (0.99, 0.96, False), (0.95, 0.80, False)]
)
def test_overfitting(tmp_path: Path, train: float, val: float, told: bool) -> None:
    frames = one(tmp_path, Ended(steady(*[val] * 5, train_accuracy=[train] * 5)))
    texts = said(frames).get("overfitting", [])
    assert [lacking(text, [f"{train:.1%}", f"{val:.1%}"]) for text in texts] == [[]] * told


def test_other_runs_that_looked_at_the_same_test_set(tmp_path: Path) -> None:
    done = {1: Ended(steady(0.9))}
    frames = record(tmp_path, FIXED % (2, 1), done, name="this")
    record(tmp_path, FIXED % (2, 1), done, name="other")
    record(tmp_path, FIXED % (2, 1), {}, name="planned")
    record(tmp_path, FIXED % (2, 1), {1: replace(done[1], end="stopped")}, name="stopped")
    record(tmp_path, FIXED % (2, 1), done, name="elsewhere", data=replace(DATA, fingerprint="ab" * 32))
    record(tmp_path, FIXED % (2, 1), done, name="damaged")
    record(tmp_path, FIXED % (2, 1), done, name="this-confirm", confirms="this")
    (tmp_path / "damaged" / "record.jsonl").write_text("{}\n{}\n", encoding="utf-8")
    assert warnings.runs_on_same_test_set(frames.sweep) == ["other"]
    [text] = said(frames, others=["other"])["test_seen"]
    assert lacking(text, ["1", "(other)"]) == []
    assert "(a, b, c, ...)" in said(frames, others=list("abcde"))["test_seen"][0]


def test_a_run_and_its_confirmations_are_one_sweep(tmp_path: Path) -> None:
    done = {1: Ended(steady(0.9))}
    record(tmp_path, FIXED % (2, 1), done, name="this")
    confirming = record(tmp_path, FIXED % (2, 1), done, name="this-confirm", confirms="this")
    again = record(tmp_path, FIXED % (2, 1), done, name="this-confirm-2", confirms="this")
    assert (
        warnings.runs_on_same_test_set(confirming.sweep) == warnings.runs_on_same_test_set(again.sweep) == []
    )


def test_a_test_set_looked_at_before_an_extension(tmp_path: Path) -> None:
    frames = one(tmp_path, Ended(steady(0.9, 0.91, 0.92, 0.9, 0.91)))
    frames.seeds["test_looks"] = 2
    [(kind, [text])] = said(frames).items()
    assert (kind, lacking(text, ["2 times"])) == ("test_seen", [])


def test_a_phantom_or_no_data_has_no_secret(tmp_path: Path) -> None:
    phantom = one(tmp_path, Ended(steady(0.9)), seeds=1, data=replace(DATA, kind="phantom"))
    assert "test_seen" not in said(phantom, others=["other"])
    none = replace(DATA, kind="none", fingerprint="")
    frames = record(tmp_path, FIXED % (2, 1), {1: Ended(steady(0.9))}, data=none, name="a")
    record(tmp_path, FIXED % (2, 1), {1: Ended(steady(0.9))}, data=none, name="b")
    assert warnings.runs_on_same_test_set(frames.sweep) == []


def chosen(folder: Path, space: str, best: int, count: int, search: str = "") -> list[str]:
    text = f"task: pneumonia\n{space}\nepochs: 2\nseeds: 5\n{search}"
    ended = {
        i: Ended(steady(*[(0.9 if i == best else 0.5) + r * 0.001 * (i + 1) for r in range(5)]))
        for i in range(1, count + 1)
    }
    return said(record(folder, text, ended)).get("edge", [])


@pytest.mark.parametrize(
    ("values", "best", "expected"),
    [
        ("[3.0e-6, 3.0e-5, 3.0e-7]", 2, ["lr", "3e-5", "upper", "up to 3e-4"]),
        ("[3.0e-6, 3.0e-5, 3.0e-7]", 3, ["lr", "3e-7", "lower", "3e-8"]),
        ("[3.0e-6, 3.0e-5, 3.0e-7]", 1, None),
        ("[3.0e-6, 3.0e-5]", 2, None),
    ],
)
def test_the_edge_of_a_grid(tmp_path: Path, values: str, best: int, expected: list[str] | None) -> None:
    texts = chosen(tmp_path, f"space: {{lr: {{grid: {values}}}}}", best, values.count(",") + 1)
    assert [lacking(text, expected or []) for text in texts] == [[]] * bool(expected)


@pytest.mark.parametrize(
    ("name", "values", "best", "bound"),
    [
        ("step_size", "[2, 4, 8]", 3, "up to 16"),
        ("nodes", "[10, 20, 30]", 3, "up to 40"),
        ("nodes", "[10, 20, 30]", 1, "down to 5"),
        ("step_size", "[1, 2, 4]", 1, None),
        ("dropout", "[0.0, 0.1, 0.3]", 1, None),
        ("gamma", "[0.5, 0.7, 0.9]", 3, "up to 0.95"),
        ("gamma", "[0.1, 0.5, 0.9]", 1, "down to 0.05"),
        ("loss", "[bce, ce]", 1, None),
    ],
)
def test_how_far_to_widen(tmp_path: Path, name: str, values: str, best: int, bound: str | None) -> None:
    texts = chosen(tmp_path, f"space: {{{name}: {{grid: {values}}}}}", best, values.count(",") + 1)
    assert [lacking(text, [bound or ""]) for text in texts] == [[]] * bool(bound)


def test_exact_points_have_edges_too(tmp_path: Path) -> None:
    points = "configs: [{lr: 1.0e-6}, {lr: 1.0e-5}, {lr: 1.0e-4}]"
    [text] = chosen(tmp_path, points, 3, 3)
    assert lacking(text, ["upper", "up to 0.001"]) == []


@pytest.mark.parametrize(
    ("sampler", "point", "bound"),
    [
        ("loguniform: [1.0e-6, 1.0e-3]", "9.0e-4", "up to 0.01"),
        ("loguniform: [1.0e-6, 1.0e-3]", "1.1e-6", "down to 1e-07"),
        ("loguniform: [1.0e-6, 1.0e-3]", "3.0e-5", None),
        ("uniform: [0.1, 0.9]", "0.89", "up to 0.95"),
        ("uniform: [0.1, 0.9]", "0.12", "down to 0.05"),
        ("uniform: [0.1, 0.9]", "0.8", None),
        ("randint: [10, 31]", "30", "up to 40"),
        ("randint: [1, 12]", "1", None),
        ("randn: [0, 1]", "3.0", None),
    ],
)
def test_the_edge_of_a_range(tmp_path: Path, sampler: str, point: str, bound: str | None) -> None:
    space = f"configs: [{{nodes: {point}}}]\nspace: {{nodes: {{{sampler}}}}}"
    task = "search: {algorithm: random, samples: 2}\n"
    texts = chosen(tmp_path, space, 1, 3, task)
    assert [lacking(text, [bound or ""]) for text in texts] == [[]] * bool(bound)


def test_a_confirmation_has_no_edges(tmp_path: Path) -> None:
    text = "task: pneumonia\nspace: {lr: {grid: [1.0e-6, 1.0e-5, 1.0e-4]}}\nepochs: 2\nseeds: 5\n"
    ended = {i: Ended(steady(*[0.5 + i / 10] * 5)) for i in (1, 2, 3)}
    assert "edge" in said(record(tmp_path, text, ended))
    assert "edge" not in said(record(tmp_path, text, ended, name="other", confirms="run"))
