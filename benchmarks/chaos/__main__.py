"""``python -m benchmarks.chaos PART [OPTION...]``: try to break sweeps, and count what did not hold.

Each part is a module of this package with a function ``main(argv)``, which prints its figures and returns
how many cases broke a rule.
"""

from __future__ import annotations

import sys
from importlib import import_module

#: What each part tries.
PARTS = {
    "kills": "sweeps killed -9 at their writes, and on Ray drivers, workers and raylets",
    "damage": "bits flipped, and lines dropped, doubled or swapped, in the files of runs",
    "ends": "disks that are full, Ray's servers that die, terminals that go away",
    "moved": "run folders moved, removed, swapped, or robbed of their lock while they train",
    "strangers": "run folders and model files that a stranger has made up",
}


def main(argv: list[str]) -> int:
    """Run one part; returns 1 where a case broke a rule, 2 if there is no such part."""
    if not argv or argv[0] not in PARTS:
        print(__doc__)
        print("\n".join(f"  {part:10} {what}" for part, what in PARTS.items()))
        return 2 * (argv not in (["-h"], ["--help"]))
    broken: int = import_module(f"benchmarks.chaos.{argv[0]}").main(argv[1:])
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
