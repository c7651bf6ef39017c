"""What a blueprint says of additional_config holds for every connection."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import ConfigError
from nango_py.config.schema.additional_config import check_additional_config
from tests.support.made_values import a_connection, a_plan, an_integration, bound_settings

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["subdomain"],
    "additionalProperties": False,
    "properties": {
        "subdomain": {"type": "string", "title": "Subdomain", "pattern": "^[a-z]+$", "maxLength": 8},
        "region": {"type": "string", "enum": ["eu", "us"]},
        "shard": {"type": "integer", "minimum": 1, "maximum": 9},
        "beta": {"type": "boolean"},
    },
}


def test_defaults_of_required_fields_are_filled_in() -> None:
    """Values win over them; the default of an optional field is not a value."""
    fields = {
        "host": {"default": "API.acme.test", "format": "host"},
        "shard": {"type": "integer", "default": 0},
    }
    schema = {"required": ["host"], "properties": fields}
    assert check_additional_config(schema, {}, "a/u") == {"host": "api.acme.test"}
    assert check_additional_config(schema, {"host": "b.test"}, "a/u") == {"host": "b.test"}
    assert check_additional_config({**schema, "required": ["host", "shard"]}, {}, "a/u")["shard"] == 0


def test_a_connection_that_is_older_than_a_required_setting_has_its_default() -> None:
    """The template of a blueprint that was extended later finds a value; what is stored wins."""
    integration = an_integration(
        base_url="https://${additional_config.region}.acme.test/",
        connection_config={"required": ["region"], "properties": {"region": {"default": "eu"}}},
    )
    for stored, sent in (({}, "eu"), ({"region": "us"}, "us")):
        settings = bound_settings(integration, a_connection(additional_config=stored))
        assert a_plan(settings=settings).url == f"https://{sent}.acme.test/things"


def test_values_that_fit_are_accepted() -> None:
    """All kinds of fields pass, and a blueprint without connection_config takes anything."""
    check_additional_config(SCHEMA, {"subdomain": "acme", "region": "eu", "shard": 3, "beta": True}, "a/u")
    check_additional_config(None, {"anything": [1]}, "a/u")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "additional_config.subdomain is missing; Subdomain"),
        (
            {"subdomain": "acme", "regoin": "eu"},
            'additional_config.regoin is unknown; did you mean "region"?',
        ),
        (
            {"subdomain": "acme", "zz": 1},
            "additional_config.zz is unknown; known: subdomain, region, shard, beta",
        ),
        ({"subdomain": 5}, "additional_config.subdomain has the wrong type; expected string"),
        ({"subdomain": "evil.com#"}, "does not match the pattern; expected Subdomain like ^[a-z]+$"),
        ({"subdomain": "a" * 9}, "additional_config.subdomain is too large; expected at most 8 characters"),
        ({"subdomain": "acme", "region": "mars"}, "is not an allowed value; expected eu, us"),
        ({"subdomain": "acme", "shard": True}, "additional_config.shard has the wrong type"),
        ({"subdomain": "acme", "shard": 0}, "additional_config.shard is too small; expected at least 1"),
        ({"subdomain": "acme", "beta": 1}, "additional_config.beta has the wrong type; expected boolean"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_does_not_fit_is_named_without_its_value(values: dict[str, Any], says: str) -> None:
    """The message names connection, field and expectation, and shows no value."""
    with pytest.raises(ConfigError) as caught:
        check_additional_config(SCHEMA, values, "acme/u1")
    assert str(caught.value).startswith("acme/u1: error[E317]: ")
    assert says in str(caught.value)
    assert "evil" not in str(caught.value)
    assert "mars" not in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    """Two faults are two problems of one error."""
    with pytest.raises(ConfigError) as caught:
        check_additional_config(SCHEMA, {"region": 1, "shard": 99}, "acme/u1")
    assert len(caught.value.problems) == 3
