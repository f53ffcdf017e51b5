"""Commands for clusters: check a file, send a sweep, look at it, bring it home."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def cluster() -> None:
    """Check the file of a cluster, before anything is started."""


@cluster.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_cluster(file: Path) -> None:
    """Find what is wrong with FILE, for ray up or KubeRay, offline: typos, versions, open doors, costs."""
    from tune_app import cluster as clusters

    problems = clusters.check(file)
    click.echo(clusters.render(file, problems))
    raise SystemExit(2 if any(not problem.warning for problem in problems) else 0)


COMMANDS = (cluster,)
