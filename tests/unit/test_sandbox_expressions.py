"""The sandbox evaluates `${...}` like the client."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py.config.template.compiler import compile_template
from nango_py.config.values import EnvironmentText
from nango_py.sandbox.expressions import UnknownNameError, evaluate, is_template, names_of, pieces, render

VARIABLES: dict[str, Any] = {
    "api_key": "Key/1 ä+",
    "username": "ada",
    "password": "",
    "raw": {"team": {"id": "T1"}, "scopes": ["read", "write"]},
    "additional_config": {"site": " Shop ", "count": 3, "is_eu": True},
}


@pytest.mark.parametrize(
    "template",
    [
        "Bearer ${api_key}",
        "${ username }:${api_key}",
        "${raw.team.id}",
        "${additional_config.site | trim | lower}",
        "${additional_config.absent | default('x')}",
        '${additional_config.absent or "fallback"}',
        "${api_key | upper}",
        "${api_key | urlencode}",
        "${api_key | base64}",
        '${raw.scopes | join(",") | base64}',
        "${raw.team | tojson}",
        "${username if not password else password}",
        '${"a" if additional_config.absent is defined else "b"}',
        '${"a" if additional_config.absent is not defined else "b"}',
        '${"a" if username == "ada" else "b"}',
        '${"a" if username != "ada" else "b"}',
        "${api_key | sha256}",
        "${username | hmac_sha1(api_key)}",
        "${username | hmac_sha256(api_key)}",
        "${additional_config.count | string}",
        '${"eu" if additional_config.is_eu else "us"}',
        "no expression at all",
    ],
)
def test_both_evaluators_agree(template: str) -> None:
    """Sandbox and client render a template to the same text."""
    assert render(template, VARIABLES) == compile_template(template).render(VARIABLES)


@pytest.mark.parametrize(
    "expression",
    ["absent", "api_key | unheard_of", "api_key ~ username", "raw.team.absent", "raw[0]", "1 + 1"],
)
def test_unknown_names_and_syntax_are_errors(expression: str) -> None:
    """Unknown names, filters and syntax raise UnknownNameError."""
    with pytest.raises(UnknownNameError):
        evaluate(expression, VARIABLES)


def test_names_are_found_without_filters_and_constants() -> None:
    """names_of returns variables, without filters and constants."""
    expression = 'additional_config.site | default(api_key) or "x" if raw.ok is defined else none'
    assert names_of(expression) == {"additional_config", "api_key", "raw"}
    assert names_of("api_key ~ username") == {"?"}


def test_text_from_the_environment_is_never_a_template() -> None:
    """A `${` in text from the environment is plain text."""
    text = EnvironmentText("${api_key}")
    assert not is_template(text)
    assert render(text, VARIABLES) == "${api_key}"
    assert pieces('a ${ b | default("}") } c') == ("a ", ' b | default("}") ', " c")
