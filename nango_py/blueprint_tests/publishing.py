"""The rules for blueprints that others use: complete, explained, with sources and made-up credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.blueprint_tests.difference import Difference
from nango_py.config.yaml.folders import display_path
from nango_py.connect.form_values import FormValues
from nango_py.connect.forms import CREDENTIALS, OAUTH, make_form
from nango_py.errors import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.connect.forms import Form
    from nango_py.json_types import JsonObject, Settings

TEST = "strict"
REQUIRED = ("title", "comment", "categories", "examples", "verification", "gotchas")
REQUIRED_OF_JSON = ("errors", "pagination")
REQUIRED_OF_ACTIONS = ("title", "description", "output", "examples")
LONGEST_LINE = 120
SCHEMA_COMMENT = "# yaml-language-server: $schema="
_PROSE = re.compile(r"\s*#|\s*(comment|gotchas|help|description):")
_DATA = re.compile(r"\s*(- \{|[\w-]+:)")
_ADDRESS = re.compile(r"https?://\S{60,}")


def publishing_differences(bench: Bench) -> Iterator[Difference]:
    """What a blueprint lacks to be published."""
    yield from _missing_keys(bench)
    yield from _text_problems(bench)
    yield from _form_problems(bench)
    yield from _action_problems(bench)
    for number, example in bench.numbered_examples:
        for name, value in (example.get("credentials") or {}).items():
            if isinstance(value, str) and value and "test" not in value:
                path = ("examples", number, "credentials", name)
                yield _at(bench, path, "made-up credentials contain the word test")
    base_url = str(bench.settings["requests"]["base_url"])
    if not base_url.startswith(("https://", "${")):
        yield _at(bench, ("requests", "base_url"), "base_url must start with https://")
    if not base_url.endswith("/"):
        yield _at(bench, ("requests", "base_url"), "base_url must end with a slash")


def _missing_keys(bench: Bench) -> Iterator[Difference]:
    settings = bench.settings
    required = REQUIRED + (REQUIRED_OF_JSON if _has_json(settings) else ())
    for name in required:
        if not settings.get(name):
            yield _at(bench, (), f'add the key "{name}"')
    is_retired = (settings.get("status") or {}).get("retires_on", "9999") <= bench.today
    if not settings.get("sources") and not (is_retired and settings.get("unconfirmed")):
        yield _at(bench, (), 'add the key "sources"')
    if not str(settings.get("docs_url", "")).startswith("https://"):
        yield _at(bench, ("docs_url",), "docs_url must be an https:// URL")


def _has_json(settings: Settings) -> bool:
    """Whether the API responds with JSON; without it there are no JMESPaths."""
    examples = settings.get("examples") or ()
    return not examples or any("json" in (example.get("response") or {}) for example in examples)


def _text_problems(bench: Bench) -> Iterator[Difference]:
    lines = bench.blueprint.source.read_text("utf-8").splitlines()
    file = display_path(bench.blueprint.source)
    if not lines or not lines[0].startswith(SCHEMA_COMMENT):
        yield Difference(Position(file, 1, 1), TEST, f"the first line must be {SCHEMA_COMMENT}...")
    is_prose = False
    for number, line in enumerate(lines, start=1):
        if _PROSE.match(line):
            is_prose = True
        elif _DATA.match(line):
            is_prose = False
        if is_prose and len(line) > LONGEST_LINE and not _ADDRESS.search(line):
            what = f"prose is longer than {LONGEST_LINE} characters"
            yield Difference(Position(file, number, LONGEST_LINE + 1), TEST, what)


def _form_problems(bench: Bench) -> Iterator[Difference]:
    form = make_form(bench.declared)
    for field in form.fields:
        group = "credentials" if field.group == CREDENTIALS else "connection_config"
        path = (group, field.name) if field.group == CREDENTIALS else (group, "properties", field.name)
        if field.title == field.name:
            yield _at(bench, path, f"give {field.name} a title")
        if not (field.help or field.choices):
            yield _at(bench, path, f"give {field.name} a help text")
        if field.pattern and not field.example:
            yield _at(bench, path, f"give {field.name} an example")
    for number, example in bench.numbered_examples:
        for name, error in _input_errors(form, example).items():
            what = f"the connect page refuses {name}: {error}"
            yield _at(bench, ("examples", number), what)


def _action_problems(bench: Bench) -> Iterator[Difference]:
    """What people and language models would not know of an action."""
    for name, action in (bench.settings.get("actions") or {}).items():
        path = ("actions", name)
        for key in REQUIRED_OF_ACTIONS:
            if not action.get(key):
                yield _at(bench, path, f'add the key "{key}" to the action {name}')
        schema = action.get("input") or {}
        if schema and schema.get("additionalProperties") is not False:
            yield _at(bench, (*path, "input"), f"add additionalProperties: false to the input of {name}")
        for field, below in (schema.get("properties") or {}).items():
            if not below.get("description"):
                place = (*path, "input", "properties", field)
                yield _at(bench, place, f"give {field} of the action {name} a description")


def _input_errors(form: Form, example: Settings) -> dict[str, str]:
    """The errors that a user gets who enters the credentials and settings of an example."""
    settings = _select(form, example, "additional_config")
    values = FormValues(form, _select(form, example, CREDENTIALS), settings)
    missing = set() if "additional_config" in example else set(form.fields_of("additional_config"))
    if form.kind == OAUTH or "credentials" not in example:
        missing |= set(form.fields_of(CREDENTIALS))
    return {name: error for name, error in values.errors.items() if name not in missing}


def _select(form: Form, example: Settings, group: str) -> JsonObject:
    known = form.fields_of(group)
    return {name: value for name, value in (example.get(group) or {}).items() if name in known}


def _at(bench: Bench, path: tuple[str | int, ...], what: str) -> Difference:
    origins = bench.blueprint.origins
    while path and path not in origins:
        path = path[:-1]
    place = origins[path]
    file = display_path(bench.blueprint.source)
    if not path and place.file != file:  # the file that it extends cannot be changed for it
        place = Position(file, 1, 1)
    return Difference(place, TEST, what)
