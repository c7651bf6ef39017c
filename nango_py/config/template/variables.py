"""The template variables of each auth mode, and the check of names in templates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.template.filters import TemplateProblem
from nango_py.errors import nearest, printable
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from nango_py.config.template.compiled import Template
    from nango_py.json_types import Settings

CALL_NAMES = frozenset({"method", "path", "endpoint"})
"""Variables of a call; they exist in what requests send and in the keys of rate limits."""

MOMENT_NAMES = frozenset({"now", "uuid"})
"""The time in unix seconds and a random UUID: different in each request."""

VARYING_NAMES = CALL_NAMES | MOMENT_NAMES

PARTS_OF_CALLS = frozenset({"params", "body", "segment"})
"""Variables whose parts are those of a call; they exist in the keys of rate limits."""

DOTTED_NAMES = frozenset({"additional_config", "app", "hosts", "raw"}) | PARTS_OF_CALLS
"""Variables that are mappings; their keys depend on the connection or the call."""

COMMON_NAMES = frozenset({"app_api_key", "user_id", "integration"}) | VARYING_NAMES | DOTTED_NAMES
COMMON_SECRETS = frozenset({"app_api_key", "raw"})
KEY_NAME = re.compile("key|token|secret|passw|auth|credential", re.IGNORECASE)
"""Names of headers and parameters that send a key, such as DD-API-KEY."""

_KINDS_WITH_CALL = frozenset({"header", "query", "body", "key"})
_KINDS_WITH_MOMENT = frozenset({"header", "query", "body", "text"})


def variable_names(auth_mode: str) -> frozenset[str]:
    """Every template variable of the auth mode."""
    return COMMON_NAMES | frozenset(AUTH_MODES.get(auth_mode).variables)


def find_secret_names(
    auth_mode: str, settings: Settings, sent: Iterable[tuple[str, Template]]
) -> frozenset[str]:
    """The variables and credentials whose values are never shown.

    They are those of the auth mode, those that the blueprint calls `secret`, and those sent as a key.

    Args:
        auth_mode: the auth mode.
        settings: the merged settings, of which `credentials` and `app_credentials` say what is secret.
        sent: name and template of each header and query parameter.
    """
    mode = AUTH_MODES.get(auth_mode)
    names = COMMON_SECRETS | frozenset(mode.secret_variables)
    declared, asked = settings.get("credentials") or {}, settings.get("app_credentials") or {}
    names |= {str.__str__(name) for name, options in declared.items() if options.get("secret") is True}
    names |= {f"app.{name}" for name, options in asked.items() if options.get("secret") is not False}
    for name, template in sent:
        used = {used.partition(".")[0] for used in template.names}
        if KEY_NAME.search(name) and used.isdisjoint(names):
            names |= used.intersection(mode.variables)
    return names


def check_variables(
    template: Template, kind: str, auth_mode: str, own: Collection[str] = ()
) -> Iterator[TemplateProblem]:
    """Checks the names in a template: unknown (E306), or of another auth mode or place (E309).

    Args:
        template: the template.
        kind: its position: "url", "path", "query", "header", "key" or "text".
        auth_mode: the auth mode of the integration.
        own: more variables: the credentials that the blueprint adds.
    """
    known = variable_names(auth_mode) | frozenset(own)
    for name in template.names:
        root, dot, part = name.partition(".")
        what, hint = "", ""
        code = "E306"
        if root not in known:
            code, what, hint = _unknown(root, auth_mode)
        elif dot and root not in DOTTED_NAMES:
            what, hint = f"{root} is text and has no {printable(part)}", f"write ${{{root}}}"
        elif root in CALL_NAMES and kind not in _KINDS_WITH_CALL:
            code, what = "E309", f"{root} exists only in what is sent and in the keys of rate limits"
        elif root in MOMENT_NAMES and kind not in _KINDS_WITH_MOMENT:
            code, what = "E309", f"{root} exists only in headers, parameters and bodies"
        elif root in PARTS_OF_CALLS and kind != "key":
            code, what = "E309", f"{root} exists only in the keys of rate limits"
        elif root in PARTS_OF_CALLS and not part:
            what, hint = f"{root} has parts", f"write ${{{root}.name}}"
        if what:
            yield TemplateProblem(code, what, hint=hint, offset=template.offset_of(name))


def _unknown(root: str, auth_mode: str) -> tuple[str, str, str]:
    offered = AUTH_MODES.get(auth_mode).variables
    modes = [name for name, mode in AUTH_MODES.all().items() if root in mode.variables]
    if modes:
        return (
            "E309",
            f"{root} exists only for {', '.join(modes)}",
            f"{auth_mode} offers: {', '.join(offered)}",
        )
    if root == "env":
        return (
            "E306",
            'unknown variable "env"',
            "write ${NAME} in integrations.yaml; blueprints cannot read environment variables",
        )
    near = nearest(root, variable_names(auth_mode))
    hint = (
        f"did you mean {near}?"
        if near
        else f"{auth_mode} offers: {', '.join((*offered, *sorted(COMMON_NAMES)))}"
    )
    return "E306", f'unknown variable "{printable(root)}"', hint
