"""Ray Tune as its tutorial has it: a function, a grid, one model a trial, results reported each epoch."""

from __future__ import annotations

from typing import Any

from ray import tune

from benchmarks.peers import work


def main() -> None:
    asked = work.arguments()
    path = str(asked.data.resolve())

    def trainable(config: dict[str, Any]) -> None:
        from pathlib import Path

        arrays = work.load(Path(path))
        for accuracy in work.train(arrays, config["point"], config["seed"], asked.epochs, asked.device):
            tune.report({"val_accuracy": accuracy})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": asked.gpus}),
        param_space={
            "point": tune.grid_search(asked.configs),
            "seed": tune.grid_search(list(range(asked.seeds))),
        },
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max"),
    )
    work.told(list(tuner.fit().get_dataframe()["val_accuracy"]))


if __name__ == "__main__":
    main()
