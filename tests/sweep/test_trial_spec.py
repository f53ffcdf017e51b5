from __future__ import annotations

import pickle

import pytest
from specs import change, make_spec

from tune_app import space as spaces
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import SweepSettings, TrialFiles, TrialSpec

SPACE = """
task: pneumonia
space: {lr: {grid: [1, 2]}}
seeds: 3
epochs: 9
seed: 7
metric: [{name: val_auc, mode: max}, {name: val_loss, mode: min}]
evaluate: best
stop: {scheduler: none, patience: 2, min_delta: 0.5, metric: val_loss}
keep: last
checkpoint_every: 5
"""


@pytest.fixture
def space() -> spaces.SearchSpace:
    return spaces.parse(SPACE, file="my.yaml", name="my")


def test_settings_hold_what_all_trials_of_a_sweep_share(space: spaces.SearchSpace) -> None:
    numerics = Numerics("stacked", 2, "bf16")
    settings = SweepSettings.of(space, numerics)
    assert (settings.task, settings.seed, settings.epochs, settings.numerics) == ("pneumonia", 7, 9, numerics)
    assert settings.metrics == (("val_auc", 1), ("val_loss", -1))
    assert settings.stop_metric == ("val_loss", -1)
    assert (settings.patience, settings.min_delta, settings.grace_period) == (2, 0.5, 1)
    assert (settings.keep, settings.checkpoint_every_s) == ("last", 5)
    assert settings.needed == {"val_auc", "val_loss"}


@pytest.mark.parametrize(("evaluate", "keep_best"), [("best", ("val_accuracy", 1)), ("last", None)])
def test_the_metric_whose_best_epoch_is_evaluated(evaluate: str, keep_best: tuple[str, int] | None) -> None:
    assert make_spec({}, evaluate=evaluate).settings.keep_best == keep_best


def test_an_example_is_like_the_trials_of_the_sweep_and_leaves_nothing(space: spaces.SearchSpace) -> None:
    spec = TrialSpec.example(space, range(2), Numerics())
    assert (spec.config, spec.replicates, spec.target) == ({"lr": 1}, (0, 1), 9)
    assert (spec.files, spec.tested, spec.settings.patience) == (TrialFiles(), False, None)
    assert change(spec, patience=2).settings == SweepSettings.of(space, Numerics())


@pytest.mark.parametrize(
    ("replicates", "follows"), [((0, 1), False), ((0,), False), ((1, 2), True), ((2,), True)]
)
def test_a_part_without_the_first_replicate_follows(replicates: tuple[int, ...], follows: bool) -> None:
    whole = make_spec({"lr": 1}, (0, 1, 2))
    part = whole.only(replicates)
    assert part == change(whole, replicates=replicates, follows=follows)
    assert change(whole, follows=True).only(replicates).follows


def test_it_is_small_however_many_points_the_space_has(space: spaces.SearchSpace) -> None:
    sizes = set()
    for points in (2, 10_000):
        rates = [{"lr": 1.0 + point} for point in range(points)]
        wide = space.model_copy(update={"configs": tuple(rates)})
        sizes.add(len(pickle.dumps(TrialSpec.example(wide, range(3), Numerics()))))
    assert len(sizes) == 1
    assert max(sizes) < 1500
