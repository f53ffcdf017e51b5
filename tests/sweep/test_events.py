from __future__ import annotations

from typing import get_args

from tune_app.sweep.events import Event


def test_an_event_has_the_name_of_its_class() -> None:
    kinds = {kind.__struct_config__.tag for kind in get_args(Event)}
    public = {"created", "opened", "planned", "started", "epoch", "decision", "checkpoint", "diverged"}
    assert public | {"paused", "promoted", "finished", "stopped", "failed", "extended"} <= kinds
