"""Values by position: one DNS label in a host, percent-encoded in a path, checked in a header.

Pure functions. They raise TemplateProblem, whose message never holds a value:

    E301 not a URL            E302 plain http             E303 credentials in a URL
    E304 variable host        E305 not one DNS label      E312 header value    E313 header name
    E314 no value             E316 a path that does not stay below base_url
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nango_py.config.template.filters import TemplateProblem
from nango_py.config.urls.base_url import check_base_url, render_url
from nango_py.config.urls.paths import check_path_template, join_path, render_path
from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.template.compiler import Template

__all__ = [
    "check_base_url",
    "check_header_name",
    "check_header_template",
    "check_header_value",
    "check_path_template",
    "join_path",
    "render_header",
    "render_path",
    "render_url",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def check_header_name(name: str) -> None:
    """Refuse a header name that is no token (RFC 9110 5.6.2).

    Raises:
        TemplateProblem: E313.
    """
    if _TOKEN.fullmatch(name):
        return
    if not name:
        raise TemplateProblem("E313", "empty header name")
    bad = next(char for char in name if not _TOKEN.fullmatch(char))
    shown = "space" if bad == " " else "colon" if bad == ":" else f'"{printable(bad)}"'
    mended = re.sub(r"\s+", "-", name.strip().rstrip(":").strip())
    hint = (
        f"did you mean {mended}?"
        if _TOKEN.fullmatch(mended)
        else "allowed: letters, digits and !#$%&'*+-.^_`|~"
    )
    raise TemplateProblem("E313", f"{shown} in header name", hint=hint)


def check_header_value(value: str, name: str) -> None:
    """Refuse a header value that is no field value (RFC 9110 5.5), or is outside ISO-8859-1.

    Raises:
        TemplateProblem: E312; it names the header and what is wrong at which character, never the value.
    """
    if _FIELD_VALUE.fullmatch(value) and value == value.strip(" \t"):
        return
    what = _wrong_with(value)
    del value
    raise TemplateProblem("E312", f'header "{printable(name)}" {what}')


def _wrong_with(value: str) -> str:
    for index, char in enumerate(value):
        if char in "\r\n":
            return f"holds a line break ({ascii(char)[1:-1]} at {index + 1})"
        if not _FIELD_VALUE.fullmatch(char):
            is_control = ord(char) < 0xA0  # noqa: PLR2004 - the end of the C1 controls
            kind = "a control character" if is_control else "a character outside ISO-8859-1"
            return f"holds {kind} at {index + 1}"
    return "begins or ends with a space"


def check_header_template(template: Template, name: str) -> None:
    """Check what the file itself says of a header's value; called once, at load.

    Raises:
        TemplateProblem: E312.
    """
    outline = "".join(text if not variable else "x" for text, variable in template.outline())
    check_header_value(outline if template.is_constant else outline.strip(" \t"), name)


def render_header(template: Template, variables: Mapping[str, Any], name: str) -> str:
    """The value of a header, checked.

    Raises:
        TemplateProblem: E312 or E314.
    """
    value = template.render(variables)
    if _FIELD_VALUE.fullmatch(value) and value == value.strip(" \t"):
        return value
    what = _wrong_with(value)
    del value
    raise TemplateProblem("E312", f'header "{printable(name)}" {what}')
