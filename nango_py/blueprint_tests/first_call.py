"""Plans a call of a blueprint with made-up values: nothing is sent, and no example is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.blueprint_tests.bench import Bench
from nango_py.config.schema.field_patterns import matches_pattern
from nango_py.errors import ConfigError, NangoError, Problem
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint
    from nango_py.json_types import JsonObject, JsonValue, Settings

HOSTS = {"host": "acme.example.com", "origin": "https://acme.example.com"}
WORDS = (
    "acme",
    "1",
    "1234567890",
    "v1",
    "a" * 32,
    "acme.example.com",
    "https://acme.example.com",
    "a.b.c",
    "en-US",
)
"""Values that fit the usual patterns of settings."""


def plan_first_call(blueprint: Blueprint, catalogue: Catalogue) -> list[Problem]:
    """The problems of a GET request below the base URL, with each login; [] if it can be planned."""
    found: list[Problem] = []
    for login in blueprint.logins or ("",):
        variant = catalogue.find(blueprint.ref, blueprint.origins[()], [], login)
        try:
            bench = Bench(variant, catalogue)
            example = {"additional_config": made_up_settings(variant.settings)}
            bench.caller(bench.declared, example).executor.plan("GET", "example")
        except ConfigError as error:
            found += error.problems
        except NangoError as error:
            found.append(Problem(blueprint.origins[()], "E326", f"a call cannot be planned: {error}"))
    return found


def made_up_settings(settings: Settings) -> JsonObject:
    """A value for each field of `connection_config`: its default, an example, a choice, or a word."""
    schema = settings.get("connection_config") or {}
    found: JsonObject = {}
    for name, field in as_object(schema.get("properties")).items():
        options = as_object(field)
        given = [options.get("default"), *(options.get("examples") or ()), *(options.get("enum") or ())]  # type: ignore[misc]
        usual = HOSTS.get(str(options.get("format"))) or _word(options.get("pattern"))
        found[name] = next((value for value in given if value is not None), usual)
    return found


def _word(pattern: JsonValue) -> str:
    """A word that fits a pattern, or the first one if none does."""
    if not isinstance(pattern, str):
        return WORDS[0]
    return next((word for word in WORDS if matches_pattern(pattern, word)), WORDS[0])
