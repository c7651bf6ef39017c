"""Every shipped blueprint can be connected by somebody who has never read its manual."""

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
    """The integration of a blueprint, with the application's own settings made up."""
    entry = {"extends_blueprint": ref, "oauth_client_id": "id", "oauth_client_secret": "secret"}
    with Nango(integrations={"it": entry}, environ={}) as nango:
        return nango.configuration.integrations["it"]


@pytest.mark.parametrize("ref", REFS)
def test_every_field_is_explained(ref: str) -> None:
    """What has to be typed has a title of its own and says where to find it."""
    for field in make_form(integration_of(ref)).fields:
        assert field.title != field.name, field.name
        assert field.help or field.choices, field.name
        if field.pattern:
            assert pattern_fault(field.pattern) == ""
            assert field.example, field.name
            assert matches_pattern(field.pattern, field.example), field.name


@pytest.mark.parametrize("ref", REFS)
def test_the_examples_of_a_blueprint_could_have_been_typed(ref: str) -> None:
    """The credentials and settings of each example pass the form of the same blueprint."""
    integration = integration_of(ref)
    form = make_form(integration)
    for example in integration.settings.get("examples", ()):
        typed = FormValues(
            form, _asked(form, example, "credentials"), _asked(form, example, "additional_config")
        )
        missing = set() if "additional_config" in example else set(form.fields_of("additional_config"))
        if form.kind == OAUTH or "credentials" not in example:
            missing |= set(form.fields_of(CREDENTIALS))
        assert {name: fault for name, fault in typed.errors.items() if name not in missing} == {}


def _asked(form: Any, example: Any, group: str) -> dict[str, Any]:
    return {name: value for name, value in example.get(group, {}).items() if name in form.fields_of(group)}
