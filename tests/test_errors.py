"""Errors as users are told them."""

from __future__ import annotations

import errno

import pytest

from tune_app import errors
from tune_app.errors import DiskError, Interrupted, TuneAppError


@pytest.mark.parametrize(
    ("word", "guess"), [("loguniforn", "loguniform"), ("UNIFORM", "uniform"), ("zzz", "")]
)
def test_the_nearest_known_word_is_suggested(word: str, guess: str) -> None:
    known = ["uniform", "loguniform"]
    assert errors.closest(word, known) == guess
    assert errors.nearest(word, known) == (f' Did you mean "{guess}"?' if guess else "")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 600), f"ValueError: {'x' * 500}..."),
        (ValueError("caf\udce9"), "ValueError: caf\\udce9"),
        (Mute(), "Mute (its message cannot be shown: its __str__ raises)"),
    ],
)
def test_an_error_is_described_in_one_line(error: Exception, line: str) -> None:
    assert errors.describe(error) == line


def test_the_line_of_the_users_own_code_is_found() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 // 0
    line = caught.tb.tb_lineno
    assert errors.own_line(caught.value) == f"{__file__}:{line}"
    assert errors.own_line(ValueError()) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_refusal_of_the_disk_names_the_file(number: int) -> None:
    found = errors.as_disk_error(OSError(number, "no", "a/file"))
    assert isinstance(found, DiskError)
    assert str(found).startswith("a/file: ")
    assert errors.as_disk_error(found) is found
    assert str(errors.as_disk_error(OSError(number, "no"), "b")).startswith("b: ")
    assert errors.disk_is_full(OSError(number, "no")) == (number == errno.ENOSPC)


def test_another_error_is_no_refusal_of_the_disk() -> None:
    assert errors.as_disk_error(OSError(errno.ENOENT, "no", "x")) is None
    assert errors.as_disk_error(ValueError()) is None


def test_every_error_of_the_user_has_an_exit_code() -> None:
    def below(kind: type[TuneAppError]) -> set[type[TuneAppError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    own = {kind for kind in below(TuneAppError) if kind.__module__ == errors.__name__}
    assert {kind.exit_code for kind in own} == {1, 2}
    assert Interrupted("ended", 143).exit_code == 143
