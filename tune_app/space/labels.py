"""How parameters are written for people, so that two configurations are never called the same.

A value is as in a search-space file, numbers to four digits. Where two values of a parameter would read
alike, each gets as many digits or letters more as it takes. A text that would read as something else, such as
``"null"`` or ``"1"``, stands in quotes; a parameter that does not exist is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from tune_app.space.scalars import Scalar, canonical, quote
from tune_app.stats.arithmetic import significant

Config = Mapping[str, Scalar]

#: Letters of a text in a terminal.
SHORT = 24

_DIGITS = 4

#: Whole floats below this are written as whole numbers, others as 1e6.
_WHOLE = 1e6

_RESERVED = ("", "-", "–", "~", "null", "true", "false")


def text(value: Scalar, digits: int = _DIGITS) -> str:
    """One value by itself.

    >>> text(0.00003), text(4.0), text(True), text(None), text("bce"), text("null"), text("a, b")
    ('3e-5', '4', 'true', 'null', 'bce', '"null"', '"a, b"')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < _WHOLE
        return str(int(value)) if whole else significant(value, digits)
    return str(value) if isinstance(value, int) or _is_plain(value) else quote(value)


def _is_plain(letters: str) -> bool:
    """Whether a text reads as itself between others: no number, no separator, no space that is not seen."""
    if letters.lower() in _RESERVED or not letters.isprintable() or " ".join(letters.split()) != letters:
        return False
    return not set(letters) & set(',;"') and not _is_number(letters)


def _is_number(letters: str) -> bool:
    try:
        float(letters)
    except ValueError:
        return False
    return True


def cut(letters: str, most: int | None) -> str:
    """A text without its end where it has more than ``most`` letters."""
    return letters if most is None or len(letters) <= most else f"{letters[: most - 3]}..."


def distinct(values: Iterable[Scalar], most: int | None = None) -> dict[str, str]:
    """A text for each value, by its ``canonical`` form: different ones for different values.

    Args:
        values: of one parameter; the same may come more than once.
        most: texts are cut to so many letters, as far as they stay different; None for no limit.
    """
    known = {canonical(value): value for value in values}
    finer = dict.fromkeys(known, 0)
    while True:
        found = {key: _finer(known[key], most, steps) for key, steps in finer.items()}
        times = Counter(found.values())
        alike = [key for key, letters in found.items() if times[letters] > 1]
        if not alike:
            return found
        for key in alike:
            finer[key] += 1


def texts(values: Sequence[Scalar]) -> list[str]:
    """A text for each of these values of one parameter, in their order: alike only where the values are."""
    found = distinct(values)
    return [found[canonical(value)] for value in values]


@lru_cache(maxsize=1 << 16, typed=True)
def _finer(value: Scalar, most: int | None, steps: int) -> str:
    """With more digits and letters at each step; after enough of them it is exact."""
    letters = text(value, min(17, _DIGITS + steps))
    return letters if isinstance(value, int | float) else cut(letters, most and most << steps)


class Labels:
    """What the configurations of a sweep, and the values in them, are called.

    Args:
        configs: all of them; more may be added.
        most: longer texts are cut to so many letters, as far as they stay different; None for no limit.
    """

    def __init__(self, configs: Iterable[Config] = (), most: int | None = None) -> None:
        self._most = most
        self._values: dict[str, dict[str, Scalar]] = {}
        self._texts: dict[str, dict[str, str]] = {}
        for config in configs:
            self.add(config)

    def add(self, config: Config) -> None:
        """Take in one more configuration; what others are called may get longer."""
        for name, value in config.items():
            known, key = self._values.setdefault(name, {}), canonical(value)
            if key not in known:
                known[key] = value
                self._texts.pop(name, None)

    def value(self, name: str, value: Scalar) -> str:
        """A value of a parameter; one that no configuration has is written as by itself."""
        return self.values(name).get(canonical(value)) or text(value)

    def values(self, name: str) -> Mapping[str, str]:
        """The texts of all values of a parameter, by their ``canonical`` forms, as they came."""
        if name not in self._texts:
            self._texts[name] = distinct(self._values.get(name, {}).values(), self._most)
        return self._texts[name]

    def point(self, config: Config, names: Iterable[str], between: str = ", ") -> str:
        """The named parameters that exist in a configuration: ``lr 3e-5, step_size 4``."""
        return between.join(f"{name} {self.value(name, config[name])}" for name in names if name in config)
