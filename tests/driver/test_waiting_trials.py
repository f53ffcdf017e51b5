"""Rungs that decide together, in whole sweeps: who waits, who trains on, and after which interruptions."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import small_task

from tune_app import space as spaces
from tune_app import stopping
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.session.session import open_search
from tune_app.status import Status
from tune_app.sweep import Sweep, control
from tune_app.sweep.events import Opened
from tune_app.training.protocol import EpochReport, TestOutcome

#: Better from level to level, but for noise. Level 3 can be made to diverge or to fail.
TASK = """
    import math

    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            falls = config.get("falls") if epoch > 10 else config.get("fails")
            if config["level"] == falls:
                raise ValueError("no")
            noise = (config["level"] * 7 + context.replicate * 3 + epoch * 5) % 11
            value = config["level"] * epoch + noise
            if context.replicate == config.get("flat"):
                value = config["level"]
            yield {
                "val_accuracy": math.nan if config["level"] == config.get("diverges") else value,
                "val_loss": -value,
            }
            if epoch == config.get("returns"):
                return
"""
HALVING = "stop: {scheduler: halving, grace_period: 1, reduction_factor: 3}"
PROMOTION = HALVING.replace("halving", "asha, type: promotion")
GRID = "space: {level: {grid: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}"
RANGE = "space: {level: {randint: [1, 100]}}"
OPTUNA = "search: {algorithm: optuna, samples: 9}"


def made(
    task: str,
    text: str = HALVING,
    fixed: str = "",
    seeds: int = 2,
    epochs: int = 12,
    search: str = "",
    points: str = "",
) -> Sweep:
    points = points or (RANGE if search else GRID)
    space = spaces.parse(
        f"task: {task}\n{points}\nepochs: {epochs}\nseeds: {seeds}\nmax_failures: 0\n"
        f"fixed: {{{fixed}}}\n{text}\n{search}"
    )
    return Sweep.create(space, NO_DATA, "runs")


def train(sweep: Sweep) -> Sweep:
    with sweep.writing(), open_search(sweep) as searcher:
        sweep.note(Opened())
        inline.run(Driver(sweep, stopping.make_stopper(sweep.space), searcher), None)
    return sweep


def went(sweep: Sweep) -> dict[int, tuple[str, int]]:
    """The status of each configuration, and how far it was trained."""
    statuses = zip(sweep.history.configurations.values(), sweep.statuses(), strict=True)
    return {c.sample: (s, max((a.epoch for a in c.attempts), default=0)) for c, s in statuses}


@pytest.fixture
def task(user_module: Callable[[str], str]) -> str:
    return f"{user_module(TASK)}:task"


def test_the_best_third_of_each_rung_trains_on(task: str) -> None:
    sweep = train(made(task))
    ends = went(sweep)
    assert sorted(epoch for _, epoch in ends.values()) == [1, 1, 1, 1, 1, 1, 3, 3, 12]
    assert {status for status, _ in ends.values()} == {Status.STOPPED, Status.FINISHED}
    assert sweep.complete_and_trained()

    def mean(sample: int, epoch: int) -> float:
        return sum(sample * epoch + (sample * 7 + seed * 3 + epoch * 5) % 11 for seed in (0, 1)) / 2

    ranked = sorted(ends, key=lambda sample: -mean(sample, 1))
    assert {sample for sample, (_, epoch) in ends.items() if epoch > 1} == set(ranked[:3])
    assert ends[max(ranked[:3], key=lambda sample: mean(sample, 3))] == (Status.FINISHED, 12)
    stops = {each.sample: each for each in sweep.history.decisions}
    assert stops.keys() == {sample for sample, (status, _) in ends.items() if status == Status.STOPPED}
    assert {each.rule for each in stops.values()} == {"halving"}
    assert all((each.value or 0) < (each.threshold or 0) for each in stops.values())


def test_by_another_metric(task: str) -> None:
    by = HALVING.replace("3}", "3, by: {name: val_loss, mode: min}}")
    assert went(train(made(task, by))) == went(train(made(task)))
    by = by.replace("mode: min", "mode: max")
    assert went(train(made(task, by)))[1][0] == Status.FINISHED


@pytest.mark.parametrize("search", ["", OPTUNA, OPTUNA.replace("optuna", "random")])
def test_promotions_train_a_third_of_those_that_came_on(task: str, search: str) -> None:
    sweep = train(made(task, PROMOTION, search=search))
    assert sorted(epoch for _, epoch in went(sweep).values()) == [1] * 6 + [3] * 2 + [12]
    assert sweep.complete_and_trained()
    finished = [sample for sample, (status, _) in went(sweep).items() if status == Status.FINISHED]
    assert [epoch for sample, (_, epoch) in went(sweep).items() if sample in finished] == [12]
    assert {each.rule for each in sweep.history.decisions} == {"asha"}
    assert all(each.stop and each.threshold is None for each in sweep.history.decisions)
    # a function has no checkpoint; the third point had come when the best of them was promoted
    order = [attempt.sample for attempt in sweep.history.attempts.values()]
    assert order[3] in order[:3] or sweep.history.attempts[f"{order[2]}.1"].epoch == 3


def test_a_window_ranks_by_the_last_epochs_in_a_whole_sweep(task: str) -> None:
    text = HALVING.replace("grace_period: 1", "grace_period: 3, window: 3")
    ranked = {
        sample: -sum(
            sample * epoch + (sample * 7 + seed * 3 + epoch * 5) % 11
            for seed in (0, 1)
            for epoch in (1, 2, 3)
        )
        for sample in range(1, 10)
    }
    ends = went(train(made(task, text)))
    promoted = {sample for sample, (_, epoch) in ends.items() if epoch > 3}
    assert promoted == set(sorted(ranked, key=lambda sample: (ranked[sample], sample))[:3])


def test_ties_keep_what_is_as_good(task: str) -> None:
    kept = [
        sum(e > 1 for _, e in went(train(made(task, f"{HALVING[:-1]}, ties: {t}}}"))).values())
        for t in (0, 9)
    ]
    assert kept[0] == 3 < kept[1]


@pytest.mark.parametrize(("fixed", "status"), [("diverges: 8", Status.DIVERGED), ("fails: 8", Status.FAILED)])
@pytest.mark.parametrize(("text", "last"), [(HALVING, [3, 3, 12]), (PROMOTION, [3, 12])])
def test_a_rung_does_not_wait_for_what_diverged_or_failed(
    task: str, fixed: str, status: Status, text: str, last: list[int]
) -> None:
    ends = went(train(made(task, text, fixed=fixed)))
    assert ends[8][0] == status
    assert sorted(epoch for _, epoch in ends.values())[-len(last) :] == last


@pytest.mark.parametrize("text", [HALVING, PROMOTION])
def test_what_ends_by_itself_keeps_its_last_value(task: str, text: str) -> None:
    ends = went(train(made(task, text, fixed="returns: 2")))
    assert sorted(ends.values()) == [(Status.FINISHED, 2)] * 3 + [(Status.STOPPED, 1)] * 6


@pytest.mark.parametrize("text", [HALVING, PROMOTION])
def test_a_replicate_that_has_converged_keeps_its_last_value(task: str, text: str) -> None:
    sweep = train(made(task, text.replace("3}", "3, patience: 1}"), fixed="flat: 0"))
    # seed 0 has ended before the rung at epoch 3, where its configuration is ranked all the same
    reached = [each for each in sweep.history.configurations.values() if each.stopped_at == 3]
    assert reached
    assert all(0 in attempt.converged for each in reached for attempt in each.attempts[-1:])
    assert all(decision.value is not None for decision in sweep.history.decisions)
    assert sweep.complete_and_trained()


@pytest.mark.parametrize("levels", [[1, 2], [9]])
def test_a_search_that_promotes_nobody_finishes_its_best(task: str, levels: list[int]) -> None:
    points = f"space: {{level: {{grid: {levels}}}}}"
    sweep = train(made(task, PROMOTION, points=points))
    assert went(sweep)[len(levels)] == (Status.FINISHED, 12)
    assert all(end == (Status.STOPPED, 1) for sample, end in went(sweep).items() if sample < len(levels))


def test_where_the_best_fails_at_the_end_the_next_one_finishes(task: str) -> None:
    ends = went(train(made(task, PROMOTION, "falls: 2", points="space: {level: {grid: [1, 2]}}")))
    assert ends == {1: (Status.FINISHED, 12), 2: (Status.FAILED, 10)}


@pytest.mark.parametrize(
    ("text", "search"), [(HALVING, ""), (PROMOTION, ""), (PROMOTION, OPTUNA)], ids=["halving", "grid", "tpe"]
)
def test_all_waiting_trials_of_a_session_that_ended_are_decided_on(task: str, text: str, search: str) -> None:
    whole = train(made(task, text, search=search))
    lines = whole.paths.record.read_bytes().splitlines(keepends=True)
    assert {json.loads(line)["event"] for line in lines} >= {"paused", "promoted", "decision", "finished"}
    for cut in range(11, len(lines), 5 if not search else 17):
        folder = Path("runs") / f"cut-{cut}"
        folder.mkdir()
        (folder / "record.jsonl").write_bytes(b"".join(lines[:cut]))
        resumed = train(Sweep.open(folder))
        assert went(resumed) == went(whole), cut
        assert resumed.complete_and_trained()


def test_new_configurations_are_compared_with_those_that_trained_on(task: str) -> None:
    sweep = train(made(task))
    before = went(sweep)
    wider = spaces.extend(sweep.space, add=["level=10", "level=11", "level=12"])
    with sweep.writing():
        sweep.extend(wider, "", from_start=False)
    after = went(train(Sweep.open(sweep.paths.folder)))
    assert {sample: after[sample] for sample in before} == before
    assert len(after) == 12
    assert Status.PAUSED not in {status for status, _ in after.values()}


def test_more_epochs_add_a_rung(task: str) -> None:
    sweep = train(made(task, epochs=3))
    assert sorted(epoch for _, epoch in went(sweep).values()) == [1] * 6 + [3] * 3
    with sweep.writing():
        sweep.extend(spaces.extend(sweep.space, epochs="8"), "", from_start=False)
    assert sorted(epoch for _, epoch in went(train(Sweep.open(sweep.paths.folder))).values()) == [1] * 6 + [
        3,
        3,
        8,
    ]


def test_more_seeds_are_trained_as_far_as_their_configuration(task: str) -> None:
    sweep = train(made(task))
    before = went(sweep)
    with sweep.writing():
        sweep.extend(spaces.extend(sweep.space, seeds="4"), "", from_start=False)
    again = train(Sweep.open(sweep.paths.folder))
    assert went(again) == before
    for configuration in again.history.configurations.values():
        assert len({len(configuration.epochs(replicate)) for replicate in range(4)}) == 1


class Asked:
    """A driver with one slot that is stepped by hand, one epoch of a trial after the other."""

    def __init__(self, sweep: Sweep) -> None:
        self.driver = Driver(sweep, stopping.make_stopper(sweep.space))
        self.driver.begin()

    def epoch(self, number: int, value: float) -> str:
        spec = self.driver.next_trial()
        assert spec
        name = self.driver.start(spec)
        metrics: dict[str, list[float | None]] = {"val_accuracy": [value]}
        self.driver.report(name, EpochReport(number, metrics, [0.0], {}, {}, {}, done=False), "cpu")
        return name


def test_a_user_stops_a_configuration_that_waits(task: str) -> None:
    sweep = made(task, seeds=1)
    with sweep.writing():
        sweep.note(Opened())
        asked = Asked(sweep)
        first = asked.epoch(1, 0.5)
        sample = sweep.history.attempts[first].sample
        assert went(sweep)[sample] == (Status.PAUSED, 1)
        assert sweep.outstanding() == 9
        control.ask(sweep.paths.control, {"do": "stop", "sample": sample})
        asked.driver.tick()
        assert went(sweep)[sample] == (Status.STOPPED, 1)
        for value in range(8):
            asked.epoch(1, value)
        # of nine, three would train on
        promoted = {each.sample for each in sweep.history.configurations.values() if each.promoted}
        assert len(promoted) == 3
        assert sample not in promoted


def promoted(
    values: dict[tuple[int, int], float], samples: list[int], rungs: list[int]
) -> dict[int, list[int]]:
    """By rung, which half of those that come there trains on, once all values are known."""
    found, coming = {}, samples
    for rung in rungs:
        ranked = sorted(coming, key=lambda sample: (-values[sample, rung], sample))
        coming = found[rung] = ranked[: math.ceil(len(coming) / 2)]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_slot_is_idle_only_while_no_configuration_may_train(task: str, seed: int) -> None:
    """Whoever waits while a slot is empty would be stopped if the missing values came out as they may."""
    text, rng, samples, rungs = HALVING.replace("3}", "2}"), random.Random(seed), [1, 2, 3, 4, 5], [1, 2]
    sweep = made(task, text, seeds=1, epochs=4, points=f"space: {{level: {{grid: {samples}}}}}")
    values: dict[tuple[int, int], float] = {}
    running: list[str] = []
    idle = 0
    with sweep.writing():
        sweep.note(Opened())
        driver = Driver(sweep, stopping.make_stopper(sweep.space), slots=3)
        driver.begin()
        while True:
            while len(running) < 3 and (spec := driver.next_trial()):
                running.append(driver.start(spec))
            known = sweep.history.configurations
            training = {sweep.history.attempts[name].sample for name in running}
            if len(running) < 3:
                missing = [(s, rung) for s in samples for rung in rungs if (s, rung) not in values]
                outcomes = [
                    promoted(values | dict(zip(missing, each, strict=True)), samples, rungs)
                    for each in itertools.product((-1.0, 2.0), repeat=len(missing))
                ]
                for sample in samples:
                    if sample not in training and not sweep.complete_and_trained():
                        last = known[sample].attempts[-1]
                        assert last.end in (Status.PAUSED, Status.STOPPED, Status.FINISHED)
                        waits = last.end == Status.PAUSED
                        assert not waits or any(sample not in each[last.epoch] for each in outcomes)
                        idle += waits
            if not running:
                break
            name = rng.choice(running)
            attempt = sweep.history.attempts[name]
            epoch = attempt.epoch + 1
            value = values.setdefault((attempt.sample, epoch), rng.random())
            test = TestOutcome({}, [epoch], b"", ()) if epoch == 4 else None
            report = EpochReport(epoch, {"val_accuracy": [value]}, [0.0], done=epoch == 4, test=test)
            if not driver.report(name, report, "cpu"):
                running.remove(name)
    assert sweep.complete_and_trained()
    assert idle


def test_no_epoch_is_trained_twice_after_a_promotion(user_module: Callable[[str], str]) -> None:
    name = f"{user_module(small_task.TASK)}:Task"
    text = "space: {lr: {loguniform: [1e-3, 1e-1]}}\nsearch: {algorithm: random, samples: 6}\nepochs: 4\n"
    text += "seeds: 2\ncheckpoint_every: 1e9\nkeep: none\nstop: {scheduler: halving, reduction_factor: 2}\n"
    sweep = small_task.run(small_task.request(name, text))
    for configuration in sweep.history.configurations.values():
        trained = [each.epoch for attempt in configuration.attempts for each in attempt.epochs]
        assert trained == list(range(1, len(trained) + 1))
    assert sorted(epoch for _, epoch in went(sweep).values()) == [1, 1, 1, 2, 4, 4]
    assert list(sweep.paths.checkpoints.iterdir()) == []
    assert sweep.paths.record.read_bytes().count(b'"event":"paused"') >= 3
    # the same values as without early stopping
    whole = small_task.run(small_task.request(name, text.rpartition("stop")[0], name="whole"))
    for sample, (_, epoch) in went(sweep).items():
        one, other = (each.history.configurations[sample].epochs(1) for each in (sweep, whole))
        assert [row[:2] for row in one] == [row[:2] for row in other[:epoch]]
