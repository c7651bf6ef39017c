"""`nango plan` and `nango call`: one request, shown or sent."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli import arguments
from nango_py.cli.output import echo_error
from nango_py.cli.project import Project, declared, pass_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.engine.executor import Executor
    from nango_py.engine.plan import Plan
    from nango_py.transport.response import Response

FAILED_FROM = 400
FORM = "application/x-www-form-urlencoded"


FROM = "@FILE, or - for standard input"
REQUEST_OPTIONS = (
    click.argument("integration"),
    click.argument("user"),
    click.argument("method"),
    click.argument("path"),
    click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A query parameter."),
    click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header."),
    click.option("--json", "--json-body", "json_body", metavar="JSON", help=f"A JSON body, {FROM}."),
    click.option("--data", metavar="TEXT", help=f"A body as it is: text (a form), {FROM}."),
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments and options that describe one request."""
    for option in reversed(REQUEST_OPTIONS):
        command = option(command)
    return command


@click.command()
@request_options
@click.option("--example", is_flag=True, help="Use made-up credentials; USER needs no connection.")
@click.option("--config", metavar="JSON", help="additional_config of the made-up connection, with --example.")
@pass_project
def plan(
    project: Project,
    /,
    integration: str,
    user: str,
    method: str,
    path: str,
    example: bool,
    config: str | None,
    **body: Any,
) -> None:
    """Print the request that a call would send, with credentials masked. Nothing is sent.

    \b
    Example:
      nango plan klaviyo-today user-1 GET profiles -p 'page[size]=50'
      nango plan klaviyo-today anyone POST profiles --example --json '{"data": {}}'
    """
    settings = arguments.json_option(config, "--config")
    if settings is not None and not example:
        raise click.UsageError("--config goes with --example; a stored connection has its own")
    options = _options(**body)
    with _executor(project, integration, user, example=example, settings=settings) as executor:
        click.echo(str(executor.plan(method, path, **options)))


@click.command()
@request_options
@click.option("--include", is_flag=True, help="Print the status line and the headers before the body.")
@click.option(
    "--explain", is_flag=True, help="Tell on standard error what each attempt brought and which rule decided."
)
@click.option(
    "--curl", is_flag=True, help="Print the same call for curl, credentials masked; nothing is sent."
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="For everything, waits included.",
)
@pass_project
def call(
    project: Project,
    /,
    integration: str,
    user: str,
    method: str,
    path: str,
    include: bool,
    explain: bool,
    curl: bool,
    deadline: float | None,
    **body: Any,
) -> None:
    """Make a call and print the body of the response.

    METHOD is any HTTP method; PATH is below the base URL of the blueprint. The exit code is 1 when the call
    failed or was answered with a status of 400 or above.

    \b
    Example:
      nango call klaviyo-today user-1 GET profiles -p 'page[size]=50' --explain
      nango call klaviyo-today user-1 POST profiles --json @profile.json
      nango call klaviyo-today user-1 GET metrics --curl
    """
    options = _options(**body)
    with _executor(project, integration, user) as executor:
        if curl:
            click.echo(curl_line(executor.plan(method, path, **options)))
            return
        try:
            response = executor.request(method, path, deadline_seconds=deadline, **options)
        finally:
            if explain:
                click.echo(executor.explain(), err=True)
        _print(response, include=include)
    if response.status_code >= FAILED_FROM:
        hint = f"; {response.hint}" if response.hint else ""
        echo_error(
            f"{integration} {method.upper()} {path.partition('?')[0]}: status {response.status_code}{hint}"
        )
        raise click.exceptions.Exit(1)


def curl_line(plan: Plan) -> str:
    """The curl command for a plan; where it shows `***`, the credential goes."""
    words = ["curl", "--compressed", "-X", plan.method, plan.masked_url()]
    for name, value in plan.masked_headers().items():
        if name.lower() != "accept-encoding":  # --compressed sends it, and unpacks the response
            words += ["-H", f"{name}: {value}"]
    if isinstance(plan.body, bytes):
        from nango_py.secret import masked

        words += ["--data-binary", masked(plan.body.decode("utf-8", "replace"), plan.stamp.secrets)]
    return shlex.join(words)


def _options(
    params: tuple[str, ...], headers: tuple[str, ...], json_body: str | None, data: str | None
) -> dict[str, Any]:
    """The options of `executor.request`."""
    options: dict[str, Any] = {"params": arguments.pairs(params), "headers": arguments.headers(headers)}
    if json_body is not None and data is not None:
        raise click.UsageError("give --json or --data, not both")
    if json_body is not None:
        options["json"] = arguments.json_value(arguments.bytes_option(json_body), "--json")
    if data is not None:
        is_file = data.startswith("@") or data == "-"
        options["data"] = arguments.bytes_option(data)
        if not is_file and "content-type" not in map(str.lower, options["headers"]):
            options["headers"]["Content-Type"] = FORM  # as curl does
    return options


@contextmanager
def _executor(
    project: Project,
    integration: str,
    user: str,
    *,
    example: bool = False,
    settings: dict[str, Any] | None = None,
) -> Iterator[Executor]:
    """The executor of a stored connection, or of a made-up one that is gone afterwards."""
    if not example:
        with project.calling() as nango:
            yield nango.executor(integration, user)
        return
    from nango_py.connections.keys import generate_key
    from nango_py.registry import AUTH_MODES

    with project.open(database_url="sqlite:///:memory:", encryption_keys=[generate_key().reveal()]) as nango:
        mode = AUTH_MODES.get(declared(nango, integration).auth_mode)
        nango.register_connection(integration, user, mode.example_credentials, settings)
        yield nango.executor(integration, user)


def _print(response: Response, *, include: bool) -> None:
    if include:
        click.echo(f"HTTP {response.status_code} {response.reason}")
        for name, value in response.headers.items():
            click.echo(f"{name}: {value}")
        click.echo()
    sys.stdout.flush()
    click.echo(response.content, nl=False)
    if response.content and not response.content.endswith(b"\n") and sys.stdout.isatty():
        click.echo()
