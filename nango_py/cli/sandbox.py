"""`nango sandbox`: a local simulation of an API."""

from __future__ import annotations

import contextlib
import json
import shlex
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

import click

from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.config.model import Blueprint
    from nango_py.sandbox import FaultPlan, Sandbox
    from nango_py.sandbox.budgets import LimitSpeed


@click.command()
@click.argument("names", metavar="NAME[:VERSION]...", nargs=-1, required=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the first sandbox; others follow.  [default: free ports]",
)
@click.option(
    "--faults",
    metavar="FAULT=SHARE,...",
    help="Faults and their share of requests: a status, delay, timeout, reset_before, reset_after, truncate "
    "or drip.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random faults.")
@click.option(
    "--limits",
    type=click.Choice(["real", "fast", "none"]),
    default="real",
    show_default=True,
    help="The blueprint's rate limits, sixty times shorter windows, or none.",
)
@click.option("--retired", is_flag=True, help="Respond to every request with 410.")
@pass_project
def sandbox(
    project: Project,
    names: tuple[str, ...],
    port: int,
    faults: str | None,
    seed: int,
    limits: str,
    retired: bool,
) -> None:
    """Serve simulations of APIs on 127.0.0.1, from their blueprints, until Ctrl-C.

    They accept any credential, enforce rate limits, serve the blueprint's examples, have login pages, and
    inject faults. A page shows the requests and budgets.

    \b
    Example:
      nango sandbox klaviyo:v1
      nango sandbox klaviyo:v1 slack --port 8040 --limits fast --faults 429=0.05,503=0.1,timeout=0.02
    """
    from nango_py.sandbox import Sandbox

    blueprints = [project.blueprint(name) for name in names]
    speed = cast("LimitSpeed", limits)
    try:
        servers = [
            Sandbox(
                blueprint.settings,
                port=port + number if port else 0,
                faults=_parse_faults(faults, seed + number),
                retired=retired,
                limits=speed,
            )
            for number, blueprint in enumerate(blueprints)
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with contextlib.ExitStack() as stack:
        for server in servers:
            _start(server)
            stack.callback(server.stop)
            server.watch_with([other for other in servers if other is not server])
        try:
            for blueprint, server in zip(blueprints, servers, strict=True):
                click.echo(introduction(blueprint, server))
            servers[0].serve_forever()
        finally:
            for blueprint, server in zip(blueprints, servers, strict=True):
                prefix = f"{blueprint.ref}: " if len(servers) > 1 else ""
                click.echo(prefix + _summary(server), err=True)


def _start(server: Sandbox) -> None:
    try:
        server.start()
    except OSError as error:
        reason = error.strerror
    else:
        return
    raise click.UsageError(f"cannot listen on port {server.port}: {reason}")


def introduction(blueprint: Blueprint, server: Sandbox) -> str:
    """The URL of the sandbox, and the ways to call it."""
    overrides = _without_downloads(server.overrides)
    named = {blueprint.name: overrides}
    entry = [f"  {name}: {json.dumps(value)}" for name, value in overrides.items()]
    return "\n".join((
        f"sandbox of {blueprint.ref} on {server.base_url} (Ctrl-C stops it)",
        f"its requests and budgets: {server.watch_url}",
        "",
        "from a shell:",
        f"  {_curl(blueprint, server.base_url)}",
        "from Python, for an integration of that name:",
        f"  Nango(overrides={named})",
        "from other nango commands, in its entry of integrations.yaml:",
        *entry,
        "",
    ))  # fmt: skip


def _without_downloads(overrides: dict[str, object]) -> dict[str, object]:
    """The settings that people have to copy: no file is served here."""
    requests = overrides["requests"]
    assert isinstance(requests, dict)  # noqa: S101 - of Sandbox.overrides
    kept = {name: value for name, value in requests.items() if name != "download_hosts"}
    return {**overrides, "requests": kept}


def _curl(blueprint: Blueprint, base_url: str) -> str:
    """A curl command with the auth mode's example credentials."""
    from nango_py.auth.base import extended_mode
    from nango_py.config.own_fields import own_fields
    from nango_py.config.template.compiler import compile_template
    from nango_py.config.template.filters import TemplateProblem

    requests = blueprint.settings["requests"]
    mode = extended_mode(str(blueprint.settings["auth"]["auth_mode"]), own_fields(blueprint.settings))
    variables = mode.variables_of(mode.example_credentials)

    def render(text: str) -> str:
        try:
            return compile_template(text).render(variables)
        except TemplateProblem:
            return text  # only a real connection has the values; they are left to the reader

    query = urlencode({name: render(str(value)) for name, value in requests.get("params", {}).items()})
    words = ["curl"]
    for name, value in requests.get("headers", {}).items():
        words += ["-H", f"{name}: {render(str(value))}"]
    return shlex.join([*words, base_url + _example_path(blueprint) + (f"?{query}" if query else "")])


def _example_path(blueprint: Blueprint) -> str:
    """The path of an example with GET, or of the blueprint's verification request."""
    for example in blueprint.settings.get("examples", ()):
        if example["call"].get("method", "GET") == "GET":
            return str(example["call"]["path"]).lstrip("/")
    return str(blueprint.settings.get("verification", {}).get("path", "")).lstrip("/")


def _parse_faults(text: str | None, seed: int) -> FaultPlan | None:
    """The faults of `503=0.1,delay=0.2`."""
    from nango_py.sandbox import FaultPlan

    if not text:
        return None
    rates: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            rates[name] = float(share)
        except ValueError:
            message = (
                f"--faults takes FAULT=SHARE with shares from 0 to 1, such as 503=0.1, not {part.strip()!r}"
            )
            raise ValueError(message) from None
    return FaultPlan(seed, rates)


def _summary(server: Sandbox) -> str:
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(server.ledger.faults.items()))
    return f"{len(server.ledger)} requests received; faults injected: {faults or 'none'}"
