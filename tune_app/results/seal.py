"""The seal of the test set: which test figures people are shown without asking for more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from tune_app.results.frames import Frames, ranked


def sealed(frames: Frames) -> Frames:
    """The frames with the test figures that people are shown: those of the chosen configuration, at the end.

    Of a run that confirms another all are shown, at its end: which they are was decided without them. The
    other figures are NaN. The columns stay.
    """
    metrics = {name for each in frames.sweep.history.attempts.values() for name in each.test}
    ended = frames.sweep.complete_and_trained()
    if frames.unsealed or not metrics or (ended and frames.sweep.header.confirms):
        return frames
    best = ranked(frames).head(1) if ended else frames.trials.head(0)
    same = {int(number) for number in (*best["sample"], *best["twin"].dropna())}
    samples = frames.trials["sample"]
    opened = frozenset(map(int, samples[samples.isin(same) | frames.trials["twin"].isin(same)]))

    def masked(frame: pd.DataFrame) -> pd.DataFrame:
        names = {column for name in metrics for column in (name, f"{name}_mean", f"{name}_ci95")}
        names -= {*frames.parameters}
        columns = [name for name in frame if name in names]
        found = frame.copy() if columns else frame
        found.loc[~frame["sample"].isin(opened), columns] = np.nan
        return found

    values = {
        sample: {
            name: () if name in metrics and sample not in opened else each for name, each in found.items()
        }
        for sample, found in frames.values.items()
    }
    return replace(
        frames,
        trials=masked(frames.trials),
        seeds=masked(frames.seeds),
        curves=masked(frames.curves),
        values=values,
        opened=opened,
        unsealed=frames,
    )
