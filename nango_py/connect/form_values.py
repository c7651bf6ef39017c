"""What a user typed or pasted, made into what is stored; or, field by field, what is wrong with it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from nango_py.config.schema.field_patterns import matches_pattern
from nango_py.config.urls.hosts import FORMATS, normalize_host
from nango_py.connect.forms import ADDITIONAL_CONFIG, CREDENTIALS, form_of
from nango_py.errors import nearest, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.model import Integration
    from nango_py.connect.forms import Field, Form

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
LARGEST_NUMBER = 2**53
"""Larger ones are not the same in every JSON reader."""

MOST_UNKNOWN = 20
"""Names that no form has, of which each is looked up; what nobody typed is not worth more."""

_LINES = frozenset("\n\t")
_TRUE_OR_FALSE = {"true": True, "false": False}


class FormValues:
    """The values of a form, read once.

    Attributes:
        credentials: as they are stored.
        additional_config: the same; what was left empty is left out.
        faults: a sentence for each field that is wrong. It never holds what was typed.
    """

    def __init__(self, form: Form, credentials: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.faults: dict[str, str] = {}
        self.credentials = {**form.fixed, **self._group(form.named(CREDENTIALS), credentials)}
        self.additional_config = {**form.decided, **self._group(form.named(ADDITIONAL_CONFIG), config)}

    def _group(self, fields: Mapping[str, Field], given: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for name in [name for name in given if name not in fields][:MOST_UNKNOWN]:
            near = nearest(str(name), fields)
            hint = f'did you mean "{near}"?' if near else "it was not stored"
            self.faults[printable(str(name))] = f"There is no such field; {hint}"
        for name, field in fields.items():
            value, fault = parse_value(field, given.get(name))
            if fault:
                self.faults[name] = fault
            elif value is not None or field.blank:
                values[name] = "" if value is None else value
        return values


def parse_value(field: Field, given: Any) -> tuple[Any, str]:
    """The value of a field and "", or None and what is wrong; None and "" where it may be empty and is."""
    if field.kind == "choice":
        return _chosen(field, given)
    if field.kind == "boolean":
        return _switched(field, given)
    if isinstance(given, int | float) and not isinstance(given, bool) and field.kind == "number":
        given = str(given)
    if given is None or given == "":
        return None, "This is needed." if field.required else ""
    if not isinstance(given, str):
        return None, "This has to be text."
    text = clean_text(given, field)
    if not text:
        return None, "This is needed." if field.required else ""
    fault = _text_fault(field, text)
    if fault:
        return None, fault
    if field.kind == "number":
        return _number(field, text)
    return (text if text.endswith(field.append) else text + field.append), ""


def clean_settings(integration: Integration, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as their user meant them: texts that the form asks for cleaned, empty ones left out."""
    form = form_of(integration)
    fields = form.named(ADDITIONAL_CONFIG)
    texts = {
        name: clean_text(value, fields[name])
        for name, value in config.items()
        if name in fields and isinstance(value, str)
    }
    kept = {name: value for name, value in {**config, **texts}.items() if texts.get(name) != ""}
    return {**form.decided, **kept}


def clean_text(given: str, field: Field) -> str:
    """The text without what is copied along with it: blanks around it, and the address around a name."""
    text = given.strip().strip(_INVISIBLE).strip()
    if field.kind == "multiline":
        return text.replace("\r\n", "\n").replace("\r", "\n")
    if field.suffix or field.format == "host":
        text = text.removeprefix("https://").removeprefix("http://")
    if field.suffix:
        text = text.partition(field.suffix)[0].rstrip("/")
    if field.format == "host":
        text = text.partition("/")[0]
    return text


def _text_fault(field: Field, text: str) -> str:
    allowed = _LINES if field.kind == "multiline" else frozenset()
    if any(unicodedata.category(char) in {"Cc", "Cs"} and char not in allowed for char in text):
        return "This holds a line break or another character that cannot be seen; copy it again without it."
    if len(text) > field.longest:
        return f"This is too long: at most {field.longest} characters."
    if len(text) < field.shortest:
        return f"This is too short: at least {field.shortest} characters."
    if field.pattern and not matches_pattern(field.pattern, text):
        like = f" It looks like {field.example}." if field.example else ""
        return f"This does not look right.{like}"
    if field.format and not normalize_host(text, field.format):
        return f"This has to be {FORMATS[field.format]}."
    return ""


def _number(field: Field, text: str) -> tuple[Any, str]:
    value: float
    try:
        value = int(text) if field.whole else float(text)
    except (ValueError, OverflowError):
        return None, f"This has to be a {'whole number' if field.whole else 'number'}."
    if not abs(value) <= LARGEST_NUMBER:  # so that NaN is refused too
        return None, "This number cannot be used."
    if field.minimum is not None and value < field.minimum:
        return None, f"This has to be at least {field.minimum}."
    if field.maximum is not None and value > field.maximum:
        return None, f"This can be at most {field.maximum}."
    return value, ""


def _chosen(field: Field, given: Any) -> tuple[Any, str]:
    if given is None or given == "":
        return None, "Please choose one." if field.required else ""
    found = next((choice for choice in field.choices if str(choice) == str(given)), None)
    return found, "" if found is not None else "Please choose one of those offered."


def _switched(field: Field, given: Any) -> tuple[Any, str]:
    if given is None or given == "":
        return None, "Please choose." if field.required else ""
    value = given if isinstance(given, bool) else _TRUE_OR_FALSE.get(str(given).lower())
    return value, "" if value is not None else "This has to be yes or no."
