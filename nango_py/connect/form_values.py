"""Turns what a user typed or pasted into values to store, or into an error message for each field."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.config.schema.field_patterns import matches_pattern
from nango_py.config.urls.hosts import normalize_host
from nango_py.connect.forms import ADDITIONAL_CONFIG, CREDENTIALS
from nango_py.connect.oauth import provider_fields
from nango_py.connect.words import load_words, lower_title
from nango_py.errors import ConnectionNotFound, TamperError, nearest, printable
from nango_py.pasted_text import find_unusable, strip_pasted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connect.forms import Field, Form
    from nango_py.connect.words import Words
    from nango_py.json_types import JsonObject, JsonValue

MAX_NUMBER = 2**53
"""Larger numbers are not exact in every JSON parser."""

MAX_UNKNOWN = 20
"""Unknown fields that are reported."""

ENGLISH = load_words("en")
CHECK_FIELDS = ENGLISH("check_fields")
NO_SUCH_FIELD = ENGLISH("no_such_field")

_BOOLEANS = {"true": True, "false": False}


class FormValues:
    """The parsed values of a form.

    Attributes:
        credentials: values to store.
        additional_config: values to store, without fields that were left empty.
        errors: a sentence for each invalid field. It never quotes the input.
    """

    def __init__(
        self,
        form: Form,
        credentials: Mapping[str, object],
        additional_config: Mapping[str, object],
        words: Words = ENGLISH,
    ) -> None:
        self._words = words
        self.errors: dict[str, str] = {}
        parsed = self._parse(form.fields_of(CREDENTIALS), credentials)
        self.credentials: JsonObject = {**form.fixed_credentials, **parsed}
        parsed = self._parse(form.fields_of(ADDITIONAL_CONFIG), additional_config)
        self.additional_config: JsonObject = {**form.fixed_config, **parsed}

    def _parse(self, fields: Mapping[str, Field], inputs: Mapping[str, object]) -> JsonObject:
        for name in [name for name in inputs if name not in fields][:MAX_UNKNOWN]:
            suggestion = nearest(str(name), fields)
            hint = f'did you mean "{suggestion}"?' if suggestion else "it was not stored"
            self.errors[printable(str(name))] = f"{NO_SUCH_FIELD}; {hint}"
        values: JsonObject = {}
        for name, field in fields.items():
            value, error = parse_value(field, inputs.get(name), self._words)
            if error:
                self.errors[name] = error
            elif value is not None or field.allows_blank:
                values[name] = "" if value is None else value
        return values


def parse_value(field: Field, value: object, words: Words = ENGLISH) -> tuple[JsonValue, str]:
    """The value of a field and "", or None and an error message. An empty optional field is None and ""."""
    if field.kind == "choice":
        return _parse_choice(field, value, words)
    if field.kind == "boolean":
        return _parse_boolean(field, value, words)
    if isinstance(value, int | float) and not isinstance(value, bool) and field.kind == "number":
        value = str(value)
    if value is not None and not isinstance(value, str):
        return None, words("invalid_text")
    text = clean_text(value or "", field)
    if not text:
        name = "enter_credential" if field.group == CREDENTIALS else "enter_setting"
        return None, words(name, field=field.called or lower_title(field.title, "")) if field.required else ""
    error = _check_text(field, text, words)
    if error:
        return None, error
    if field.kind == "number":
        return _parse_number(field, text, words)
    return (text if text.endswith(field.append) else text + field.append), ""


def clean_settings(form: Form, config: JsonObject) -> JsonObject:
    """Settings with texts cleaned, and empty ones left out."""
    fields = form.fields_of(ADDITIONAL_CONFIG)
    texts = {
        name: clean_text(value, fields[name])
        for name, value in config.items()
        if name in fields and isinstance(value, str)
    }
    return {name: value for name, value in {**config, **texts}.items() if texts.get(name) != ""}


def find_hidden_settings(
    accounts: Accounts, user_id: str, integration: Integration, form: Form
) -> JsonObject:
    """Settings of the existing connection that neither the form nor the provider has: the product's."""
    with suppress(ConnectionNotFound, TamperError):  # a connection that cannot be decrypted is replaced
        settings = accounts.get(integration.name, user_id)["additional_config"]
        others = {*form.fields_of(ADDITIONAL_CONFIG), *provider_fields(integration)}
        return {name: value for name, value in settings.items() if name not in others}
    return {}


def clean_text(text: str, field: Field) -> str:
    """The text without what was copied along: surrounding whitespace, or the URL around a name."""
    text = strip_pasted(text)
    if field.kind == "multiline":
        return text.replace("\r\n", "\n").replace("\r", "\n")
    if field.suffix or field.format == "host":
        text = text.removeprefix("https://").removeprefix("http://")
    if field.suffix:
        text = text.partition(field.suffix)[0].rstrip("/")
    if field.format == "host":
        text = text.partition("/")[0]
    return text


def _check_text(field: Field, text: str, words: Words) -> str:
    if find_unusable(text, is_multiline=field.kind == "multiline", is_name=True):
        return words("invalid_characters")
    if len(text) > field.max_length:
        return words("invalid_long", limit=field.max_length)
    if len(text) < field.min_length:
        return words("invalid_short", limit=field.min_length)
    if field.pattern and not matches_pattern(field.pattern, text):
        return _describe_pattern(field, text, words)
    if field.format and not normalize_host(text, field.format):
        return words(f"invalid_format_{field.format}")
    return ""


def _describe_pattern(field: Field, text: str, words: Words) -> str:
    """Why a value does not match the pattern of its field."""
    prefix = field.prefix
    if prefix and not text.startswith(prefix):
        name = f"wrong_start_{field.noun}".removesuffix("_")
        return words(name, field=field.title, prefix=prefix, example=field.example or f"{prefix}…")
    return words("invalid_like" if field.example else "invalid", example=field.example)


def _parse_number(field: Field, text: str, words: Words) -> tuple[JsonValue, str]:
    value: float
    try:
        value = int(text) if field.is_integer else float(text)
    except (ValueError, OverflowError):
        return None, words("invalid_integer" if field.is_integer else "invalid_number")
    if not abs(value) <= MAX_NUMBER:  # refuses NaN too
        return None, words("invalid_number_range")
    if field.minimum is not None and value < field.minimum:
        return None, words("number_minimum", limit=field.minimum)
    if field.maximum is not None and value > field.maximum:
        return None, words("number_maximum", limit=field.maximum)
    return value, ""


def _parse_choice(field: Field, value: object, words: Words) -> tuple[JsonValue, str]:
    if value is None or value == "":
        return None, words("missing_choice") if field.required else ""
    choice = next((choice for choice in field.choices if str(choice) == str(value)), None)
    return choice, "" if choice is not None else words("invalid_choice")


def _parse_boolean(field: Field, value: object, words: Words) -> tuple[JsonValue, str]:
    if value is None or value == "":
        return None, words("missing_boolean") if field.required else ""
    parsed = value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower())
    return parsed, "" if parsed is not None else words("invalid_boolean")
