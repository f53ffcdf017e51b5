"""Where a search space is found, and the spaces that come with tune-app."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from facts import lacking
from parsing import TASK

from tune_app import space
from tune_app.errors import SpaceError

SHIPPED = ["grid", "loss", "optuna", "table3"]


def test_the_built_in_spaces() -> None:
    assert space.builtin_names() == SHIPPED
    for name in SHIPPED:
        assert space.load(name).name == name


def test_grid_is_nine_configurations_in_the_order_of_the_file() -> None:
    grid = space.load("grid")
    fixed = {"gamma": 0.4, "batch_size": 128, "loss": "bce"}
    assert grid.planned() == [
        {"lr": lr, "step_size": step, **fixed} for lr in (3e-6, 3e-5, 3e-7) for step in (4, 8, 2)
    ]
    assert list(grid.planned()[0]) == ["lr", "step_size", "gamma", "batch_size", "loss"]
    assert (grid.size(), grid.epochs, grid.seeds, grid.seed, grid.evaluate) == (9, 30, 5, 0, "last")


def test_table3_is_the_five_samples_of_the_paper() -> None:
    table = space.load("table3")
    assert [(c["lr"], c["step_size"]) for c in table.planned()] == [
        (3e-6, 4),
        (3e-5, 4),
        (3e-7, 4),
        (3e-6, 8),
        (3e-6, 2),
    ]
    assert {(c["gamma"], c["batch_size"], c["loss"]) for c in table.planned()} == {(0.4, 128, "bce")}


def test_loss_compares_the_two_losses_at_the_settings_of_the_paper() -> None:
    rest = {"lr": 3e-6, "step_size": 4, "gamma": 0.4, "batch_size": 128}
    assert space.load("loss").planned() == [{"loss": "bce", **rest}, {"loss": "ce", **rest}]


def test_optuna_plans_nothing_and_counts_its_samples() -> None:
    loaded = space.load("optuna")
    assert loaded.planned() == []
    assert (loaded.size(), loaded.search.sampler, loaded.seeds) == (50, "tpe", 3)
    assert loaded.stop.rungs(loaded.epochs) == [3, 9, 27]


class TestFinding:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def refused(self, ref: str | Path) -> str:
        with pytest.raises(SpaceError) as caught:
            space.load(ref)
        return str(caught.value)

    def test_an_unknown_name_says_where_it_looked(self) -> None:
        places = ["./grd", "./search_spaces/grd.yaml", "grid, loss, optuna, table3"]
        assert lacking(self.refused("grd"), ['"grd"', '"grid"', *places]) == []

    def test_a_near_file_is_suggested(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(TASK)
        assert '"mine.yaml"' in self.refused("mime.yaml")
        assert f": {tmp_path}/nothing.yaml, " in self.refused(tmp_path / "nothing.yaml")

    def test_a_path_a_local_name_and_a_built_in_one(self, tmp_path: Path) -> None:
        assert space.find("grid").name == "grid.yaml"
        assert len(space.load("grid").planned()) == 9
        local = tmp_path / "search_spaces"
        local.mkdir()
        (local / "grid.yml").write_text(TASK)
        assert space.find("grid") == Path("search_spaces/grid.yml")  # before the built-in one
        (local / "grid.yaml").write_text(TASK)
        assert space.find("grid") == Path("search_spaces/grid.yaml")
        (tmp_path / "grid").write_text(TASK)
        assert space.find("grid") == Path("grid")
        assert space.load("./grid").name == "grid"

    def test_a_folder_of_the_name_does_not_hide_the_space(self, tmp_path: Path) -> None:
        (tmp_path / "grid").mkdir()
        assert len(space.load("grid").planned()) == 9
        (tmp_path / "other").mkdir()
        assert lacking(self.refused("other"), ["other: ", "folder"]) == []

    @pytest.mark.parametrize("ref", ["x" * 5000, "a\x00b"])
    def test_what_can_be_no_path_is_no_space(self, ref: str) -> None:
        assert ref[:1] in self.refused(ref)

    def test_what_is_no_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "latin.yaml").write_bytes(b"task: pneumonia\ndescription: caf\xe9\n")
        assert lacking(self.refused("latin.yaml"), ["latin.yaml", "32", "0xe9", "UTF-8"]) == []

    def test_a_byte_order_mark_is_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbftask: pneumonia\r\nepochs: 3\r\n")
        assert space.load("bom.yaml").epochs == 3

    def test_an_unreadable_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "secret.yaml"
        path.write_text(TASK)
        path.chmod(0)
        if os.geteuid() == 0:  # root reads everything: let the system refuse as it would for others

            def denied(_: Path) -> bytes:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr(Path, "read_bytes", denied)
        assert lacking(self.refused("secret.yaml"), ["secret.yaml: ", "Permission denied"]) == []
