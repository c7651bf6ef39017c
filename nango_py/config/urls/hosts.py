"""Hosts that a connection names itself: which fields may hold one, and what such a value may be.

Only syntax; where the name leads is looked at when a socket is opened (`nango_py.transport.addresses`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nango_py.config.model import UserHosts
from nango_py.config.urls.paths import DEFAULT_PORTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from nango_py.config.template.compiler import Template

FORMATS = {
    "host": "a host name such as gitlab.example.com, with :port if need be, and no https:// before it",
    "origin": "https://, a host name and, if need be, :port, with no path behind them",
}
"""The formats of a field that may be the whole host of a URL, and what each expects."""

ARTICLES = {"host": "a host", "origin": "an origin"}
"""The formats in a sentence."""

ROOT = "additional_config."
LONGEST_NAME = 253
LARGEST_PORT = 65_535

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Compiled where a host is looked at; most programs have none.
_HOST = rf"(?P<name>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?"
# A last label of this form makes the whole an IPv4 address for many readers (WHATWG URL, "ends in a number").
_NUMBER = "[0-9]+|0x[0-9a-f]*"


def normalize_host(value: Any, kind: str) -> str:
    """A host or an origin in its usual form, lower case and without a slash at its end; "" if it is none.

    Addresses in any spelling, user names, paths, dots at the end and letters outside ASCII are refused:
    international names are written in their xn-- form.

    Args:
        value: what the user gave.
        kind: one of FORMATS.
    """
    if not isinstance(value, str) or not value.isascii():
        return ""
    text = value.lower()
    if kind == "origin":
        if not text.startswith("https://"):
            return ""
        text = text.removeprefix("https://").removesuffix("/")
    found = re.fullmatch(_HOST, text)
    if found is None or len(found["name"]) > LONGEST_NAME or int(found["port"] or 1) > LARGEST_PORT:
        return ""
    if re.fullmatch(_NUMBER, found["name"].rpartition(".")[2]):
        return ""
    return f"https://{text}" if kind == "origin" else text


def origin_of(url: str) -> str:
    """The origin of a URL as browsers write it: in lower case, and without the usual port."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc.removesuffix(f':{DEFAULT_PORTS.get(parts.scheme)}')}"


def host_fields(settings: Mapping[str, Any]) -> dict[str, str]:
    """The fields of `connection_config` that are declared as a host: template name -> format."""
    config: Any = settings.get("connection_config")
    fields: Any = config.get("properties") if hasattr(config, "get") else None
    return {
        f"{ROOT}{name}": str.__str__(field["format"])
        for name, field in (fields.items() if hasattr(fields, "items") else ())
        if hasattr(field, "get") and isinstance(field.get("format"), str)
    }


def user_hosts(settings: Mapping[str, Any], base_url: Template) -> UserHosts | None:
    """What an integration lets its users name; None, for most, where they name no host.

    Args:
        settings: the merged settings, checked.
        base_url: its compiled base URL.
    """
    fields = host_fields(settings)
    if not fields:
        return None
    texts = list(iter_texts(settings.get("auth")))
    return UserHosts(
        fields,
        tuple(map(str.__str__, settings["requests"].get("allowed_networks", ()))),
        in_base_url=not fields.keys().isdisjoint(base_url.names),
        in_auth=any(name in text for text in texts for name in fields),
    )


def whole_host(template: Template, fields: Mapping[str, str]) -> tuple[int, str]:
    """Which piece of a URL is its whole host, or its whole origin, and of which format; (-1, "") for none.

    A piece counts only if every name in it is declared, and if nothing but the file's own `https://` stands
    before a host, nothing before an origin, and a path, a port or the end behind it.
    """
    parts = template.outline()
    for index, names in enumerate(template.names_by_piece()[:2]):
        kinds = {fields.get(name, "") for name in names}
        if len(kinds) != 1 or kinds <= {""}:
            continue
        kind = kinds.pop()
        before = parts[0][0] if index else ""
        after, _ = parts[index + 1] if index + 1 < len(parts) else ("/", "")
        fits = re.fullmatch("https?://", before, re.IGNORECASE) if kind == "host" else not index
        if fits and after[:1] in ({"/", "?", ":"} if kind == "host" else {"/", "?"}):
            return index, kind
    return -1, ""


def is_network(text: str) -> bool:
    """Whether the text is a network as `10.0.0.0/8` or `fd00::/8`, with no bit set behind its prefix."""
    import ipaddress

    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text


def iter_texts(value: Any) -> Iterator[str]:
    """Every text in a tree of settings."""
    if isinstance(value, str):
        yield value
        return
    items: Collection[Any] = value.values() if hasattr(value, "values") else value or ()
    if isinstance(items, str | int | float):
        return
    for item in items:
        yield from iter_texts(item)
