"""The measurements' own arithmetic, and that their pages are what their figures say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import TWO_CURVES, TWO_POINTS, record

from benchmarks import __main__ as program
from benchmarks import choosing
from benchmarks.stopping import page
from benchmarks.stopping.__main__ import RESULTS
from benchmarks.stopping.records import Deep, crossing
from benchmarks.stopping.replay import Played, Search, Stopping, replay, searches
from benchmarks.stopping.rules import OWN, PEERS, variants
from tune_app import space as spaces
from tune_app import stopping
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.sweep import Sweep
from tune_app.sweep.events import Opened

STOPPING = "stop: {scheduler: asha, reduction_factor: 2}"


def parse(text: str, task: str = "pneumonia", epochs: int = 2) -> spaces.SearchSpace:
    return spaces.parse(
        f"task: {task}\nspace: {{level: {{grid: [1, 2, 3, 4, 5, 6, 7, 8]}}}}\nepochs: {epochs}\nseeds: 2\n"
        + text
    )


def played(
    space: spaces.SearchSpace, curves: Sequence[Sequence[float]], order: Sequence[int], slots: int
) -> Played:
    stopper = stopping.make_stopper(space)

    def goes_on(sample: int, epoch: int) -> bool:
        return not any(each.stop for each in stopper.judge(sample + 1, epoch, curves[sample][epoch - 1]))

    return replay(Stopping(order, range(1, space.epochs), goes_on), space.epochs, slots)


def test_a_hand_counted_replay() -> None:
    curves = [[0.5, 0.6], [0.6, 0.9], [0.4, 0.95], [0.7, 0.9]]
    # 0 is first, 1 is better, 2 is worse than half of them, 3 is the best so far
    assert played(parse(STOPPING), curves, [0, 1, 2, 3], 2) == Played([0, 1, 3], 7)


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=9), st.integers(2, 9))
def test_in_lockstep_the_number_of_slots_changes_nothing(curves: list[list[float]], slots: int) -> None:
    space, order = parse(STOPPING, epochs=4), range(len(curves))
    one, many = (played(space, curves, order, number) for number in (1, slots))
    assert (one.epochs, sorted(one.finished)) == (many.epochs, sorted(many.finished))


def test_a_replay_comes_out_as_the_sweep_itself(user_module: Callable[[str], str]) -> None:
    name = user_module(
        """
        def task(config, context):
            for epoch in range(1, context.epochs + 1):
                noise = (config["level"] * 7 + context.replicate * 3 + epoch * 5) % 11
                yield {"val_accuracy": config["level"] * epoch + noise}
        """
    )
    space = parse(f"{STOPPING}\nseed: 3", f"{name}:task", epochs=4)
    sweep = Sweep.create(space, NO_DATA, "runs")
    with sweep.writing():
        sweep.note(Opened())
        inline.run(Driver(sweep, stopping.make_stopper(space)), None)
    curves = [
        [
            level * epoch + sum((level * 7 + seed * 3 + epoch * 5) % 11 for seed in (0, 1)) / 2
            for epoch in range(1, 5)
        ]
        for level in range(1, 9)
    ]
    order = sorted(range(8), key=lambda sample: stopping.order_key(3, sample + 1))
    found = played(space, curves, order, 1)
    finished = [s for s, status in enumerate(sweep.statuses()) if status == "finished"]
    assert 0 < len(finished) < 8
    assert sorted(found.finished) == finished
    assert found.epochs == len(sweep.history.stopping_inputs) - len(sweep.history.decisions)


def test_regret_is_counted_on_the_seeds_that_were_not_seen() -> None:
    ends = np.array([[1.0, 4.0, 4.0], [3.0, 1.0, 2.0], [2.0, 3.0, 3.0]])
    deep = Deep("made up", True, np.repeat(ends[..., None], 5, axis=2), np.zeros((3, 3, 5)))
    search = Search(0, deep, [0], [1, 2], [0, 1, 2])
    assert search.regret([0, 1, 2]) == pytest.approx(4 - 1.5)  # 1 is best by seed 0, 0 over all seeds
    assert search.regret([0, 2]) == pytest.approx(1)
    assert search.regret([0]) == 0


def test_a_window_is_the_mean_of_the_last_epochs_for_each_seed() -> None:
    deep = Deep("made up", True, np.arange(12.0).reshape(1, 2, 6), np.zeros((1, 2, 6)))
    search = Search(0, deep, [1, 0], [], [0])
    assert search.values(window=3)[0] == [(6, 0), (6.5, 0.5), (7, 1), (8, 2), (9, 3), (10, 4)]
    assert search.means()[0] == [3, 4, 5, 6, 7, 8]


def test_every_rule_finishes_somebody_within_the_epochs_of_everything() -> None:
    search = next(searches([crossing(0)], 1))
    found = {(each.rule, each.settings): each.play(search) for each in variants()}
    assert {rule for rule, _ in found} >= {*OWN, *PEERS} - {"Syne Tune's ASHA"}
    for variant, (finished, epochs) in found.items():
        assert len(set(finished)) == len(finished) > 0, variant
        assert len(finished) * 30 <= epochs <= 81 * 30
    # the same rule, in other words
    assert found["asha", "grace 3, factor 3"] == found["Ray's ASHA", "grace 3, factor 3"]
    # 81, 27, 9, 3 and 1 configurations to epochs 1, 3, 9, 27 and 30
    assert found["halving", "grace 1, factor 3"].epochs == 81 + 27 * 2 + 9 * 6 + 3 * 18 + 3


def test_the_page_is_what_the_figures_say() -> None:
    text = (RESULTS / "stopping.md").read_text(encoding="utf-8")
    found = pd.read_csv(RESULTS / "stopping.csv", keep_default_na=False)
    assert text == page.markdown(found, text.splitlines()[-1].removesuffix(".")) + "\n"


def test_what_a_choice_of_few_seeds_loses_is_measured_by_the_others(tmp_path: Path) -> None:
    sweep = record(tmp_path, TWO_POINTS, TWO_CURVES).sweep
    last, by_window = choosing.choices(sweep, 1), choosing.choices(sweep, 2)
    assert last.tolist() == [[0.7, 0.71, 0.69], [0.75, 0.76, 0.74]]
    assert choosing.regrets(last, last, seen=1, draws=20).max() == 0, "the second is the best at its end"
    assert choosing.regrets(by_window, last, seen=1, draws=20) == pytest.approx(0.05)


def test_the_help_lists_what_one_can_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for name in ("benchmarks.speed", "benchmarks.chaos", "benchmarks.coverage"):
        assert f"python -m {name} " in shown
