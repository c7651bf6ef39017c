"""Renders paths below a base URL, and refuses those that lead out of it.

Errors are TemplateProblems; their messages never contain a value.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from nango_py.config.template.filters import TemplateProblem, percent_encoded, utf8

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.template.compiled import Template

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DEFAULT_PORTS = {"https": 443, "http": 80}
# An absolute URL without userinfo, query and fragment.
URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!\"$->@-\[\]-~]*)?",
    re.IGNORECASE,
)


def quote_bytes(header: str) -> str:
    """A URL in a header, with the bytes beyond ASCII percent-encoded as they came, in UTF-8 or not."""
    return re.sub(r"[\x80-\xff]", lambda byte: f"%{ord(byte[0]):02X}", header)


def path_value(value: str, name: str) -> str:
    """A value in a path or query of a file, percent-encoded. It may not be empty."""
    if value:
        return percent_encoded(value, name)
    raise TemplateProblem("E314", f'"{name}" is empty, which would change the meaning of the path')


def render_path(template: Template, variables: Mapping[str, object]) -> str:
    """A path (and query) of a file with every value percent-encoded, for `join_path`.

    Raises:
        TemplateProblem: a value is missing or empty (E314), or the values form a dot segment (E316).
    """
    if template.is_constant:
        return template.render(variables)
    path = "".join(
        path_value(text, name) if name else text for text, name in template.render_parts(variables)
    )
    check_dots(path.partition("?")[0])
    return path


def check_path_template(template: Template) -> None:
    """Refuse a path of a file that leads out of its base URL. Called once, at load.

    Raises:
        TemplateProblem: E316.
    """
    join_path("https://host.invalid/", "".join("x" if name else text for text, name in template.outline()))


# Overlong UTF-8 and %uXXXX are read by some servers; others normalize Unicode.
_ODD_DOT = re.compile(r"%(?:(?:c0|e0%80|f0%80%80)%ae|u002e|uff0e)", re.IGNORECASE)
_ODD_SLASH = re.compile(
    r"%(?:(?:c0|e0%80|f0%80%80)%af|(?:c1|e0%81|f0%80%81)%9c|u002f|uff0f|u005c|uff3c)", re.IGNORECASE
)


def check_dots(path: str) -> None:
    """Refuse `.` and `..` segments in every encoding that a server may decode to them."""
    decoded = path
    for _ in range(8):
        before = decoded
        if "%" in decoded:
            decoded = unquote(_ODD_SLASH.sub("/", _ODD_DOT.sub(".", decoded)), errors="replace")
        if not decoded.isascii():
            decoded = unicodedata.normalize("NFKC", decoded)
        if before == decoded:
            break
    else:
        decoded = "/../"
    segments = re.split(r"[/\\]", decoded)
    has_dots = any(segment.partition(";")[0].strip() in {".", ".."} for segment in segments)
    has_control = _CONTROL.search(decoded) is not None
    del path, before, decoded, segments
    if has_dots:
        raise TemplateProblem(
            "E316", "the path has a dot segment", expected='expected no "." or ".." between slashes'
        )
    if has_control:
        raise TemplateProblem("E316", "the path contains a control character")


_PLAIN_PATH = re.compile(r"/?[A-Za-z0-9_~-][A-Za-z0-9_.~/-]*")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# As in requests, without "#".
_EXPECTED = "expected a path below base_url"
_KEPT = "!$%&'()*+,/:;=?@[]~"


def join_path(base_url: str, path: str) -> str:
    """The URL of a path below the base URL, encoded as it is sent.

    One leading slash is ignored, and the path may have a query. A full URL is allowed if it lies below the
    base URL.

    Raises:
        TemplateProblem: the path has another origin, or may lead out of the base URL (E316).
    """
    if _PLAIN_PATH.fullmatch(path) and "/." not in path and "//" not in path:
        return f"{base_url.rstrip('/')}/{path.removeprefix('/')}"
    if re.match(r"[a-z][a-z0-9+.-]*:[/\\]|https?:", path, re.IGNORECASE):
        path = _strip_base_url(base_url, path)
    _check_shape(path)
    target, mark, query = path.partition("?")
    check_dots(target)
    encoded = quote(utf8(_STRAY_PERCENT.sub("%25", target + mark + query), "path"), safe=_KEPT)
    if not target:
        return base_url + encoded
    return f"{base_url.rstrip('/')}/{encoded.removeprefix('/')}"


def _check_shape(path: str) -> None:
    what = ""
    if _CONTROL.search(path) or _CONTROL.search(unquote(path, errors="replace")):
        what = "contains a control character"
    elif path != path.strip():
        what = "begins or ends with a space"
    elif "\\" in path:
        what = "contains a backslash"
    elif "#" in path:
        what = "contains a fragment (#), which is never sent"
    elif path.startswith("//"):
        what = 'begins with "//", which means another host'
    if what:
        raise TemplateProblem("E316", f"the path {what}", expected=_EXPECTED)


def _strip_base_url(base_url: str, url: str) -> str:
    """The part of a full URL that lies below the base URL."""
    target, mark, query = url.partition("?")
    base, found = _parts_of(base_url), _parts_of(target)
    if base is None or found is None or found[0] != base[0]:
        raise TemplateProblem("E316", "the URL has another origin", expected=_EXPECTED)
    base_path, path = base[1].rstrip("/"), found[1]
    if path != base_path and not path.startswith(base_path + "/"):
        raise TemplateProblem("E316", "the URL is not below base_url", expected=_EXPECTED)
    return path[len(base_path) :] + mark + query


def _parts_of(url: str) -> tuple[tuple[str, str, int], str] | None:
    """The origin (RFC 6454: scheme, host, port) and the path of a URL."""
    found = URL.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    return (scheme, found["host"].lower(), int(found["port"] or DEFAULT_PORTS[scheme])), found["path"] or "/"
