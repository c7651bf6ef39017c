"""What a blueprint says of additional_config holds for every connection."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import ConfigError
from nango_py.config.schema.additional_config import check_additional_config

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
