"""`nango sandbox`: a stand-in for an API, until Ctrl-C."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.config.model import Blueprint
    from nango_py.sandbox import FaultPlan, Sandbox


@click.command()
@click.argument("name", metavar="NAME[:VERSION]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1.  [default: a free one]")
@click.option(
    "--faults",
    metavar="FAULT=SHARE,...",
    help="What goes wrong and how often: statuses (429, 503, ...), delay, timeout, reset_before, "
    "reset_after, truncate, drip.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Of the faults; one seed gives one plan."
)
@click.option(
    "--retired", is_flag=True, help="Answer 410 to everything, as an API does after its retirement."
)
@pass_project
def sandbox(project: Project, name: str, port: int, faults: str | None, seed: int, retired: bool) -> None:
    """Serve a local stand-in for an API, made from its blueprint, until Ctrl-C.

    It checks that a credential came where the blueprint says, enforces the limits with 429s, serves the
    blueprint's examples, and fails on demand. Any credential in the right place is accepted.

    \b
    Example:
      nango sandbox klaviyo:v1
      nango sandbox klaviyo:v1 --port 8080 --faults 429=0.05,503=0.1,timeout=0.02
    """
    from nango_py.sandbox import Sandbox

    blueprint = project.blueprint(name)
    try:
        server = Sandbox(blueprint.settings, port=port, faults=_plan(faults, seed), retired=retired)
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
    """What is served where, and three ways to call it."""
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
    from nango_py.config.template.compiler import TemplateProblem, compile_template
    from nango_py.registry import AUTH_MODES

    requests = blueprint.settings["requests"]
    mode = AUTH_MODES.get(blueprint.settings["auth"]["auth_mode"])()
    variables = {**mode.variables_of(mode.example_credentials), "additional_config": {}, "raw": {}}

    def rendered(text: str) -> str:
        try:
            return compile_template(text).render(variables)
        except TemplateProblem:
            return text  # needs what only a connection has; the reader fills it in

    from urllib.parse import urlencode

    query = urlencode({name: rendered(str(value)) for name, value in requests.get("params", {}).items()})
    words = ["curl"]
    for name, value in requests.get("headers", {}).items():
        words += ["-H", f"{name}: {rendered(str(value))}"]
    return shlex.join([*words, base_url + _first_path(blueprint) + (f"?{query}" if query else "")])


def _first_path(blueprint: Blueprint) -> str:
    """A path that has an example, or the one that verifies a connection."""
    for example in blueprint.settings.get("examples", ()):
        if example["call"].get("method", "GET") == "GET":
            return str(example["call"]["path"]).lstrip("/")
    return str(blueprint.settings.get("verification", {}).get("path", "")).lstrip("/")


def _plan(text: str | None, seed: int) -> FaultPlan | None:
    """The plan that `429=0.05,timeout=0.02` means.

    Raises:
        ValueError: a fault is unknown, or a share is none.
    """
    from nango_py.sandbox import FaultPlan

    if not text:
        return None
    rates: dict[str, Any] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            rates[name] = float(share)
        except ValueError:
            rates[name] = None
        if rates[name] is None:
            raise ValueError(
                f"--faults takes FAULT=SHARE with shares from 0 to 1, such as 503=0.1, not {part.strip()!r}"
            )
    return FaultPlan(seed, rates)


def _summary(server: Sandbox) -> str:
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(server.ledger.faults.items()))
    return f"{len(server.ledger)} requests were received; faults injected: {faults or 'none'}"
