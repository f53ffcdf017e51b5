"""Valid search-space files as plain values, drawn at random."""

from __future__ import annotations

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from tune_app import space
from tune_app.space.rules import COLUMNS, NAME, name_fault

#: Names as most people write them, and with the other letters that a name may have.
NAMES = (
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}|[./]{0,3}[a-z][a-c./-]{0,6}", fullmatch=True)
    | st.from_regex(NAME, fullmatch=True, alphabet=st.characters(max_codepoint=0x3000))
).filter(
    lambda name: (
        not name_fault(name, "parameter") and name.casefold() not in {*COLUMNS, "loss", "val_auc", "val_loss"}
    )
)


FLOATS = st.floats(-1e100, 1e100)


POSITIVE = st.floats(1e-100, 1e100)


INTS = st.integers(-(2**53), 2**53)


SCALARS: st.SearchStrategy[space.Value] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["null", "true", "yes", "3e-6", "1:2", "a: b", "#", "", "~", "a:b", "[", "module:name"])
)


def ascending(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def quantised(draw: st.DrawFn, least: int) -> list[float]:
    q = draw(st.sampled_from([0.1, 0.25, 1, 3.5, 1e-6]))
    low, high = sorted(draw(st.lists(st.integers(least, 1000), min_size=2, max_size=2, unique=True)))
    return [low * q, high * q, q]


#: Values of every type; with ``LABELLED``, some of them are called something.
VALUES: st.SearchStrategy[space.Value] = SCALARS | st.recursive(
    st.integers(-9, 9) | st.text("ab: ,[]{}1", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", min_size=1), inner, max_size=2),
    max_leaves=4,
).filter(lambda value: isinstance(value, list))
LISTED = st.lists(VALUES, min_size=1, max_size=4, unique_by=space.canonical)


DRAWN = (
    st.tuples(st.just("choice"), LISTED)
    | st.tuples(st.just("uniform"), ascending(FLOATS))
    | st.tuples(st.just("loguniform"), ascending(POSITIVE))
    | st.tuples(st.just("quniform"), quantised(-1000))
    | st.tuples(st.just("qloguniform"), quantised(1))
    | st.tuples(st.just("randint"), ascending(INTS))
    | st.tuples(st.just("lograndint"), ascending(st.integers(1, 2**53)))
    | st.tuples(
        st.just("qrandint"),
        ascending(INTS).flatmap(lambda b: st.just([*b, 2]) if b[1] > b[0] + 1 else st.just([0, 2, 2])),
    )
    | st.tuples(st.sampled_from(["randn", "normal"]), st.tuples(FLOATS, POSITIVE).map(list))
    | st.tuples(st.just("lognormal"), st.tuples(st.floats(-9, 9), st.floats(1e-9, 9)).map(list))
)


GRIDS = st.tuples(st.just("grid"), LISTED)


METRIC = st.fixed_dictionaries(
    {"name": st.sampled_from(["val_auc", "loss", "val_speed"]), "mode": st.sampled_from(["min", "max"])}
)


@st.composite
def stops(draw: st.DrawFn, medians: bool) -> dict[str, Any]:
    """Early stopping for 7 epochs and, with ``medians``, 4 configurations at the least."""
    scheduler = draw(st.sampled_from(["none", "asha", "hyperband", *(["median"] if medians else [])]))
    patience: dict[str, Any] = draw(st.sampled_from([{}, {"patience": 2}, {"patience": 1, "min_delta": 0.1}]))
    return {
        "scheduler": scheduler,
        "grace_period": draw(st.integers(1, 4)),
        "reduction_factor": draw(st.floats(1.5, 10) | st.integers(2, 9)),
        "min_samples_required": draw(st.integers(1, 3)),
        **({"brackets": 1} if draw(st.booleans()) else {}),
        **patience,
    }


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """A valid search-space file as plain values, of any algorithm, with conditions and exact points."""
    names = draw(st.lists(NAMES, min_size=1, max_size=7, unique_by=str.casefold))
    cut = draw(st.integers(0, len(names)))
    algorithm = draw(st.sampled_from(["grid", "random", "optuna"])) if cut else "grid"
    kinds: st.SearchStrategy[tuple[str, Any]] = {"grid": GRIDS, "random": GRIDS | DRAWN, "optuna": DRAWN}[
        algorithm
    ]
    parameters: dict[str, Any] = {}
    for name in names[:cut]:
        kind, args = draw(kinds)
        parameters[name] = {kind: args}
        if kind == "choice" and draw(st.booleans()):
            parameters[name]["p"] = [1 / len(args)] * len(args)
        others = [
            other for other, raw in parameters.items() if other != name and raw.keys() & {"grid", "choice"}
        ]
        conditional, listed = draw(st.tuples(st.booleans(), st.booleans()))
        if others and conditional:
            other = draw(st.sampled_from(others))
            values = next(iter(parameters[other].values()))
            some = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique_by=space.canonical))
            parameters[name]["when"] = {
                other: some if len(some) > 1 or listed or isinstance(some[0], list) else some[0]
            }
    assume(algorithm != "random" or any("grid" not in raw for raw in parameters.values()))
    tree: dict[str, Any] = {
        "task": draw(st.sampled_from(["pneumonia", "my.module:task"])),
        "space": parameters,
        "fixed": {name: draw(VALUES) for name in names[cut:]},
        "epochs": draw(st.integers(7, 10**3)),
        "seeds": draw(st.integers(1, 100)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "evaluate": draw(st.sampled_from(["last", "best"])),
        "metric": draw(
            METRIC | st.lists(METRIC, min_size=1, max_size=3, unique_by=lambda each: each["name"])
        ),
        "stop": draw(stops(medians=algorithm != "grid")),
        "resources": draw(
            st.sampled_from([{}, {"gpus_per_trial": 0.25}, {"max_concurrent": 3, "cpus_per_trial": 2}])
        ),
    }
    if not parameters:
        known = [name.casefold() for name in names]
        free = NAMES.map(str.casefold).filter(lambda name: name not in known)
        point = st.dictionaries(free, VALUES, max_size=3)
        tree["configs"] = draw(st.lists(point, max_size=3, unique_by=space.canonical))
    if algorithm != "grid" or draw(st.booleans()):
        tree["search"] = {
            "algorithm": algorithm,
            **({} if algorithm == "grid" else {"samples": draw(st.integers(4, 6))}),
        }
    if draw(st.booleans()):
        tree["choose"] = {"window": draw(st.integers(1, tree["epochs"]))}
    if draw(st.booleans()):
        tree["description"] = draw(st.text(st.characters(exclude_categories=["Cs"])))
    return tree
