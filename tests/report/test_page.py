"""The page of runs in every state, its Markdown and its pictures."""

from __future__ import annotations

import base64
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from edge_cases import CASES, LONG
from markdown_it import MarkdownIt
from pages import Make, Written, says

TEST_SCORES = {"confusion", "roc"}


SEARCH = {"history", "slice", "parallel"}


#: The figures that each case has.
EXPECTED = {
    "finished": {"intervals", "curves", "panels", "heatmap", "importance"} | TEST_SCORES | SEARCH,
    "phantom": {"intervals", "curves", "panels", "heatmap", "importance"} | TEST_SCORES | SEARCH,
    "running": {"intervals", "curves", "panels", "heatmap", "history", "slice"},
    "one_trial": {"intervals"} | TEST_SCORES,  # of one epoch
    "one_seed": {"intervals", "curves", "panels", "heatmap", "importance"} | TEST_SCORES | SEARCH,
    "all_failed": set(),
    "nothing": set(),
    "forty": {"intervals", "curves", "panels", "importance"} | TEST_SCORES | SEARCH,
    "stopped": {"intervals", "curves", "panels", "heatmap", "rungs"} | TEST_SCORES | SEARCH,
    "waiting": {"curves", "rungs"},
    "function_task": {"intervals", "curves", "panels", "heatmap", "importance"} | SEARCH,
    "awkward": {"intervals", "curves", "panels", "heatmap", "importance"} | SEARCH,
    "conditional": {"intervals", "curves", "panels", "heatmap", "importance"} | SEARCH,
    "enormous": {"intervals", "curves", "panels", "history", "slice"},
    "beyond": {"intervals", "curves", "panels", "heatmap"} | SEARCH,
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The report of a case, written once."""

    @cache
    def made(name: str) -> Written:
        folder = tmp_path_factory.mktemp(name)
        return Written(CASES[name](folder), folder / "report")

    return made


@pytest.fixture(params=CASES)
def written(request: pytest.FixtureRequest, make: Make) -> tuple[str, Written]:
    name = str(request.param)
    return name, make(name)


def test_every_run_has_a_page_that_needs_nothing_but_itself(written: tuple[str, Written]) -> None:
    _, made = written
    assert made.html.startswith("<!DOCTYPE html>\n<html lang=")
    assert "default-src 'none'" in made.html
    assert next(made.page.all("meta"))[1]["charset"] == "utf-8"
    assert [a for _, a in made.page.all("meta") if a.get("name") == "viewport"]
    for tag, attributes in made.page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/svg+xml;base64,"))  # type: ignore[union-attr]
    assert "url(" not in made.html.split("</style>")[0]


def test_headings_pictures_and_tables_can_be_read_without_eyes(written: tuple[str, Written]) -> None:
    _, made = written
    levels = [int(tag[1]) for tag, _ in made.page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for _, attributes in made.page.all("img"):
        assert len(attributes["alt"] or "") > 20
        assert base64.b64decode(str(attributes["src"]).split(",")[1]).startswith(b"<?xml")
    for _, attributes in made.page.all("th"):
        assert attributes["scope"] in ("col", "row")
    ids = [attributes["id"] for _, attributes in made.page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for _, a in made.page.all("a")}
    assert targets <= set(ids)


def test_a_run_has_the_figures_that_it_can_have_and_says_why_it_lacks_others(
    written: tuple[str, Written],
) -> None:
    name, made = written
    stems = {Path(file).stem for file in made.files if file.startswith("figures/")}
    kinds = {re.sub(r"^(panels|heatmap)_.*", r"\1", stem) for stem in stems}
    assert kinds == EXPECTED[name]
    assert all(f"figures/{stem}.{ending}" in made.files for stem in stems for ending in ("svg", "png"))
    assert len(list(made.page.all("img"))) == len(stems)
    for kind in set(report_kinds()) - kinds:
        assert re.search(rf"\b{kind}: \w+", made.page.text), kind


def report_kinds() -> list[str]:
    from tune_app.report.figures import KINDS

    return list(KINDS)


def test_the_data_stands_on_the_page_on_each_table_and_picture(written: tuple[str, Written]) -> None:
    _, made = written
    label = made.frames.sweep.data.label()
    captions = len(list(made.page.all("caption")))
    assert captions >= 2
    assert made.page.text.count(" ".join(label.split())) >= captions + 1
    assert made.frames.sweep.data.fingerprint in made.page.text
    assert made.frames.sweep.data.fingerprint in made.markdown


def test_the_markdown_shows_the_same(written: tuple[str, Written]) -> None:
    _, made = written
    tokens = MarkdownIt("commonmark").enable("table").parse(made.markdown)
    images = [child for token in tokens for child in token.children or [] if child.type == "image"]
    assert len(images) == len(list(made.page.all("img")))
    assert all(str(image.attrs["src"]) in made.files for image in images)
    headings = re.findall(r"^## (.+)$", made.markdown, re.MULTILINE)
    assert len(set(headings) & set(made.headings)) >= 4
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    assert levels.count(1) == 1


def test_the_verdict_has_three_sentences(make: Make) -> None:
    text = make("finished").page.text
    chosen = ("lr 3e-6, step_size 8 (sample 3)", "64.9% ± 4.9", "3 seeds", "95%")
    assert says(text, "validation accuracy", *chosen, "5", "3 seeds", "61.7% ± 0.0", "± 6.9", "patients")


def test_a_run_that_goes_on_says_so(make: Make) -> None:
    text = make("running").page.text
    assert says(text, "not ended", "1 running", "3 planned")
    assert says(text, "validation accuracy", "2 finished", "6 configurations")
    assert "running at epoch 2" in text


def test_one_seed_has_no_interval_and_says_why(make: Make) -> None:
    text = make("one_seed").page.text
    assert says(text, "1 seed", "no interval")
    assert says(text, "nterval", "two")


def test_nothing_finished_is_told_with_what_failed(make: Make) -> None:
    text = make("all_failed").page.text
    assert "6 failed" in text
    assert says(text, "ample 1", "epoch 1", "RuntimeError: boom")
    assert re.search(r"\b3 \w+ configurations", text)
    assert "failed at epoch 1" in text


def test_one_trial_is_compared_with_nothing(make: Make) -> None:
    text = make("one_trial").page.text
    assert says(text, "lr 3e-6, step_size 4 (sample 1)", "54.4% (", "only")


def test_phantoms_are_never_beside_the_paper(make: Make) -> None:
    made = make("phantom")
    assert says(made.page.text, "Phantom images", "X-rays")
    for text in (made.page.text, made.markdown):
        assert not any(figure in text for figure in ("80.25", "74.75", "75.25", "82.25", "published"))


def test_more_configurations_than_a_figure_holds_are_selected_and_it_says_which(make: Make) -> None:
    text = make("forty").page.text
    assert says(text, "40 of 45 configurations", "validation accuracy")
    assert says(text, "20 of 45 configurations", "validation accuracy")
    assert says(text, "40 of 45 rows", "results.csv")
    assert says(text, "45 configurations", "hint")


def test_names_of_sixty_letters_and_other_scripts_stay_whole_on_the_page(make: Make) -> None:
    made = make("function_task")
    assert LONG in made.page.text
    assert "größer $x$" in made.page.text
    assert "中文" in made.page.text
    assert "no data" in made.page.text
    assert "no test metric" in made.page.text


def test_a_name_cannot_break_out_of_the_page(make: Make) -> None:
    made = make("finished")
    assert "röntgen $5 & <b>" in made.page.text
    assert "<b>" not in made.html
    svg = made.files["figures/curves.svg"].read_text(encoding="utf-8")
    assert "<b>" not in svg


def test_early_stopping_is_told(make: Make) -> None:
    text = make("stopped").page.text
    assert says(text, "asha", "1 and 3", "3 of 6")
    alts = [str(a["alt"]) for _, a in make("stopped").page.all("img")]
    assert any(says(alt, "6", "4", "epoch 1", "3", "epoch 3") for alt in alts)
