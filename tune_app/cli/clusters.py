"""Commands for clusters: check a cluster file, submit a sweep, follow it, copy its run here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import OF_RESOURCES, OF_SPACE, cli, command, option, requested_space, say

if TYPE_CHECKING:
    from tune_app.cluster.jobs import Job


@cli.group()
def cluster() -> None:
    """Check a cluster file before anything is started."""


@command("FILE", of=cluster, name="check")
def check_cluster(file: Path) -> None:
    """Check FILE, for ray up or KubeRay, without a network: typos, versions, open ports, costs."""
    from tune_app import cluster as clusters

    problems = clusters.check(file)
    say(clusters.render(file, problems))
    raise SystemExit(2 if any(not problem.warning for problem in problems) else 0)


@command(
    *OF_SPACE,
    *OF_RESOURCES,
    "--cluster",
    option(
        "--storage",
        "Mirror the run to a path on the head node, s3://... or gs://...  [default: $TUNE_APP_STORAGE "
        "of the head node]",
        metavar="URI",
    ),
    option("--detach", "Return at once instead of following the sweep.", is_flag=True),
)
def submit(file: Path, detach: bool, **options: Any) -> None:
    """Train SPACE on a cluster, as tune-app run does there. This machine may be switched off meanwhile."""
    from tune_app import storage
    from tune_app.cluster import jobs
    from tune_app.tasks import task

    asked = requested_space(options)
    name = options["name"] or f"{asked.name}-{time.strftime('%m%d-%H%M%S')}"
    data, limit_s, gpus, place = (
        options[key] for key in ("data", "time_limit_s", "wait_for_gpus", "storage")
    )
    given = {
        "--data": data and jobs.mounted(file, data),
        "--image-size": options["image_size"],
        "--split": options["split"],
        "--time-limit": limit_s and f"{limit_s:g}s",
        "--wait-for-gpus": gpus or None,
        "--wait-at-most": f"{options['wait_s']:g}s" if gpus else None,
        "--storage": place and storage.remote_uri(place),
    }
    run = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    run += ["--all"] if options["everything"] else []
    say(f"sending {asked.name} to the cluster of {file}, as {name} ...")
    own = Path.cwd() if asked.task not in task.BUILTIN else None
    job = jobs.submit(file, name, asked.name, asked.dump(), run, own)
    if detach:
        say(f"sent. To follow it: tune-app attach {name} --cluster {file}")
    else:
        _follow(file, job)


@command(
    click.argument("name", required=False),
    "--cluster",
    option(
        "--stop", "Stop the sweep, as Ctrl-C would if it ran here; what is trained is kept.", is_flag=True
    ),
)
def attach(name: str | None, file: Path, stop: bool) -> None:
    """Follow the sweep NAME, or the newest, on a cluster until it ends. Ctrl-C does not stop the sweep."""
    from tune_app.cluster import jobs

    job = jobs.find(file, name)
    say(f"{job.name}: {job.status.lower()}")
    if stop and not job.over:
        jobs.stop(file, job)
    _follow(file, job)


def _follow(file: Path, job: Job) -> None:
    from tune_app.cluster import jobs

    try:
        code = jobs.follow(file, job, click.echo)
    except KeyboardInterrupt:
        say(
            f"\n{job.name} continues. To follow it again: tune-app attach {job.name} --cluster {file}\n"
            f"  To stop it: tune-app attach {job.name} --cluster {file} --stop"
        )
        raise SystemExit(130) from None
    say(f"To copy the run here: tune-app pull {job.name} --cluster {file}")
    raise SystemExit(code)


@command(click.argument("name"), "--cluster", "--runs-dir")
def pull(name: str, file: Path, runs_dir: Path) -> None:
    """Copy the run NAME from a cluster to this machine."""
    from tune_app.cluster import jobs

    folder = jobs.pull(file, name, runs_dir)
    say(f"copied to {folder}. To see it: tune-app show {folder}")
