"""Ray Tune by a user who knows it well: a class, data put into the object store once, processes re-used."""

from __future__ import annotations

import time
from typing import Any

from ray import tune

from benchmarks.peers import work


class Model(tune.Trainable):
    def setup(self, config: dict[str, Any], arrays: Any = None, epochs: int = 0) -> None:
        self._arrays, self._epochs = arrays, epochs
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._steps = iter(work.train(self._arrays, new_config["point"], new_config["seed"], self._epochs))
        return True

    def step(self) -> dict[str, Any]:
        accuracy = next(self._steps)
        return {"val_accuracy": accuracy, "done": self.training_iteration + 1 >= self._epochs}


class First(tune.Callback):
    """Says when the first result came, in seconds since 1970."""

    _said = False

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        if not self._said:
            print(f"first result at {time.time()}")
        self._said = True


def main() -> None:
    asked = work.arguments()
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(Model, arrays=work.load(asked.data), epochs=asked.epochs), {"cpu": 1}
        ),
        param_space={
            "point": tune.grid_search(asked.configs),
            "seed": tune.grid_search(list(range(asked.seeds))),
        },
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", reuse_actors=True),
        run_config=tune.RunConfig(
            callbacks=[First()], checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)
        ),
    )
    work.told(list(tuner.fit().get_dataframe()["val_accuracy"]))


if __name__ == "__main__":
    main()
