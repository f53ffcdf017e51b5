"""What a task of your own imports: ``from tune_app.task import Labelled, Splits``."""

from __future__ import annotations

from tune_app.tasks.task import Labelled, Splits, Task

__all__ = ["Labelled", "Splits", "Task"]
