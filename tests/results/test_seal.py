"""Which test figures people are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from records import Ended, record, right, steady

from tune_app import results
from tune_app.report import comparing, narrative, terminal
from tune_app.report.figures import NotDrawn, intervals, scores
from tune_app.results import Frames, json_views, verdict, warnings
from tune_app.sweep.events import Batch

SPACE = "task: pneumonia\nconfigs: [{lr: 0.1}, {lr: 0.2}, {lr: 0.3}]\nepochs: 2\nseeds: 3\n"
SHARES = {1: (0.71, 0.72, 0.73), 2: (0.61, 0.62, 0.63), 3: (0.91, 0.92, 0.93)}
#: Validation chooses the second, which is the worst on the test set.
CHOSEN = {
    1: Ended(steady(0.7, 0.71, 0.72), right(1, SHARES[1], like=1)),
    2: Ended(steady(0.8, 0.81, 0.82), right(2, SHARES[2], like=1)),
    3: Ended(steady(0.6, 0.61, 0.62), right(3, SHARES[3], like=1)),
}


def known(frames: Frames) -> list[int]:
    """The samples with test figures, which are the same everywhere."""
    tests = [name for name in frames.trials if str(name).startswith("test_")]
    rows = frames.trials[frames.trials[tests].notna().any(axis=1)]
    seeds = frames.seeds[frames.seeds["test_accuracy"].notna()]
    samples = [int(sample) for sample in rows["sample"]]
    assert [int(sample) for sample in seeds["sample"].unique()] == samples
    assert [each for each in frames.configs if frames.measured(each, "test_accuracy")] == samples
    assert [each for each in frames.configs if len(frames.replicates(each, "test_auc"))] == samples
    return samples


def test_those_of_the_chosen_configuration_at_the_end(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, CHOSEN)
    sealed = results.sealed(frames)
    assert (known(sealed), sealed.opened) == ([2], frozenset({2}))
    assert list(sealed.trials) == list(frames.trials)
    assert known(frames) == [1, 2, 3]
    assert sealed.unsealed is frames
    assert results.sealed(sealed) is sealed
    judged = verdict.judge(frames).sealed(sealed.opened)
    assert judged.test is not None
    assert ([each.sample for each in judged.test.standings], judged.test.pairs) == ([2], ())
    assert judged.chosen == verdict.judge(sealed).chosen


def test_none_before_all_is_trained(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, {1: CHOSEN[1], 2: CHOSEN[2]})
    sealed = results.sealed(frames)
    assert (known(sealed), sealed.opened) == ([], frozenset())
    with pytest.raises(NotDrawn, match="sealed"):
        scores.scores_info(sealed)
    judged = verdict.judge(frames)
    assert "worse_on_test" not in {each.kind for each in warnings.check(frames, judged)}
    said = narrative.verdict(sealed, judged.sealed([]))[-1]
    assert "sealed" in said
    assert "%" not in said
    best = json_views.best(sealed)["results"]
    assert best["sample"] == 2
    assert {value for name, value in best.items() if name.startswith("test_")} == {None}


def test_none_while_seeds_are_added(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, CHOSEN)
    with frames.sweep.writing():
        frames.sweep.note(
            Batch(samples=[1, 2], seeds=[2, 2], among=[1, 2], before=3, after=5, looks=2, budget=8)
        )
    assert known(results.sealed(results.load(frames.sweep))) == []


def test_a_point_drawn_twice_has_the_same_figures(tmp_path: Path) -> None:
    drawn = "space: {lr: {choice: [0.1, 0.2]}}\nsearch: {algorithm: random, samples: 8}"
    text = SPACE.replace("configs: [{lr: 0.1}, {lr: 0.2}, {lr: 0.3}]", drawn)
    planned = record(tmp_path, text, {}).configs
    first = {config["lr"]: sample for sample, config in reversed(planned.items())}
    ended = {first[0.1]: CHOSEN[1], first[0.2]: CHOSEN[2]}
    sealed = results.sealed(record(tmp_path, text, ended, name="trained"))
    assert sealed.opened is not None
    assert sealed.opened == {sample for sample, config in planned.items() if config["lr"] == 0.2}
    tested = {sealed.row(sample)["test_auc_mean"] for sample in sealed.opened}
    assert len(tested) == 1 < len(sealed.opened)
    assert np.isnan(sealed.row(first[0.1])["test_auc_mean"])


def test_all_of_a_run_that_confirms(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, CHOSEN, confirms="other")
    assert results.sealed(frames) is frames
    begun = record(tmp_path, SPACE, {1: CHOSEN[1]}, confirms="other", name="begun")
    assert known(results.sealed(begun)) == []


def test_a_run_without_test_metrics_has_nothing_to_seal(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, {1: Ended(steady(0.7, 0.71, 0.72))})
    assert results.sealed(frames) is frames
    assert "sealed" not in terminal.table(results.sealed(frames))


def test_no_figure_shows_others(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, CHOSEN)
    sealed = results.sealed(frames)
    assert intervals.intervals_info(sealed).metrics == ["val_accuracy"]
    assert intervals.intervals_info(frames).metrics == ["val_accuracy", "test_accuracy"]
    assert scores.scores_info(sealed).sample == 2


def test_that_another_is_better_is_said_without_its_name(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, CHOSEN)
    [text] = [
        each.text for each in warnings.check(frames, verdict.judge(frames)) if each.kind == "worse_on_test"
    ]
    assert not any(character.isdigit() for character in text)


def test_the_opened_are_counted_but_for_the_papers_tables(tmp_path: Path) -> None:
    frames = record(tmp_path, SPACE, CHOSEN)

    def opened() -> list[str]:
        found = warnings.check(frames, verdict.judge(frames))
        return [each.text for each in found if each.kind == "test_opened"]

    json_views.open_test_set(frames, "paper", print)
    assert opened() == []
    for times in (1, 2):
        json_views.open_test_set(frames, "show", print)
        assert str(times) in opened()[0]
    [said] = [value for term, value in narrative.reproduce(frames) if "test" in term]
    assert (said.count("show --test"), said.count("paper")) == (2, 1)


def test_each_run_shows_its_own_choice_where_runs_are_compared(tmp_path: Path) -> None:
    first = results.sealed(record(tmp_path, SPACE, CHOSEN, name="first"))
    begun = results.sealed(record(tmp_path, SPACE, {1: CHOSEN[1]}, name="begun"))
    table = comparing.compare([first, begun])
    assert [line.split()[4] for line in table.about if "sealed" in line] == ["begun"]
    frame = table.frame.set_index("run")
    assert frame.loc["first", "test_accuracy_mean"] == pytest.approx(0.62)
    assert frame["test_accuracy_mean"].isna().tolist() == [False, True]
