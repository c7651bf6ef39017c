"""The connect forms of all built-in blueprints explain their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.config.catalogue import open_catalogue
from nango_py.config.schema.field_patterns import matches_pattern, pattern_fault
from nango_py.connect.form_values import FormValues
from nango_py.connect.forms import CREDENTIALS, OAUTH, make_form

if TYPE_CHECKING:
    from nango_py.config.model import Integration

REFS = [f"{ref.name}:{ref.version}" for ref in open_catalogue().refs()]


def integration_of(ref: str) -> Integration:
    """An integration that extends the blueprint, with an example client ID and secret."""
    entry = {"extends_blueprint": ref, "oauth_client_id": "id", "oauth_client_secret": "secret"}
    with Nango(integrations={"it": entry}, environ={}) as nango:
        return nango.configuration.integrations["it"]


@pytest.mark.parametrize("ref", REFS)
def test_every_field_is_explained(ref: str) -> None:
    """Every field has a title, and a help text or choices."""
    for field in make_form(integration_of(ref)).fields:
        assert field.title != field.name, f"give {field.name} a title"
        assert field.help or field.choices, f"give {field.name} a help text"
        if field.pattern:
            assert pattern_fault(field.pattern) == ""
            assert field.example, f"give {field.name} an example"
            assert matches_pattern(field.pattern, field.example), field.name


@pytest.mark.parametrize("ref", REFS)
def test_examples_are_valid_input_of_the_form(ref: str) -> None:
    """The connect form accepts the credentials and settings of each example."""
    integration = integration_of(ref)
    form = make_form(integration)
    for example in integration.settings.get("examples", ()):
        values = FormValues(
            form, _select(form, example, "credentials"), _select(form, example, "additional_config")
        )
        missing = set() if "additional_config" in example else set(form.fields_of("additional_config"))
        if form.kind == OAUTH or "credentials" not in example:
            missing |= set(form.fields_of(CREDENTIALS))
        assert {name: error for name, error in values.errors.items() if name not in missing} == {}


def _select(form: Any, example: Any, group: str) -> dict[str, Any]:
    return {name: value for name, value in example.get(group, {}).items() if name in form.fields_of(group)}
