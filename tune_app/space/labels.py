"""Labels of parameter values and configurations for people: different values have different labels.

A value is written as in a search-space file, numbers to four digits. Values of a parameter whose labels would
be equal get more digits or letters. A text that looks like another type, such as ``"null"`` or ``"1"``, is
quoted; a parameter that does not exist in a configuration is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from tune_app.space.scalars import Config, Value, canonical, literal, quote
from tune_app.stats.arithmetic import to_digits

#: The longest label in a terminal, in letters.
SHORT = 24

_DIGITS = 4

#: The step at which a label is as exact as in a file.
_EXACT = 40

#: Whole floats below this are written as whole numbers, others as 1e6.
_WHOLE = 1e6

_RESERVED = ("", "-", "–", "~", "null", "true", "false")


def text(value: Value, digits: int = _DIGITS) -> str:
    """The label of one value, that the file gives no label.

    >>> text(0.00003), text(4.0), text(True), text(None), text("bce"), text("null"), text("a, b")
    ('3e-5', '4', 'true', 'null', 'bce', '"null"', '"a, b"')
    >>> text([32, {"lr": 0.00003}])
    '[32, {lr: 3e-5}]'
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(_inner(each, digits) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_inner(key, 0)}: {_inner(each, digits)}' for key, each in value.items())}}}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < _WHOLE
        return str(int(value)) if whole else to_digits(value, digits)
    return str(value) if isinstance(value, int) or _is_plain(value) else quote(value)


def _inner(value: Value, digits: int) -> str:
    """The label of a value within another one."""
    return literal(value, bare=True) if isinstance(value, str) else text(value, digits)


def _is_plain(letters: str) -> bool:
    """Whether a text needs no quotes: it is no number, and has no separators or invisible spaces."""
    if letters.lower() in _RESERVED or not letters.isprintable() or " ".join(letters.split()) != letters:
        return False
    try:
        float(letters)
    except ValueError:
        return not set(letters) & set(',;"')
    return False


def distinct(
    values: Iterable[Value], most: int | None = None, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The label of each value of a parameter, by its ``canonical`` form; ``given`` are those of the file.

    Labels are shortened to ``most`` letters if they stay different; None for no limit.
    """
    known = {canonical(value): value for value in values}
    named = {key: (given or {}).get(key, value) for key, value in known.items()}
    times = Counter(name for name in named.values() if isinstance(name, str))
    known |= {key: name for key, name in named.items() if isinstance(name, str) and times[name] == 1}
    steps = dict.fromkeys(known, 0)
    while True:
        found = {key: _finer(value, most, steps[key]) for key, value in known.items()}
        times = Counter(found.values())
        alike = [key for key, letters in found.items() if times[letters] > 1]
        if not alike:
            return found
        for key in alike:
            steps[key] += 1


def texts(values: Sequence[Value]) -> list[str]:
    """The labels of these values of one parameter, in their order: equal only for equal values."""
    found = distinct(values)
    return [found[canonical(value)] for value in values]


def _finer(value: Value, most: int | None, steps: int) -> str:
    """The label with more digits and letters at each step, until it is exact."""
    if isinstance(value, list | tuple | dict):  # has no hash
        return _written(value, most, steps)
    return _cached(value, most, steps)


def _written(value: Value, most: int | None, steps: int) -> str:
    # a text and a list may look alike however exact they are
    letters = text(value, min(17, _DIGITS + steps)) if steps < _EXACT else literal(value)
    most = most and most << steps
    if most is None or isinstance(value, int | float) or len(letters) <= most:
        return letters
    return f"{letters[: most - 3]}..."


_cached = lru_cache(maxsize=1 << 16, typed=True)(_written)


class Labels:
    """Labels for the configurations of a sweep and for the values in them, shortened as in `distinct`.

    ``given`` are the labels in the sweep's file, by parameter.
    """

    def __init__(
        self,
        configs: Iterable[Config] = (),
        most: int | None = None,
        given: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._most, self._given = most, given or {}
        self._values: dict[str, dict[str, Value]] = {}
        self._texts: dict[str, dict[str, str]] = {}
        for config in configs:
            self.add(config)

    def add(self, config: Config) -> None:
        """Add a configuration; the labels of others may get longer."""
        for name, value in config.items():
            known, key = self._values.setdefault(name, {}), canonical(value)
            if key not in known:
                known[key] = value
                self._texts.pop(name, None)

    def value(self, name: str, value: Value) -> str:
        """The label of a value of a parameter, also of a value that no configuration has."""
        return self.values(name).get(canonical(value)) or text(value)

    def values(self, name: str) -> Mapping[str, str]:
        """The labels of all values of a parameter, by their ``canonical`` forms, in order of addition."""
        if name not in self._texts:
            values = self._values.get(name, {}).values()
            self._texts[name] = distinct(values, self._most, self._given.get(name))
        return self._texts[name]

    def point(self, config: Config, names: Iterable[str], between: str = ", ") -> str:
        """The label of a configuration by its named parameters: ``lr 3e-5, step_size 4``."""
        return between.join(f"{name} {self.value(name, config[name])}" for name in names if name in config)
