"""`nango sandbox`: a local simulation of an API."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.config.model import Blueprint
    from nango_py.sandbox import FaultPlan, Sandbox


@click.command()
@click.argument("name", metavar="NAME[:VERSION]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: any free port]"
)
@click.option(
    "--faults",
    metavar="FAULT=SHARE,...",
    help="Faults and the share of requests that they affect: a status (429, 503, ...), delay, timeout, "
    "reset_before, reset_after, truncate or drip.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random faults.")
@click.option("--retired", is_flag=True, help="Respond to every request with 410, like a retired API.")
@pass_project
def sandbox(project: Project, name: str, port: int, faults: str | None, seed: int, retired: bool) -> None:
    """Serve a local simulation of an API, generated from its blueprint, until Ctrl-C.

    It requires a credential where the blueprint sends one, enforces the rate limits with 429, serves the
    blueprint's examples, and injects faults. It accepts any credential.

    \b
    Example:
      nango sandbox klaviyo:v1
      nango sandbox klaviyo:v1 --port 8080 --faults 429=0.05,503=0.1,timeout=0.02
    """
    from nango_py.sandbox import Sandbox

    blueprint = project.blueprint(name)
    try:
        server = Sandbox(blueprint.settings, port=port, faults=_parse_faults(faults, seed), retired=retired)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        server.start()
    except OSError as error:
        raise click.UsageError(f"cannot listen on port {port}: {error.strerror}") from None
    click.echo(introduction(blueprint, server.base_url))
    try:
        server.serve_forever()
    finally:
        click.echo(_summary(server), err=True)


def introduction(blueprint: Blueprint, base_url: str) -> str:
    """The URL of the sandbox, and three ways to call it."""
    overrides = {blueprint.name: {"requests": {"base_url": base_url}}}
    return "\n".join((
        f"sandbox of {blueprint.ref} on {base_url} (Ctrl-C stops it)",
        "",
        "from a shell:",
        f"  {_curl(blueprint, base_url)}",
        "from Python, for an integration of that name:",
        f"  Nango(overrides={overrides})",
        "from other nango commands, in its entry of integrations.yaml:",
        f'  requests: {{base_url: "{base_url}"}}',
        "",
    ))  # fmt: skip


def _curl(blueprint: Blueprint, base_url: str) -> str:
    """A curl command with the auth mode's example credentials."""
    from nango_py.auth.base import extended_mode
    from nango_py.config.own_fields import own_fields
    from nango_py.config.template.compiler import TemplateProblem, compile_template

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
