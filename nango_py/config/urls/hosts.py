"""Hosts that a connection names: the fields that may contain one, and the syntax of their values.

What address a name resolves to is checked when a socket is opened (`nango_py.transport.addresses`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.config.model import UserHosts
from nango_py.config.urls.paths import DEFAULT_PORTS
from nango_py.config.values import MAPPINGS, mapping_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nango_py.config.template.compiled import Template
    from nango_py.json_types import Settings

FORMATS = {
    "host": "a host name such as gitlab.example.com, optionally with :port, without https://",
    "origin": "https:// and a host name, optionally with :port, without a path",
}
"""The formats of a field that may be the whole host of a URL, and the values of each."""

ARTICLES = {"host": "a host", "origin": "an origin"}
"""The formats with their articles."""

ROOT = "additional_config."
TABLES = "hosts."
"""The beginning of names for hosts of the file's own tables."""

TABLE = "table"
LONGEST_NAME = 253
LARGEST_PORT = 65_535

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Compiled on first use; most programs have no such hosts.
_HOST = rf"(?P<name>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?"
# With such a last label many clients parse the host as an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER = "[0-9]+|0x[0-9a-f]*"


def normalize_host(value: object, kind: str) -> str:
    """A host or an origin in lower case and without a trailing slash; "" if it is not valid.

    IP addresses in any notation, user names, paths, trailing dots and letters outside ASCII are refused.
    International names need their xn-- form.

    Args:
        value: the value of the user.
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
    """The origin of a URL as browsers write it: in lower case and without the default port."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc.removesuffix(f':{DEFAULT_PORTS.get(parts.scheme)}')}"


def host_fields(settings: Settings) -> dict[str, str]:
    """The format of each field of `connection_config` that is declared as a host, by template name."""
    return {
        f"{ROOT}{name}": str.__str__(field["format"])
        for name, field in mapping_at(settings, "connection_config", "properties").items()
        if isinstance(field, MAPPINGS) and isinstance(field.get("format"), str)
    }


def user_hosts(settings: Settings, bases: Iterable[Template]) -> UserHosts | None:
    """The hosts that users of an integration name; None if they name none.

    Args:
        settings: the merged settings, checked.
        bases: its compiled base URLs.
    """
    fields = host_fields(settings)
    if not fields:
        return None
    texts = list(iter_texts(settings.get("auth")))
    return UserHosts(
        fields,
        tuple(map(str.__str__, settings["requests"].get("allowed_networks", ()))),
        in_base_url=any(not fields.keys().isdisjoint(base.names) for base in bases),
        in_auth=any(name in text for text in texts for name in fields),
    )


def whole_host(template: Template, fields: Mapping[str, str]) -> tuple[int, str]:
    """The index and format of the piece that is the whole host or origin of a URL; (-1, "") if there is none.

    The format is "host", "origin", or "table" for a host of the file's own tables.

    Every name in the piece must be declared, or name a table. Before a host only `https://` may be written,
    and nothing before an origin. After it there may be a port, a path or nothing.
    """
    parts = template.outline()
    for index, names in enumerate(template.names_by_piece()[:2]):
        kinds = {TABLE if name.startswith(TABLES) else fields.get(name, "") for name in names}
        if len(kinds) != 1 or kinds <= {""}:
            continue
        kind = kinds.pop()
        before = parts[0][0] if index else ""
        after, _ = parts[index + 1] if index + 1 < len(parts) else ("/", "")
        is_host = kind != "origin"
        fits = re.fullmatch("https?://", before, re.IGNORECASE) if is_host else not index
        if fits and after[:1] in ({"/", "?", ":"} if is_host else {"/", "?"}):
            return index, kind
    return -1, ""


def is_network(text: str) -> bool:
    """Whether the text is a network such as `10.0.0.0/8` or `fd00::/8`, with zeros after the prefix."""
    import ipaddress

    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text


def iter_texts(value: object) -> Iterator[str]:
    """Every text in a settings tree."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, MAPPINGS):
        for item in value.values():
            yield from iter_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iter_texts(item)
