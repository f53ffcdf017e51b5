"""The measurements' own arithmetic, and that their pages are what their figures say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import TWO_CURVES, TWO_POINTS, record

from benchmarks import __main__ as program
from benchmarks import asha_page, choosing
from benchmarks.asha_replay import RESULTS, Full, Outcome, Played, full_record, summary
from tune_app import space as spaces
from tune_app import stopping
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.sweep import Sweep
from tune_app.sweep.events import Opened

FULL = Full({1: [0.5, 0.6], 2: [0.6, 0.9], 3: [0.4, 0.95], 4: [0.7, 0.9]}, {1: 0.2, 2: 0.1, 3: 0.04, 4: 0.0})
STOPPING = "stop: {scheduler: asha, reduction_factor: 2}"


def parse(text: str, task: str = "pneumonia", epochs: int = 2) -> spaces.SearchSpace:
    return spaces.parse(
        f"task: {task}\nspace: {{level: {{grid: [1, 2, 3, 4, 5, 6, 7, 8]}}}}\nepochs: {epochs}\nseeds: 2\n"
        + text
    )


def test_a_hand_counted_replay() -> None:
    # 1 is first, 2 is better, 3 is worse than half of them, 4 is the best so far
    played = FULL.replay(stopping.make_stopper(parse(STOPPING)), [1, 2, 3, 4], slots=2)
    assert played == Played(chosen=2, epochs=7, finished=(1, 2, 4))
    assert FULL.best == 3
    outcome = FULL.outcome(played)
    assert outcome.shortfall == pytest.approx(0.05)
    assert (outcome.best, outcome.within, outcome.alike, outcome.epochs) == (False, False, True, 7 / 8)
    best = FULL.outcome(Played(3, 2, (3,)))
    assert best == Outcome(0.0, True, True, True, 0.25)
    assert summary([outcome, best]) == {
        **{"shuffles": 2, "within": 0.5, "alike": 1.0, "best": 0.5, "epochs": 9 / 16},
        **{"shortfall": outcome.shortfall / 2, "most_shortfall": outcome.shortfall},
        **{"least_epochs": 0.25, "most_epochs": 7 / 8},
    }


def test_shards_are_replays_by_themselves_and_the_best_of_all_is_chosen() -> None:
    def stopper() -> stopping.Stopper:
        return stopping.make_stopper(parse(STOPPING))

    assert FULL.sharded(stopper, [1, 2, 3, 4], 1) == FULL.replay(stopper(), [1, 2, 3, 4])
    # 1 and 3 in one: 3 is the worse of them after an epoch; 2 and 4 in the other, each the best so far.
    assert FULL.sharded(stopper, [1, 2, 3, 4], 2) == Played(chosen=2, epochs=7, finished=(1, 2, 4))
    assert FULL.sharded(stopper, [1, 2, 3, 4], 4) == Played(chosen=3, epochs=8, finished=(1, 2, 3, 4))


def test_what_diverged_is_never_chosen() -> None:
    full = Full({1: [0.5, None], 2: [0.1, 0.2]}, {1: 0.0, 2: 0.0})
    assert full.best == 2


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=9), st.integers(2, 9))
def test_in_lockstep_the_number_of_slots_changes_nothing(curves: list[list[float]], slots: int) -> None:
    full = Full(dict(enumerate(curves, start=1)), {})
    order = full.shuffled(0)
    space = parse(STOPPING, epochs=4)
    one, many = (full.replay(stopping.make_stopper(space), order, number) for number in (1, slots))
    assert (one.chosen, one.epochs, sorted(one.finished)) == (many.chosen, many.epochs, sorted(many.finished))


def test_a_replay_comes_out_as_the_sweep_itself(user_module: Callable[[str], str]) -> None:
    name = user_module(
        """
        def task(config, context):
            for epoch in range(1, context.epochs + 1):
                noise = (config["level"] * 7 + context.replicate * 3 + epoch * 5) % 11
                yield {"val_accuracy": config["level"] * epoch + noise}
        """
    )

    def run(text: str) -> Sweep:
        sweep = Sweep.create(parse(text, f"{name}:task", epochs=4), NO_DATA, "runs")
        with sweep.writing():
            sweep.note(Opened())
            inline.run(Driver(sweep, stopping.make_stopper(sweep.space)), None)
        return sweep

    full, real = full_record(run("")), run(f"{STOPPING}\nseed: 3")
    played = full.replay(stopping.make_stopper(real.space), full.shuffled(3), slots=1)
    finished = [s for s, status in enumerate(real.statuses(), start=1) if status == "finished"]
    assert 0 < len(finished) < 8
    assert sorted(played.finished) == finished
    assert played.epochs == len(real.history.stopping_inputs) - len(real.history.decisions)


def test_the_page_is_what_the_figures_say() -> None:
    found = json.loads((RESULTS / "asha_replay.json").read_text(encoding="utf-8"))
    assert (RESULTS / "asha_replay.md").read_text(encoding="utf-8") == asha_page.markdown(found)
    assert Path(RESULTS).name == "results"


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
