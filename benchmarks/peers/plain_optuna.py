"""Optuna as its tutorial has it: an objective, a grid sampler, one model a trial, one after the other."""

from __future__ import annotations

import optuna

from benchmarks.peers import work


def main() -> None:
    asked = work.arguments()
    arrays = work.load(asked.data)
    accuracies: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        point = asked.configs[trial.suggest_int("point", 0, len(asked.configs) - 1)]
        seed = trial.suggest_int("seed", 0, asked.seeds - 1)
        for epoch, accuracy in enumerate(work.train(arrays, point, seed, asked.epochs)):
            trial.report(accuracy, epoch)
        accuracies.append(accuracy)
        return accuracy

    grid = {"point": list(range(len(asked.configs))), "seed": list(range(asked.seeds))}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(grid))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(objective, n_trials=len(asked.models()))
    work.told(accuracies)


if __name__ == "__main__":
    main()
