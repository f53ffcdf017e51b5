"""The paper's own figures and settings."""

from __future__ import annotations

from tune_app.report import paper


def test_every_sample_of_the_paper_is_found_by_its_settings() -> None:
    for sample in paper.SAMPLES:
        config = {"lr": sample.lr, "step_size": sample.step_size, "gamma": 0.4}
        assert paper.matches(config) is sample
        assert paper.matches(config | {"loss": "bce"}) is sample
        assert paper.matches(config | {"loss": "ce"}) is None
        assert paper.matches(config | {"step_size": float(sample.step_size)}) is sample
        assert paper.matches(config | {"lr": sample.lr * 1.01}) is None
    assert paper.matches({"step_size": 4}) is None


def test_the_published_differences_are_those_of_the_published_figures() -> None:
    assert len({sample.accuracy for sample in paper.SAMPLES}) == 5, "every pair has a sign"
