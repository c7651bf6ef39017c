"""The template variables of each auth mode, and the check of names in templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.template.filters import TemplateProblem
from nango_py.errors import nearest, printable
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.template.compiler import Template

CALL_NAMES = frozenset({"method", "path", "endpoint"})
"""Variables of a call; they exist in headers and in the keys of rate limits."""

DOTTED_NAMES = frozenset({"additional_config", "raw"})
"""Variables that are mappings; their keys depend on the connection."""

COMMON_NAMES = frozenset({"app_api_key", "user_id", "integration"}) | CALL_NAMES | DOTTED_NAMES
COMMON_SECRETS = frozenset({"app_api_key", "raw"})
_KINDS_WITH_CALL = frozenset({"header", "key"})


def variable_names(auth_mode: str) -> frozenset[str]:
    """Every template variable of the auth mode."""
    return COMMON_NAMES | frozenset(AUTH_MODES.get(auth_mode).variables)


def secret_variable_names(auth_mode: str) -> frozenset[str]:
    """The variables whose values are never shown."""
    return COMMON_SECRETS | frozenset(AUTH_MODES.get(auth_mode).secret_variables)


def check_variables(template: Template, kind: str, auth_mode: str) -> Iterator[TemplateProblem]:
    """Checks the names in a template: unknown (E306), or of another auth mode or place (E309).

    Args:
        template: the template.
        kind: its position: "url", "path", "query", "header", "key" or "text".
        auth_mode: the auth mode of the integration.
    """
    known = variable_names(auth_mode)
    for name in template.names:
        root, dot, part = name.partition(".")
        what, hint = "", ""
        code = "E306"
        if root not in known:
            code, what, hint = _unknown(root, auth_mode)
        elif dot and root not in DOTTED_NAMES:
            what, hint = f"{root} is text and has no {printable(part)}", f"write ${{{root}}}"
        elif root in CALL_NAMES and kind not in _KINDS_WITH_CALL:
            code, what = "E309", f"{root} exists only in headers and in the keys of rate limits"
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
