"""A trial whose task raises or prints: a failure comes back, and the output is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from specs import make_spec

from tune_app.tasks import task
from tune_app.training.protocol import EpochReport, Failure
from tune_app.training.trial import GuardedTrial, Worker

UserModule = Callable[[str], str]

TASK = """
    def train(config, context):
        for epoch in (1, 2):
            print("epoch", epoch)
            if config["fails"] == epoch:
                raise config["kind"]("no luck")
            yield {"val_accuracy": 1.0}
"""


def guarded(
    name: str, fails: int, output: Path | str = "", kind: type[BaseException] = ValueError
) -> GuardedTrial:
    task.load(f"{name}:train")
    config = {"fails": fails, "kind": kind}
    spec = make_spec(config, task=f"{name}:train", epochs=2, output=str(output))  # type: ignore[arg-type]
    return GuardedTrial(spec, lambda: Worker(None, "cpu"))


def test_output_travels_in_the_reports_without_a_file(user_module: UserModule) -> None:
    trial = guarded(user_module(TASK), fails=0)
    first, second = trial.step(), trial.step()
    trial.close()
    assert isinstance(second, EpochReport)
    assert second.done
    assert [first.output.strip(), second.output.strip()] == ["epoch 1", "epoch 2"]


def test_output_goes_to_its_file(user_module: UserModule, tmp_path: Path) -> None:
    output = tmp_path / "logs/1.out"
    output.parent.mkdir()
    trial = guarded(user_module(TASK), 0, output)
    assert [trial.step().output, trial.step().output] == ["", ""]
    trial.close()
    assert output.read_text() == "epoch 1\nepoch 2\n"


def test_what_the_task_raises_is_a_failure(user_module: UserModule) -> None:
    name = user_module(TASK)
    for kind in (ValueError, KeyboardInterrupt):
        trial = guarded(name, 2, kind=kind)
        assert isinstance(trial.step(), EpochReport)
        failure = trial.step()
        trial.close()
        assert isinstance(failure, Failure)
        assert kind.__name__ in failure.reason
        assert failure.output == "epoch 2\n"


def test_a_worker_that_cannot_be_made_is_a_failure() -> None:
    def made() -> Worker:
        raise RuntimeError("no device")

    trial = GuardedTrial(make_spec({}), made)
    failure = trial.step()
    trial.close()
    assert isinstance(failure, Failure)
    assert failure.reason == "RuntimeError: no device"
