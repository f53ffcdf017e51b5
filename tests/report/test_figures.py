"""What the figures show, reckoned another way; and how they are drawn and saved."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import optuna
import pandas as pd
import pytest
from edge_cases import CASES, GRID, XRAYS, curves, full
from facts import lacking
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from records import Ended, record

from tune_app.cli import cli
from tune_app.errors import ReportError, RunError
from tune_app.report import figures
from tune_app.report.figures import NotDrawn, optuna_input, pareto, scores, selection, style
from tune_app.report.figures.curves import curves_info, families
from tune_app.report.figures.heatmap import heatmap_infos
from tune_app.report.figures.intervals import intervals_info
from tune_app.report.figures.optuna_figures import MOST_POINTS, top_share
from tune_app.report.figures.rungs import rungs_info
from tune_app.results import Frames
from tune_app.stats import metrics
from tune_app.stats.intervals import mean_interval


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


# ---------------------------------------------------------------- curves


def test_curves_are_means_with_t_intervals_in_per_cent(finished: Frames) -> None:
    info = curves_info(finished)
    assert [family.name for family in info.families] == ["accuracy", "loss"]
    own = finished.curves[(finished.curves["sample"] == 5) & (finished.curves["epoch"] == 3)]
    found = info.of(5)[info.of(5)["epoch"] == 3].iloc[0]
    for column, factor in (("val_accuracy", 100), ("train_loss", 1)):
        interval = mean_interval(own[column].tolist())
        assert found[column] == pytest.approx(factor * (interval.mean or 0))
        assert found[f"{column}_half"] == pytest.approx(factor * (interval.half_width or 0))
    assert found["n"] == 3
    assert (
        info.selection.samples
        == finished.trials.sort_values("val_accuracy_mean", ascending=False)["sample"].tolist()
    )


def test_one_seed_has_means_without_intervals(tmp_path: Path) -> None:
    means = curves_info(CASES["one_seed"](tmp_path)).means
    assert means["val_accuracy"].notna().all()
    assert means["val_accuracy_half"].isna().all()


def test_the_metric_that_ranks_comes_first_among_the_panels(tmp_path: Path) -> None:
    text = GRID + "metric: {name: val_auc, mode: max}\n"
    found = {
        name: [[0.5] * 3] * 2 for name in ("train_loss", "val_loss", "val_auc", "val_speed", "train_accuracy")
    }
    shown = families(record(tmp_path, text, {1: Ended(found)}, XRAYS))
    assert [(family.name, list(family.columns)) for family in shown] == [
        ("auc", ["val"]),
        ("accuracy", ["train"]),
        ("loss", ["train", "val"]),
    ]
    assert [family.label for family in shown] == ["AUC, %", "accuracy, %", "loss"]


# ---------------------------------------------------------------- which configurations, and their names


def test_the_best_are_chosen_then_those_that_got_furthest(tmp_path: Path) -> None:
    ended = full(2)
    ended[3] = Ended(curves(3, 3, 1), end="failed")
    ended[4] = Ended(curves(4, 3, 3), end="failed")
    frames = record(tmp_path, GRID, ended, XRAYS)
    best = frames.trials.set_index("sample")["val_accuracy_mean"].loc[[1, 2]].sort_values(ascending=False)
    assert selection.choose(frames, frames.trials).samples[:4] == [*best.index, 4, 3]
    chosen = selection.choose(frames, frames.trials, 3)
    assert chosen.samples == [*best.index, 4]
    assert lacking(chosen.note, ["3 of 6", "validation accuracy"]) == []
    assert lacking(selection.choose(frames, frames.trials, 2).note, ["2 of 6", "validation accuracy"]) == []


@given(st.lists(st.text("abc_", min_size=1, max_size=64), unique=True, max_size=8), st.integers(9, 30))
def test_short_names_stay_apart(names: list[str], most: int) -> None:
    found = selection.short(names, most)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert all(len(text) <= most for text in found.values())


def test_labels_are_the_numbers_where_values_would_be_too_long(tmp_path: Path) -> None:
    values = ", ".join(f"parameter_number_{i}: {{grid: [0.123, 0.456]}}" for i in range(5))
    text = f"task: mine:train\nspace: {{{values}}}\nepochs: 1\nseeds: 1\n"
    frames = record(tmp_path, text, {})
    assert selection.labels(frames, [2, 1]) == {2: "sample 2", 1: "sample 1"}


# ---------------------------------------------------------------- heat map, intervals, rungs


def test_a_heat_map_holds_each_cells_metric(finished: Frames) -> None:
    [info] = heatmap_infos(finished)
    assert (info.row_name, info.rows) == ("lr", [3e-6, 3e-5])
    assert (info.column_name, info.columns) == ("step_size", [2, 4, 8])
    for _, trial in finished.trials.iterrows():
        row, column = info.rows.index(trial["lr"]), info.columns.index(trial["step_size"])
        assert info.values[row, column] == pytest.approx(100 * trial["val_accuracy_mean"])
    assert not info.several


def test_a_cell_without_a_result_says_how_it_stands(tmp_path: Path) -> None:
    [info] = heatmap_infos(CASES["stopped"](tmp_path))
    assert info.texts[0] == ["stopped\nat epoch 1", "stopped\nat epoch 1", "stopped\nat epoch 3"]
    assert np.isnan(info.values[0]).all()


def test_a_cell_of_several_configurations_shows_the_best(tmp_path: Path) -> None:
    infos = heatmap_infos(CASES["function_task"](tmp_path))
    assert len(infos) == 3
    assert all(info.several for info in infos)
    frames = CASES["function_task"](tmp_path / "again")
    names = [infos[0].row_name, infos[0].column_name]
    rows = frames.trials.to_dict("records")
    for row, a in enumerate(infos[0].rows):
        for column, b in enumerate(infos[0].columns):
            values = [each["val_loss_mean"] for each in rows if (each[names[0]], each[names[1]]) == (a, b)]
            assert infos[0].values[row, column] == pytest.approx(min(values))


def test_random_draws_are_no_grid(tmp_path: Path) -> None:
    with pytest.raises(NotDrawn, match="two parameters"):
        heatmap_infos(CASES["forty"](tmp_path))


def test_intervals_hold_the_seeds_and_the_ties(finished: Frames) -> None:
    info = intervals_info(finished)
    assert info.metrics == ["val_accuracy", "test_accuracy"]
    assert len(info.measured[1]["val_accuracy"].seeds) == 3
    assert info.measured[1]["val_accuracy"].mean == pytest.approx(
        np.mean(info.measured[1]["val_accuracy"].seeds)
    )
    assert set(info.letters["val_accuracy"]) == {1, 2, 3, 4, 5, 6}
    assert all(info.letters["val_accuracy"].values())


def test_rungs_count_who_was_trained(tmp_path: Path) -> None:
    info = rungs_info(CASES["stopped"](tmp_path))
    assert info.training() == [6, 4, 4, 3]
    assert info.rungs == [1, 3]
    assert sorted(info.selection.samples[:3]) == [4, 5, 6]
    assert info.selection.samples[3:] == [3, 1, 2]


# ---------------------------------------------------------------- test scores

scored = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@given(scored)
def test_the_area_under_the_roc_curve_is_the_auc(rows: list[tuple[int, bool]]) -> None:
    score = np.array([value for value, _ in rows], np.float32)
    positive = np.array([label for _, label in rows])
    false, true = scores.roc(score, positive)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(metrics.auc(score, positive))


def test_the_confusion_matrix_agrees_with_the_recorded_metrics(finished: Frames) -> None:
    info = scores.scores_info(finished)
    counts = scores.confusion(info)
    assert counts.shape == (3, 2, 2)
    assert (counts.sum(axis=(1, 2)) == 60).all()
    own = finished.seeds[finished.seeds["sample"] == info.sample].set_index("replicate")
    for replicate, matrix in enumerate(counts):
        (tn, fp), (fn, tp) = matrix
        assert (tn + tp) / 60 == pytest.approx(own["test_accuracy"][replicate])
        assert tp / (tp + fn) == pytest.approx(own["test_sensitivity"][replicate])
        assert tn / (tn + fp) == pytest.approx(own["test_specificity"][replicate])


def test_scores_of_three_classes_have_a_matrix_and_no_roc_curve(tmp_path: Path) -> None:
    frames = record(tmp_path, GRID, {i: Ended(curves(i, 3, 4)) for i in range(1, 7)}, XRAYS)
    best = int(frames.trials.sort_values("val_accuracy_mean")["sample"].iloc[-1])
    rows = np.zeros((3, 6, 3), np.float32)
    rows[:, np.arange(6), [0, 1, 2, 0, 1, 0]] = 1
    attempt = frames.sweep.history.configurations[best].attempts[-1]
    attempt.scores = frames.sweep.scores.append(rows.astype("<f4").tobytes(), rows.shape)
    lines = ["index,label,name,patient", *(f"{i},{i % 3},," for i in range(6))]
    frames.sweep.paths.test_images.write_text("\n".join(lines) + "\n", encoding="utf-8")
    info = scores.scores_info(frames)
    assert info.classes == ["class 0", "class 1", "class 2"]
    assert scores.confusion(info)[0].tolist() == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
    [picture] = figures.draw(frames, "confusion")
    assert "6 test images" in picture.alt
    with pytest.raises(NotDrawn, match=r"\b3\b"):
        figures.draw(frames, "roc")


def test_scores_that_do_not_fit_the_list_of_images_are_damage(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    frames.sweep.paths.test_images.write_text("index,label,name,patient\n0,1,,\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"\b1 image.*\b60\b"):
        scores.scores_info(frames)


# ---------------------------------------------------------------- pareto


def test_two_metrics_make_a_picture_with_its_front(finished: Frames) -> None:
    x, y = pareto.Objective("duration_s", "min"), pareto.Objective("val_accuracy", "max")
    info = pareto.pareto_info(finished, x, y)
    best = finished.trials.sort_values("val_accuracy_mean")["sample"].iloc[-1]
    assert info.points.set_index("sample")["on_front"][best]
    assert pareto.pareto(finished, x, y).title == "validation accuracy, % against training time, s"
    with pytest.raises(NotDrawn, match='no column "speed"'):
        pareto.pareto(finished, pareto.Objective("speed", "max"), y)


def test_a_space_of_several_metrics_has_a_picture_of_each_pair(tmp_path: Path) -> None:
    text = (
        GRID
        + "metric:\n"
        + "".join(
            f"  - {{name: {name}, mode: {mode}}}\n"
            for name, mode in (("val_accuracy", "max"), ("val_loss", "min"), ("train_loss", "min"))
        )
    )
    pictures = figures.draw(record(tmp_path, text, full(6), XRAYS), "pareto")
    assert [picture.name for picture in pictures] == ["pareto", "pareto_2", "pareto_3"]
    assert pictures[0].title == "validation loss against validation accuracy, %"


# ---------------------------------------------------------------- Optuna's


def test_a_study_is_made_of_any_record(tmp_path: Path) -> None:
    made = optuna_input.make_study(CASES["stopped"](tmp_path))
    states = [trial.state.name for trial in made.trials]
    assert states == ["PRUNED"] * 3 + ["COMPLETE"] * 3
    assert [trial.user_attrs["sample"] for trial in made.trials] == [1, 2, 3, 4, 5, 6]
    assert made.trials[3].params == {"lr": 3e-5, "step_size": 2}
    assert made.direction.name == "MAXIMIZE"
    assert all("test" not in name for trial in made.trials for name in trial.user_attrs)


def test_ranges_follow_the_recorded_values_and_the_sampler(tmp_path: Path) -> None:
    frames = CASES["forty"](tmp_path)
    lr = optuna_input.distribution(frames, "lr")
    assert isinstance(lr, optuna.distributions.FloatDistribution)
    assert (lr.log, lr.low, lr.high) == (True, frames.trials["lr"].min(), frames.trials["lr"].max())
    step = optuna_input.distribution(frames, "step_size")
    assert isinstance(step, optuna.distributions.IntDistribution)
    assert not step.log
    mixed = optuna_input.distribution(CASES["conditional"](tmp_path / "other"), "depth")
    assert mixed == optuna.distributions.CategoricalDistribution(
        tuple(optuna_input.MARK + each for each in ("1", "2", "deep"))
    )
    grid = optuna_input.distribution(CASES["finished"](tmp_path / "grid"), "lr")
    assert isinstance(grid, optuna.distributions.FloatDistribution)
    assert not grid.log, "a factor of ten may as well be linear"


@pytest.mark.parametrize(("count", "share"), [(4, 0.5), (9, 0.5), (20, 0.25), (50, 0.1), (1000, 0.1)])
def test_importance_is_of_five_configurations_at_least(count: int, share: float) -> None:
    assert top_share(count) == share


def test_values_that_optuna_cannot_draw_cost_no_report(
    finished: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Frames) -> list[figures.Picture]:
        raise OverflowError("too far")

    monkeypatch.setitem(figures.KINDS, "slice", fails)
    monkeypatch.setitem(figures.KINDS, "curves", fails)
    with pytest.raises(NotDrawn, match=r"Optuna cannot draw these values \(OverflowError: too far\)"):
        figures.draw(finished, "slice")
    with pytest.raises(OverflowError):
        figures.draw(finished, "curves")


def test_optunas_figures_number_by_our_samples(tmp_path: Path) -> None:
    ended = {i: one for i, one in full(6).items() if i in (2, 4, 6)}
    [picture] = figures.draw(record(tmp_path, GRID, ended, XRAYS), "history")
    axes = picture.figure.axes[0]
    assert np.ma.getdata(axes.collections[0].get_offsets())[:, 0].tolist() == [2, 4, 6]
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [2, 4, 6]


def test_very_many_points_are_thinned_and_the_record_setters_stay(tmp_path: Path) -> None:
    text = (
        "task: pneumonia\nspace: {lr: {loguniform: [1e-7, 1e-3]}, gamma: {uniform: [0.1, 0.9]}}\n"
        f"search: {{algorithm: random, samples: {MOST_POINTS + 500}}}\nepochs: 1\nseeds: 1\n"
    )
    rng = np.random.default_rng(0)
    values = rng.random(MOST_POINTS + 500)
    ended = {i: Ended({"val_accuracy": [[float(value)]]}) for i, value in enumerate(values, 1)}
    frames = record(tmp_path, text, ended, XRAYS)
    [picture] = figures.draw(frames, "history")
    assert f"of {MOST_POINTS + 500:,} finished configurations, evenly spaced" in picture.caption
    axes = picture.figure.axes[0]
    drawn = np.ma.getdata(axes.collections[0].get_offsets())
    assert MOST_POINTS <= len(drawn) < MOST_POINTS + 30
    best = np.flatnonzero(np.maximum.accumulate(values) == values) + 1
    assert set(best) <= set(drawn[:, 0].astype(int))
    assert np.asarray(axes.lines[0].get_ydata()).max() == values.max()


def test_the_users_own_style_and_figures_are_left_alone(finished: Frames) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    mine = plt.figure()
    before, backend = dict(mpl.rcParams), mpl.get_backend()
    for kind in ("curves", "slice"):
        figures.draw(finished, kind)
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend() == backend
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


# ---------------------------------------------------------------- looks and files


def test_series_differ_in_more_than_their_colour() -> None:
    looks = style.looks(20)
    for rank, one in enumerate(looks):
        for other in looks[:rank]:
            assert (one.linestyle, one.marker) != (other.linestyle, other.marker)


def test_the_colour_map_is_one_way_in_grey() -> None:
    colours = mpl.colormaps[style.COLOUR_MAP](np.linspace(0, 1, 64))[:, :3]
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()


def test_a_picture_is_saved_in_the_format_of_its_ending(finished: Frames, tmp_path: Path) -> None:
    written = {
        path.suffix: path
        for ending in ("png", "svg", "pdf")
        for path in figures.plot(finished, "heatmap", tmp_path / f"x.{ending}")
    }
    assert written[".pdf"].read_bytes().startswith(b"%PDF")
    assert written[".svg"].read_text(encoding="utf-8").startswith("<?xml")
    with Image.open(written[".png"]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200


def test_a_kind_of_several_pictures_names_each(finished: Frames, tmp_path: Path) -> None:
    names = [path.name for path in figures.plot(finished, "panels", tmp_path / "my.svg")]
    assert names == ["my_accuracy.svg", "my_loss.svg"]
    own = figures.plot(finished, "panels")
    assert [path.parent for path in own] == [finished.sweep.paths.report / "figures"] * 4


@pytest.mark.parametrize(
    ("kind", "out", "says"),
    [
        (
            "interval",
            None,
            r'"interval".*"intervals"(.|\n)*intervals, curves',
        ),
        ("rungs", None, "rungs: .*early stopping"),
        ("curves", "x.jpeg", r"x\.jpeg: .*\.svg, \.png, \.pdf"),
        ("curves", "x", r"x: .*\.svg, \.png, \.pdf"),
    ],
)
def test_what_cannot_be_drawn_is_told(finished: Frames, kind: str, out: str | None, says: str) -> None:
    with pytest.raises(ReportError, match=says):
        figures.plot(finished, kind, Path(out) if out else None)


def test_nothing_leaves_a_picture(finished: Frames) -> None:
    """Every text lies within what is saved."""
    for kind in figures.KINDS:
        try:
            pictures = figures.draw(finished, kind)
        except NotDrawn:
            continue
        for picture in pictures:
            width, height = (100 * side for side in style.size(picture.figure))
            foot = height - 100 * picture.figure.get_size_inches()[1]
            with style.styled():
                box = picture.figure.get_tightbbox().transformed(mpl.transforms.Affine2D().scale(100))
            assert box.x0 >= -2, picture.name
            assert box.x1 <= width + 2, picture.name
            assert box.y0 >= -foot - 2, picture.name
            assert box.y1 <= height - foot + 2, picture.name


def test_a_diverged_replicates_scores_are_left_out(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    sample = scores.scores_info(frames).sample
    attempt = frames.sweep.history.configurations[sample].attempts[-1]
    rows = frames.scores(sample).copy()
    rows[1] = math.nan
    attempt.scores = frames.sweep.scores.append(rows.astype("<f4").tobytes(), rows.shape)
    assert len(scores.scores_info(frames).scores) == 2


def test_pictures_say_which_data_they_show(finished: Frames) -> None:
    [picture] = figures.draw(finished, "curves")
    said = [text.get_text() for text in picture.figure.texts]
    assert any("run · data röntgen" in text and "sha256 c0ffeec0ffee" in text for text in said)
    assert pd.Series(said).str.contains(r"\$5", regex=False).any(), "a dollar sign is no formula"


def test_every_kind_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    told = str(cli.commands["plot"].help)
    for kind in figures.KINDS:
        assert f"| `{kind}` |" in text
        assert kind in told.split("KIND:")[1]
