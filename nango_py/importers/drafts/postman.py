"""Reads what a draft needs from a Postman collection (format v2.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nango_py.importers.drafts.draft import BASIC, CLIENT, KEY, OAUTH2, Setting
from nango_py.importers.drafts.parts import choose_verification, first_paragraph, mapping, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 20
LONGEST_URL = 2000
_VARIABLE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")
_URL = re.compile(r"(https?://[^/?#]+)(/[^?#]*)?")


def is_postman(data: dict[str, Any]) -> bool:
    """Whether a document is a collection."""
    return isinstance(data.get("item"), list) and "schema" in mapping(data.get("info"))


def read_postman(data: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a Draft that a collection states."""
    info = mapping(data.get("info"))
    values = {
        str(mapping(each).get("key")): str(mapping(each).get("value") or "")[: LONGEST_URL + 1]
        for each in _list(data.get("variable"))
    }
    requests = list(_requests(data, 0))
    urls = [_resolve(_raw_url(request), values) for request in requests]
    base, settings = _base_url([url for url in urls if url])
    found: dict[str, Any] = {
        "title": sentence(info.get("name"), 80),
        "comment": first_paragraph(_description(info.get("description"))),
        "base_url": base,
        "settings": settings,
        "verification": _verification(requests, urls, base),
    }
    for auth in (data.get("auth"), *(request.get("auth") for request in requests)):
        if login := _login(mapping(auth), values):
            found |= login
            break
    return {key: value for key, value in found.items() if value or key == "key_prefix"}


def _requests(item: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """The requests of a collection and its folders."""
    for each in _list(item.get("item")) if depth < MAX_DEPTH else ():
        child = mapping(each)
        if isinstance(child.get("request"), dict):
            yield child["request"]
        yield from _requests(child, depth + 1)


def _raw_url(request: dict[str, Any]) -> str:
    url = request.get("url")
    return str(mapping(url).get("raw") or "") if isinstance(url, dict) else str(url or "")


def _resolve(url: str, values: dict[str, str]) -> str:
    """The URL with the values of the collection's variables; those without a value are settings."""
    for _ in range(3):  # a variable may hold others
        if len(url) > LONGEST_URL:
            return ""
        url = _VARIABLE.sub(lambda found: values.get(found[1]) or found[0], url)
    return _VARIABLE.sub(lambda found: f"{{{re.sub(r'[^A-Za-z0-9]', '_', found[1])}}}", url)


def _base_url(urls: list[str]) -> tuple[str, tuple[Setting, ...]]:
    """The longest URL below which most requests of the most frequent host lie."""
    found = [match for url in urls if (match := _URL.match(url))]
    hosts = [match[1] for match in found]
    if not hosts:
        return "", ()
    host = max(dict.fromkeys(hosts), key=hosts.count)
    paths = [(match[2] or "/").split("/")[1:-1] for match in found if match[1] == host]
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1 or parts[0].startswith((":", "{")) or len(shared) == 2:  # noqa: PLR2004
            break
        shared.append(parts[0])
    names = dict.fromkeys(re.findall(r"\{(\w+)\}", host))
    settings = tuple(Setting(name, "acme") for name in names)
    base = "/".join((host, *shared))
    for name in names:
        base = base.replace(f"{{{name}}}", f"${{additional_config.{name}}}")
    return f"{base}/", settings


def _verification(requests: list[dict[str, Any]], urls: list[str], base: str) -> str:
    """The path of a GET request without variables that suits a verification; "" if there is none."""
    below = re.sub(r"\$\{additional_config\.(\w+)\}", r"{\1}", base)
    paths = [
        url.removeprefix(below).partition("?")[0]
        for request, url in zip(requests, urls, strict=True)
        if str(request.get("method")).upper() == "GET" and base and url.startswith(below)
    ]
    return choose_verification([path for path in paths if path and not re.search(r"[:{}]", path)])


def _login(auth: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """The login of an `auth` block, or {}."""
    kind = str(auth.get("type"))
    block = auth.get(kind)
    fields = {str(mapping(each).get("key")): mapping(each).get("value") for each in _list(block)}
    if isinstance(block, dict):
        fields = block
    if kind == "bearer":
        return {"login": KEY}
    if kind == "basic":
        return {"login": BASIC}
    if kind == "apikey":
        name = str(fields.get("key") or "")
        place = "query" if fields.get("in") == "query" else "header"
        return (
            {"login": KEY, "key_place": place, "key_name": name, "key_prefix": ""}
            if name.isprintable() and name
            else {}
        )
    if kind != "oauth2":
        return {}
    token_url = _resolve(str(fields.get("accessTokenUrl") or ""), values)
    login_url = _resolve(str(fields.get("authUrl") or ""), values)
    if not token_url.startswith("https://") or "{" in token_url + login_url:
        return {}
    if fields.get("grant_type") == "client_credentials":
        return {"login": CLIENT, "token_url": token_url}
    return {"login": OAUTH2, "authorization_url": login_url, "token_url": token_url} if login_url else {}


def _description(value: object) -> object:
    return mapping(value).get("content") if isinstance(value, dict) else value


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
