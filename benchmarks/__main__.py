"""Tune-app against its peers, as ``benchmarks.speed`` measures it (``make bench``)."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path

from benchmarks import speed


def programs() -> dict[str, str]:
    """The modules that one can run, and what each measures."""
    found = {}
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("[!_]*.py"), *folder.glob("*/__main__.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.stem != "__main__" and '__name__ == "__main__"' not in ast.unparse(tree).replace("'", '"'):
            continue
        module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        found[module.removesuffix(".__main__")] = (ast.get_docstring(tree) or "").splitlines()[0]
    return found


def main(argv: Sequence[str] | None = None) -> None:
    width = max(map(len, programs()))
    listed = "\n".join(f"  python -m {name:<{width}}  {told}" for name, told in programs().items())
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"all benchmarks:\n{listed}",
        formatter_class=form,
    )
    parser.parse_args(argv)
    for what in ("startup", "grid", "table3"):
        speed.main([what])


if __name__ == "__main__":
    main()
