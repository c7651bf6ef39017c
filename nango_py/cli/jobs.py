"""`nango worker`: run jobs; `nango jobs`: the stored jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import (
    echo_columns,
    echo_fields,
    echo_json,
    echo_json_list,
    format_count,
    json_option,
)
from nango_py.cli.project import Project, pass_project
from nango_py.jobs.job import STATUSES
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from nango_py.client import Nango
    from nango_py.jobs.job import Job
    from nango_py.jobs.jobs import Jobs

HEADINGS = ("ID", "STATUS", "HANDLER", "INTEGRATION", "USER", "LANE", "ATTEMPTS", "RUN AT", "ERROR")


@click.command()
@click.option(
    "--app",
    "place",
    metavar="MODULE:NAME",
    help="Your Nango with its handlers.  [default: one for the files of this folder]",
)
@click.option("--concurrency", type=click.IntRange(1, 100), help="Jobs at a time.  [default: config.jobs]")
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    help="Seconds for jobs to end.",
)
@pass_project
def worker(project: Project, place: str | None, concurrency: int | None, grace: float) -> None:
    """Run the jobs of config.jobs until SIGTERM or Ctrl-C; several workers share the work.

    After the signal, running jobs have --grace seconds to end. Jobs that do not end are run again by
    another worker.

    \b
    Example:
      nango worker
      nango worker --app my_product.api:nango --concurrency 8
    """
    with _open(project, place) as nango:
        if concurrency is not None:
            nango.jobs.use_settings(replaced(nango.jobs.settings, concurrency=concurrency))
        jobs = nango.jobs
        settings = jobs.settings
        count = format_count(settings.concurrency, "job")
        lanes = ", ".join(settings.lane_names)
        click.echo(f"worker ({settings.runner}): {count} at a time, lanes {lanes}; Ctrl-C stops it", err=True)
        with _stop_on_signals(jobs):
            have_ended = jobs.runner.run(grace)
    if not have_ended:
        click.echo(f"jobs still ran after {grace:g} s; another worker runs them again", err=True)
        sys.stderr.flush()
        os._exit(FAILED)  # threads that still run would keep the process alive


@contextlib.contextmanager
def _open(project: Project, place: str | None) -> Iterator[Nango]:
    if place is None:
        with project.open() as nango:
            yield nango
        return
    path, colon, name = place.partition(":")
    if not colon or not name.isidentifier():
        raise click.UsageError("--app takes MODULE:NAME, such as my_product.api:nango")
    from nango_py.actions.modules import import_module_of
    from nango_py.client import Nango

    sys.path.insert(0, str(project.integrations.parent.absolute()))
    module, why = import_module_of(path)
    if module is None:
        raise click.UsageError(f"--app: {path or 'the module'} cannot be imported: {why}")
    found = getattr(module, name, None)
    if not isinstance(found, Nango):
        raise click.UsageError(f"{place} is not a Nango")
    with found:
        yield found


@contextlib.contextmanager
def _stop_on_signals(jobs: Jobs) -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        jobs.runner.request_stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.group()
def jobs() -> None:
    """The stored jobs: work that waits, runs or has ended.

    \b
    Example:
      nango jobs list --status dead
    """


@jobs.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only jobs of this status.")
@click.option("--integration", metavar="NAME", help="Only jobs of its connections.")
@click.option("--user", metavar="USER", help="Only jobs of this user's connections.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many at most.")
@json_option
@pass_project
def list_(
    project: Project, status: str | None, integration: str | None, user: str | None, limit: int, as_json: bool
) -> None:
    """List jobs, the newest first.

    \b
    Example:
      nango jobs list
      nango jobs list --status dead --integration klaviyo-today
    """
    with project.open() as nango:
        found = nango.jobs.find(
            status=status or "", integration=integration or "", user_id=user or "", limit=limit
        )
        if as_json:
            echo_json_list(map(_to_json, found))
        else:
            echo_columns(HEADINGS, map(_to_row, found), "no jobs")


@jobs.command()
@click.argument("job")
@json_option
@pass_project
def show(project: Project, job: str, as_json: bool) -> None:
    """Show a job with its payload, result, error and log.

    \b
    Example:
      nango jobs show 06617dfb4b331700021c733d5028
    """
    with project.open() as nango:
        found = nango.jobs.get(job)
    if as_json:
        echo_json({**_to_json(found), "payload": found.payload, "result": found.result, "log": found.log})
        return
    import json

    fields = _to_json(found)
    fields |= {name: json.dumps(getattr(found, name)) for name in ("payload", "result")}
    echo_fields(fields)
    for line in found.log:
        click.echo(f"  {line}")


@jobs.command()
@click.argument("job_ids", nargs=-1, metavar="JOB...")
@click.option("--all-dead", is_flag=True, help="All dead jobs.")
@pass_project
def retry(project: Project, job_ids: tuple[str, ...], all_dead: bool) -> None:
    """Run failed, dead or cancelled jobs again, with all their attempts.

    \b
    Example:
      nango jobs retry 06617dfb4b331700021c733d5028
      nango jobs retry --all-dead
    """
    if bool(job_ids) == all_dead:
        raise click.UsageError("expected the ids of jobs, or --all-dead")
    with project.open() as nango:
        ids = [job.id for job in nango.jobs.find(status="dead")] if all_dead else list(job_ids)
        for job_id in ids:
            found = nango.jobs.retry(job_id)
            click.echo(f"{job_id} {found.status}")


@jobs.command()
@click.argument("job_ids", nargs=-1, metavar="JOB...", required=True)
@pass_project
def cancel(project: Project, job_ids: tuple[str, ...]) -> None:
    """Cancel jobs that wait, and ask those that run to end.

    \b
    Example:
      nango jobs cancel 06617dfb4b331700021c733d5028
    """
    with project.open() as nango:
        for job_id in job_ids:
            found = nango.jobs.cancel(job_id)
            click.echo(f"{job_id} {found.status}")


def _to_row(job: Job) -> tuple[object, ...]:
    return (
        job.id, job.status, job.handler, job.integration, job.user_id, job.lane,
        f"{job.attempts}/{job.max_attempts}", job.run_at, job.error,
    )  # fmt: skip


def _to_json(job: Job) -> dict[str, object]:
    names = (
        "id", "status", "handler", "integration", "user_id", "lane", "key", "attempts", "max_attempts",
        "created_at", "run_at", "changed_at", "error",
    )  # fmt: skip
    return {name: getattr(job, name) for name in names}
