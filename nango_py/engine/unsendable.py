"""Refuses values of a connection that no header can hold when they are stored, not at the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.config.header_checks import sent_headers
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import check_header_value
from nango_py.engine.bound_settings import connection_label, template_error, template_variables
from nango_py.errors import ConfigError, CredentialsError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.model import Integration
    from nango_py.config.template.compiled import Template
    from nango_py.connections.connection import Connection

PLACEHOLDER = "x"
"""Stands for what has no value yet, such as a token that is still to be fetched."""


def check_header_values(integration: Integration, connection: Connection) -> None:
    """Refuse a connection if a header of the integration would hold characters that no header can.

    Raises:
        CredentialsError: because of a credential. No message shows a value.
        ConfigError: because of a field of additional_config (E317), or of another value (E312).
    """
    mode = mode_of(integration)
    variables = template_variables(integration, connection)
    sent = [(name, compile_template(text)) for name, text in sent_headers(integration.settings)]
    signed = [("Authorization", _lone(word)) for word in mode.header_variables]
    for name, template in (*sent, *signed):
        problem = None if template.is_constant else _find_problem(template, variables, name)
        if problem is None:
            continue
        unfit = [word for word in template.names if _find_problem(_lone(word), variables, name)]
        word, label = next(iter(unfit), ""), connection_label(connection)
        if word in mode.credentials_schema["properties"]:
            raise CredentialsError(
                f'{label}: credential "{word}" cannot be sent: {problem.what}; copy it again'
            )
        if word.startswith("additional_config."):
            what = f"{word} cannot be sent: {problem.what}"
            raise ConfigError([Problem(Position(label), "E317", what, "expected other characters")])
        raise template_error(connection, f"headers.{name}", problem)


def _lone(word: str) -> Template:
    return compile_template(f"${{{word}}}")


def _find_problem(template: Template, variables: Mapping[str, object], name: str) -> TemplateProblem | None:
    pieces = (_text_of(template, index, variables) for index in range(len(template.outline())))
    try:
        check_header_value("".join(pieces), name)
    except TemplateProblem as problem:
        return problem.with_traceback(None)
    return None


def _text_of(template: Template, index: int, variables: Mapping[str, object]) -> str:
    try:
        return template.piece_text(index, variables)
    except TemplateProblem:
        return PLACEHOLDER
