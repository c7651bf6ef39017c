"""Names and values of headers. Error messages never hold a value.

E312: a value that no header may have. E313: a name that no header may have.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from nango_py.config.template.filters import TemplateProblem
from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.template.compiled import Template

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_END_OF_C1_CONTROLS = 0xA0

_FRAMING_HEADERS = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer",
    "expect", "http2-settings",
})  # fmt: skip


@lru_cache(maxsize=512)
def is_framing(name: str) -> bool:
    """Whether a header belongs to the connection, so that only the sender may write it.

    Where a request ends, which host it goes to and what becomes of the connection is not for the caller to
    say: other requests share the connection (RFC 9110 section 7.6.1, RFC 9112 section 6).

    Args:
        name: in any case; blanks around it do not matter, and some servers take `_` for `-`.
    """
    key = name.strip().lower().replace("_", "-")
    return key in _FRAMING_HEADERS or key.startswith("proxy-")


def check_header_name(name: str, *, is_sent: bool = True) -> None:
    """Refuse a header name that is not a token (RFC 9110 5.6.2), or that only the sender may write.

    Args:
        name: the name.
        is_sent: False for the name of a header that is read, which may be any.

    Raises:
        TemplateProblem: E313.
    """
    if is_sent and is_framing(name):
        raise TemplateProblem(
            "E313", f'header "{printable(name)}" is written by the sender', hint="leave it out"
        )
    if _TOKEN.fullmatch(name):
        return
    if not name:
        raise TemplateProblem("E313", "empty header name")
    bad = next(char for char in name if not _TOKEN.fullmatch(char))
    shown = "space" if bad == " " else "colon" if bad == ":" else f'"{printable(bad)}"'
    suggestion = re.sub(r"\s+", "-", name.strip().rstrip(":").strip())
    hint = (
        f"did you mean {suggestion}?"
        if _TOKEN.fullmatch(suggestion)
        else "allowed: letters, digits and !#$%&'*+-.^_`|~"
    )
    raise TemplateProblem("E313", f"{shown} in header name", hint=hint)


def check_header_value(value: str, name: str) -> None:
    """Refuse a header value that RFC 9110 5.5 does not allow, or that ISO-8859-1 cannot encode.

    Raises:
        TemplateProblem: E312. It names the header and the position of the wrong character, never the value.
    """
    if _FIELD_VALUE.fullmatch(value) and value == value.strip(" \t"):
        return
    fault = _find_fault(value)
    del value
    raise TemplateProblem("E312", f'header "{printable(name)}" {fault}')


def _find_fault(value: str) -> str:
    for index, char in enumerate(value):
        if char in "\r\n":
            return f"holds a line break ({ascii(char)[1:-1]} at {index + 1})"
        if not _FIELD_VALUE.fullmatch(char):
            is_control = ord(char) < _END_OF_C1_CONTROLS
            kind = "a control character" if is_control else "a character outside ISO-8859-1"
            return f"holds {kind} at {index + 1}"
    return "begins or ends with a space"


def check_header_template(template: Template, name: str) -> None:
    """Check at load what the file itself says of a header's value.

    Raises:
        TemplateProblem: E312.
    """
    outline = "".join(text if not variable else "x" for text, variable in template.outline())
    check_header_value(outline if template.is_constant else outline.strip(" \t"), name)


def render_header(template: Template, variables: Mapping[str, object], name: str) -> str:
    """The checked value of a header.

    Raises:
        TemplateProblem: E312 or E314.
    """
    value = template.render(variables)
    if _FIELD_VALUE.fullmatch(value) and value == value.strip(" \t"):
        return value
    fault = _find_fault(value)
    del value
    raise TemplateProblem("E312", f'header "{printable(name)}" {fault}')
