"""Checks and renders base URLs. Errors are TemplateProblems; their messages never contain a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.template.filters import TemplateProblem
from nango_py.config.urls.hosts import ARTICLES, FORMATS, TABLE, normalize_host, whole_host
from nango_py.config.urls.paths import DEFAULT_PORTS, URL, check_dots, path_value
from nango_py.config.values import NOTHING as NO_FIELDS
from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.template.compiled import Template

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # compiled when a host has variables
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LOOPBACK = re.compile(
    r"localhost|[a-z0-9-]+\.localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\]", re.IGNORECASE
)
EXAMPLES = {"host": "host.example", "origin": "https://host.example", TABLE: "host.example"}
_VARIABLE = "\x00"  # a value in the outline of a URL; files cannot contain NUL

# Second levels below which anyone may register a domain, so that `${x}.co.uk` would be any domain.
_PUBLIC_SECOND_LEVELS = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})


def check_base_url(
    template: Template,
    *,
    allow_http: bool = False,
    allow_query: bool = False,
    fields: Mapping[str, str] = NO_FIELDS,
) -> None:
    """Refuse a base URL that no connection can use safely. Called once, at load.

    Args:
        template: the URL.
        allow_http: whether plain http is allowed for hosts other than loopback.
        allow_query: whether the URL may have a query; for URLs of `auth`, to which no path is joined.
        fields: the format of each variable that may be the whole host (`nango_py.config.urls.hosts`).

    Raises:
        TemplateProblem: E301 to E305, E316.
    """
    outline = _outline(template, fields)
    if allow_query and "#" not in outline:
        outline = outline.partition("?")[0]
    scheme = _SCHEME.match(outline)
    if scheme is None:
        if outline.startswith(_VARIABLE):
            raise _variable_host(is_whole=True)
        raise TemplateProblem("E301", "URL has no scheme", hint=_with_scheme(template))
    if scheme[1].lower() not in DEFAULT_PORTS:
        what = f'URL has the scheme "{printable(scheme[1], 20)}"'
        raise TemplateProblem("E301", what, expected="expected https")
    authority = re.split(r"[/?#\\]", outline[scheme.end() :], maxsplit=1)[0]
    if "@" in authority:
        raise TemplateProblem("E303", "credentials in a URL", hint="move them to auth or to headers")
    host = _check_host(authority)
    if not URL.fullmatch(outline.replace(_VARIABLE, "x")) or not _is_host(host):
        expected = "expected https://host/path/ without ?, #, spaces or backslashes"
        raise TemplateProblem("E301", "not a base URL", expected=expected)
    check_dots(outline[scheme.end() + len(authority) :].replace(_VARIABLE, "x"))
    if scheme[1].lower() == "http" and not allow_http and not _LOOPBACK.fullmatch(host):
        raise _plain_http()
    _check_defaults(template, fields)


def _check_defaults(template: Template, fields: Mapping[str, str]) -> None:
    """Refuse a default in the host that is not one DNS label: each connection without a value would fail."""
    whole, _ = whole_host(template, fields)
    before = ""
    for index, (text, default) in enumerate(template.defaults()):
        before += text
        if "/" in before.partition("://")[2]:
            return
        if default is not None and index != whole and not re.fullmatch(_LABEL, default):
            what = "the default of a variable in the host is not one DNS label"
            raise TemplateProblem("E305", what, expected="expected a-z 0-9 - without dots")


def _outline(template: Template, fields: Mapping[str, str]) -> str:
    """The URL with NUL for each value, and an example host for a value that may be the whole host."""
    pieces = [text if not name else _VARIABLE for text, name in template.outline()]
    index, kind = whole_host(template, fields)
    if kind:
        pieces[index] = EXAMPLES[kind]
    return "".join(pieces)


def _with_scheme(template: Template) -> str:
    if template.is_hidden or not re.match(r"[A-Za-z0-9-]+\.[A-Za-z0-9.-]+(?:/|$)", template.source):
        return "write https://host/path/"
    return f"did you mean https://{printable(template.source.rstrip('/'))}/?"


def _variable_host(*, is_whole: bool) -> TemplateProblem:
    what = "be the whole host" if is_whole else "end the host, because users could then choose its domain"
    return TemplateProblem(
        "E304",
        f"a variable may not {what}",
        hint="fix the domain, e.g. https://${additional_config.subdomain}.example.com",
    )


def _check_host(authority: str) -> str:
    """The host of an authority with NUL for each variable, if the file fixes its last labels."""
    host, colon, port = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    if not colon:
        host, port = authority, ""
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):  # noqa: PLR2004
        code = "E304" if _VARIABLE in port else "E301"
        raise TemplateProblem(code, "the port must be a number from 1 to 65535, written in the file")
    labels = host.split(".")
    varying = [index for index, label in enumerate(labels) if _VARIABLE in label]
    if not varying:
        return host
    fixed = [label.lower() for label in labels[varying[-1] + 1 :]]
    public = len(fixed) == 2 and fixed[0] in _PUBLIC_SECOND_LEVELS and len(fixed[1]) == 2  # noqa: PLR2004
    if fixed == ["localhost"] or (len(fixed) >= 2 and not fixed[-1].isdigit() and not public):  # noqa: PLR2004
        return host.replace(_VARIABLE, "x")
    raise _variable_host(is_whole=host == _VARIABLE)


def render_url(
    template: Template, variables: Mapping[str, object], fields: Mapping[str, str] = NO_FIELDS
) -> str:
    """The base URL of a connection, from a template that passed `check_base_url`.

    A value in the host must be one DNS label, or a whole host if `fields` declares it or it is from a table.
    A value in the path is percent-encoded.

    Raises:
        TemplateProblem: a value in the host (E305) or in the path (E314, E316) is not allowed.
    """
    if template.is_constant:
        return template.render(variables)
    parts = template.render_parts(variables)
    index, kind = whole_host(template, fields)
    if kind:
        text = parts[index][0]
        parts[index] = (text if kind == TABLE else _normalize_whole_host(parts[index], kind), "")
    text = _join_parts(template, parts)
    found = URL.fullmatch(text)
    del text
    if found is None or not _is_host(found["host"]):
        raise TemplateProblem("E305", "the values of this connection do not form a host name")
    return found[0]


def _is_host(host: str) -> bool:
    if host.startswith("["):
        from ipaddress import IPv6Address

        try:
            IPv6Address(host[1:-1])
        except ValueError:
            return False
        return True
    return all(re.fullmatch(_LABEL, label) for label in host.split("."))


def _plain_http() -> TemplateProblem:
    return TemplateProblem(
        "E302",
        "credentials would travel unencrypted",
        hint="use https:// (requests.allow_http: true only for local tests)",
    )


def _join_parts(template: Template, parts: Iterable[tuple[str, str]]) -> str:
    """The joined parts; values in the host are checked, those after it percent-encoded."""
    text = ""
    host_ended = False
    path_start = 0
    for index, (part, name) in enumerate(parts):
        if not name:
            text += part
            start = text.find("://")
            if not host_ended and start >= 0 and (slash := text.find("/", start + 3)) >= 0:
                host_ended, path_start = True, slash
        elif not host_ended:
            text += _check_label(part, name, is_expression=template.is_expression(index))
        else:
            text += path_value(part, name)
    if host_ended:
        check_dots(text[path_start:])
    return text


def _normalize_whole_host(part: tuple[str, str], kind: str) -> str:
    value, name = part
    found = normalize_host(value, kind)
    del part, value
    if found:
        return found
    raise TemplateProblem("E305", f'"{name}" is not {ARTICLES[kind]}', expected=f"expected {FORMATS[kind]}")


def _check_label(value: str, name: str, *, is_expression: bool) -> str:
    if re.fullmatch(_LABEL, value):
        return value
    del value
    # The text of an expression may be a value or written in the file.
    what = f'the expression with "{name}" does not give' if is_expression else f'"{name}" is not'
    raise TemplateProblem("E305", f"{what} one DNS label", expected="expected a-z 0-9 - without dots")
