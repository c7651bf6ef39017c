"""`nango plan` and `nango call`: show or send one request."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from nango_py.cli import arguments
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.listing import ListArguments, check_options, list_options, write_list
from nango_py.cli.output import echo_error, format_json, is_terminal, mask_bytes, mask_for
from nango_py.cli.project import Project, find_integration, pass_project
from nango_py.cli.waiting import WaitingLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.config.model import Integration
    from nango_py.engine.executor import Executor
    from nango_py.engine.plan import Plan
    from nango_py.json_types import JsonObject
    from nango_py.transport.response import Response

FIRST_ERROR_STATUS = 400
FORM = "application/x-www-form-urlencoded"
SOURCES = "@FILE, or - for standard input"
REQUEST_OPTIONS = (
    click.argument("integration"),
    click.argument("user"),
    click.argument("method"),
    click.argument("path"),
    click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A query parameter."),
    click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header."),
    click.option("--json", "--json-body", "json_body", metavar="JSON", help=f"A JSON body: text, {SOURCES}."),
    click.option("--data", metavar="TEXT", help=f"A raw body: text (sent as a form), {SOURCES}."),
)


class RequestArguments(TypedDict):
    """The values of `REQUEST_OPTIONS` that become options of `executor.request`."""

    params: tuple[str, ...]
    headers: tuple[str, ...]
    json_body: str | None
    data: str | None


class CallArguments(RequestArguments, ListArguments):
    """The values of all options that a decorator adds to `nango call`."""


def request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: adds the arguments and options that describe a request."""
    for option in reversed(REQUEST_OPTIONS):
        command = option(command)
    return command


@click.command()
@request_options
@click.option("--example", is_flag=True, help="Use example credentials; USER needs no connection.")
@click.option("--config", metavar="JSON", help="With --example: additional_config of the example connection.")
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
    **request: Unpack[RequestArguments],
) -> None:
    """Print the request that `nango call` would send, with credentials masked. Nothing is sent.

    \b
    Example:
      nango plan klaviyo-today user-1 GET profiles -p 'page[size]=50'
      nango plan klaviyo-today anyone POST profiles --example --json '{"data": {}}'
    """
    settings = arguments.parse_json_option(config, "--config")
    if settings is not None and not example:
        raise click.UsageError("--config requires --example; a stored connection has its own settings")
    options = _request_options(**request)
    with _open_executor(project, integration, user, is_example=example, settings=settings) as executor:
        click.echo(str(executor.plan(method, path, **options)))


@click.command()
@request_options
@click.option("--include", is_flag=True, help="Print the status line and the headers before the body.")
@click.option(
    "--explain",
    is_flag=True,
    help="Print every attempt and the rule that applied on standard error.",
)
@click.option(
    "--curl",
    is_flag=True,
    help="Print a curl command with credentials masked; nothing is sent.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Maximum time, waits included; with --paginate, for each page.",
)
@list_options
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
    **given: Unpack[CallArguments],
) -> None:
    """Make a call and print the body of the response, without the connection's credentials if it has them.

    METHOD is any HTTP method; PATH is relative to the base URL. The exit code is 1 if the call failed or
    the status is 400 or above.

    With --state, the same command goes on where it was stopped, and writes each record once.

    \b
    Example:
      nango call klaviyo-today user-1 GET profiles -p 'page[size]=50' --explain
      nango call klaviyo-today user-1 POST profiles --json @profile.json
      nango call klaviyo-today user-1 GET metrics --curl
      nango call klaviyo-today user-1 GET profiles --paginate -o profiles.csv --state profiles.state
    """
    every: dict[str, Any] = {**given}
    listed: Any = {name: every.pop(name) for name in ListArguments.__annotations__}
    check_options(listed)
    if listed["paginate"] and (include or curl):
        raise click.UsageError("--paginate prints records; use it without --include and --curl")
    options = _request_options(**every)
    line = WaitingLine(sys.stderr, integration)
    with _open_executor(project, integration, user, line=line) as executor:
        if curl:
            click.echo(format_curl(executor.plan(method, path, **options)))
            return
        if listed["paginate"]:
            try:
                write_list(
                    executor, path, {**options, "method": method, "deadline_seconds": deadline}, listed
                )
            finally:
                if explain:
                    click.echo(executor.explain(), err=True)
            return
        try:
            with line:
                response = executor.request(method, path, deadline_seconds=deadline, **options)
        finally:
            if explain:
                click.echo(executor.explain(), err=True)
        _echo_response(executor, response, include=include)
    if response.status_code >= FIRST_ERROR_STATUS:
        endpoint = path.partition("?")[0]
        hint = f"; {response.hint}" if response.hint else ""
        echo_error(f"{integration} {method.upper()} {endpoint}: status {response.status_code}{hint}")
        raise click.exceptions.Exit(FAILED)


def format_curl(plan: Plan) -> str:
    """A curl command for the plan, with `***` in place of credentials."""
    words = ["curl", "--compressed", "-X", plan.method, plan.masked_url()]
    for name, value in plan.masked_headers().items():
        if name.lower() != "accept-encoding":  # --compressed sends it
            words += ["-H", f"{name}: {value}"]
    if isinstance(plan.body, bytes):
        from nango_py.secret import mask_secrets

        words += ["--data-binary", mask_secrets(plan.body.decode("utf-8", "replace"), plan.settings.secrets)]
    return shlex.join(words)


def _request_options(**request: Unpack[RequestArguments]) -> dict[str, Any]:
    """The options of `executor.request`."""
    json_body, data = request["json_body"], request["data"]
    headers = arguments.parse_headers(request["headers"])
    options: dict[str, Any] = {"params": arguments.parse_params(request["params"]), "headers": headers}
    if json_body is not None and data is not None:
        raise click.UsageError("use either --json or --data, not both")
    if json_body is not None:
        options["json"] = arguments.parse_json(arguments.read_bytes_option(json_body), "--json")
    if data is not None:
        is_file = data.startswith("@") or data == "-"
        options["data"] = arguments.read_bytes_option(data)
        if not is_file and "content-type" not in map(str.lower, headers):
            headers["Content-Type"] = FORM  # as curl does
    return options


@contextmanager
def _open_executor(
    project: Project,
    integration: str,
    user: str,
    *,
    is_example: bool = False,
    settings: JsonObject | None = None,
    line: WaitingLine | None = None,
) -> Iterator[Executor]:
    """The executor of a stored connection, or of an example connection in memory."""
    if not is_example:
        with project.open_for_calls() as nango:
            if line is not None:
                nango.on("wait", line.note)
                nango.on("retry", line.note)
            yield nango.executor(integration, user)
        return
    from nango_py.auth.base import mode_of
    from nango_py.connections.keys import generate_key

    with project.open(database_url="sqlite:///:memory:", encryption_keys=[generate_key().reveal()]) as nango:
        found = find_integration(nango, integration)
        credentials = mode_of(found).example_credentials
        nango.register_connection(
            integration, user, credentials, {**example_config(found), **(settings or {})}
        )
        yield nango.executor(integration, user)


def example_config(integration: Integration) -> JsonObject:
    """Settings for an example connection: those of the blueprint's examples, or what its fields show."""
    from nango_py.config.schema.additional_config import required_defaults
    from nango_py.connections.connection import thaw

    config = thaw(integration.settings.get("connection_config") or {})
    fields, examples = config.get("properties", {}), thaw(integration.settings.get("examples", ()))
    shown = {
        name: next(iter([*fields[name].get("examples", ()), *fields[name].get("enum", ())]))
        for name in config.get("required", ())
        if fields.get(name, {}).get("examples") or fields.get(name, {}).get("enum")
    }
    given = [example["additional_config"] for example in examples if "additional_config" in example]
    return {**shown, **required_defaults(config), **(given[0] if given else {})}


def _echo_response(executor: Executor, response: Response, *, include: bool) -> None:
    if include:
        lines = [f"HTTP {response.status_code} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        click.echo(mask_for(executor, "\n".join([*lines, ""])))
    sys.stdout.flush()
    content = mask_bytes(executor, response.content)
    if is_terminal(sys.stdout) and (text := format_json(content)):
        click.echo(text)
        return
    click.echo(content, nl=False)
    if content and not content.endswith(b"\n") and sys.stdout.isatty():
        click.echo()
