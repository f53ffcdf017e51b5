"""Commands for clusters: check a file, send a sweep, look at it, bring it home."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import RUNS_DIR, resources, space
from tune_app.cli.training import wanted

if TYPE_CHECKING:
    from tune_app.cluster.jobs import Job

_CLUSTER = click.option(
    "--cluster",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The file that the cluster was started with: ray up FILE.",
)


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


@click.command()
@space
@resources
@_CLUSTER
@click.option(
    "--storage",
    metavar="URI",
    help="Mirror the run to a path that the head has, s3://... or gs://...  [default: $TUNE_APP_STORAGE "
    "there]",
)
@click.option("--detach", is_flag=True, help="Send it, and do not wait for it.")
def submit(file: Path, detach: bool, **options: Any) -> None:
    """Train SPACE on a cluster: as tune-app run, but over there; this machine may be closed meanwhile."""
    from tune_app import storage
    from tune_app.cluster import jobs
    from tune_app.tasks import task

    asked = wanted(options)
    name = options["name"] or f"{asked.name}-{time.strftime('%m%d-%H%M%S')}"
    run: list[str] = []
    if options["data"] is not None:
        run += ["--data", jobs.mounted(file, options["data"])]
    if options["image_size"] is not None:
        run += ["--image-size", str(options["image_size"])]
    run += ["--split", options["split"]] + (["--all"] if options["everything"] else [])
    if options["time_limit_s"] is not None:
        run += ["--time-limit", f"{options['time_limit_s']:g}s"]
    if options["wait_for_gpus"]:
        run += ["--wait-for-gpus", str(options["wait_for_gpus"]), "--wait-at-most", f"{options['wait_s']:g}s"]
    if options["storage"] is not None:
        run += ["--storage", storage.there(options["storage"])]
    click.echo(f"sending {asked.name} to the cluster of {file}, as {name} ...")
    own = Path.cwd() if asked.task not in task.BUILTIN else None
    job = jobs.submit(file, name, asked.name, asked.dump(), run, own)
    if detach:
        click.echo(f"sent. Look at it: tune-app attach {name} --cluster {file}")
    else:
        _follow(file, job)


@click.command()
@click.argument("name", required=False)
@_CLUSTER
@click.option("--stop", is_flag=True, help="End it in good order, as Ctrl-C would if it ran here.")
def attach(name: str | None, file: Path, stop: bool) -> None:
    """Look at the sweep NAME, or the newest, on a cluster until it ends; Ctrl-C only leaves."""
    from tune_app.cluster import jobs

    job = jobs.find(file, name)
    click.echo(f"{job.name}: {job.status.lower()}")
    if stop and not job.over:
        jobs.stop(file, job)
    _follow(file, job)


def _follow(file: Path, job: Job) -> None:
    from tune_app.cluster import jobs

    try:
        code = jobs.follow(file, job, click.echo)
    except KeyboardInterrupt:
        click.echo(
            f"\n{job.name} goes on without you. Look at it: tune-app attach {job.name} --cluster {file}\n"
            f"  End it: tune-app attach {job.name} --cluster {file} --stop"
        )
        raise SystemExit(130) from None
    click.echo(f"Bring it home: tune-app pull {job.name} --cluster {file}")
    raise SystemExit(code)


@click.command()
@click.argument("name")
@_CLUSTER
@RUNS_DIR
def pull(name: str, file: Path, runs_dir: Path) -> None:
    """Copy the run NAME from a cluster, as it stands, into the folder of the runs here."""
    from tune_app.cluster import jobs

    folder = jobs.pull(file, name, runs_dir)
    click.echo(f"{folder}: here. See: tune-app show {folder}")


COMMANDS = (cluster, submit, attach, pull)
