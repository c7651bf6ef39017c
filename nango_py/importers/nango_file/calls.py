"""The calls of an entry of a provider file: base URL, headers, limits, pagination and verification."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.importers.nango_file.values import NotTranslatedError, Translator, quote_path
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue

BEARER = {
    "OAUTH2": "Bearer ${access_token}", "OAUTH2_CC": "Bearer ${access_token}", "TWO_STEP": "Bearer ${token}",
    "JWT": "Bearer ${token}", "MCP_OAUTH2": "Bearer ${access_token}", "BASIC": "Basic ${basic_auth_encoded}",
}  # fmt: skip
"""The Authorization header of auth modes whose entries state none."""

_SECONDS_LEFT = re.compile(r".*(retry-after|reset-after|reset-in).*")
_HOST = re.compile(r"https?://\$\{additional_config\.(\w+)\}(?=[/:]|$)")
_ORIGIN = re.compile(r"\$\{additional_config\.(\w+)\}(?=/|$)")


def read_requests(entry: JsonObject, translator: Translator) -> JsonObject:
    """The `requests` of a blueprint.

    Raises:
        NotTranslatedError: the base URL or a header has no equal here.
    """
    proxy = as_object(entry.get("proxy"))
    base = proxy.get("base_url")
    if not isinstance(base, str) or not base:
        raise NotTranslatedError("no base URL")
    requests: JsonObject = {"base_url": f"{translator.text(base).rstrip('/')}/"}
    headers: JsonObject = {
        name.title(): translator.text(value) for name, value in as_object(proxy.get("headers")).items()
    }
    headers.pop("Content-Type", None)
    mode = str(entry["auth_mode"])
    if mode in BEARER:
        headers.setdefault("Authorization", BEARER[mode])
    if headers:
        requests["headers"] = headers
    if query := as_object(proxy.get("query")):
        requests["params"] = translator.tree(query)
    if body := as_object(proxy.get("body")):
        requests["body"] = translator.tree(body)
    if mode == "API_KEY" and "${api_key}" not in str(requests):
        raise NotTranslatedError("it does not say where the key is placed")
    return requests


def host_settings(*urls: JsonValue) -> dict[str, str]:
    """`host` or `origin` for each setting that is the whole host of one of the URLs."""
    texts = [url for url in urls if isinstance(url, str)]
    hosts = {found[1]: "host" for url in texts if (found := _HOST.match(url))}
    return {**hosts, **{found[1]: "origin" for url in texts if (found := _ORIGIN.match(url))}}


def read_limits(entry: JsonObject, notes: list[str]) -> JsonObject:
    """The headers of limits, as `rate_limits`; {} if there are none but Retry-After, which is always read."""
    retry = as_object(as_object(entry.get("proxy")).get("retry"))
    headers: JsonObject = {}
    waits = [str(name) for key in ("after", "at") for name in _list(retry.get(key))]
    for name in waits:
        if name == "retry-after" or name in headers.values():
            continue
        if "retry_after" not in headers and name in _list(retry.get("after")) and "reset" not in headers:
            headers["reset"] = {"name": name, "means": "seconds"}
        elif "reset" not in headers and name in _list(retry.get("at")):
            headers["reset"] = {"name": name, "means": "unix_seconds"}
        else:
            notes.append(f"proxy.retry: {name}")
    if (remaining := retry.get("remaining")) and "reset" in headers:
        headers["remaining"] = str(remaining)
    elif remaining:
        notes.append(f"proxy.retry.remaining: {remaining}")
    found: JsonObject = {"rate_limits": {"headers": headers}} if headers else {}
    others = [str(code) for code in _list(retry.get("error_code")) if str(code) not in {"429", "5xx"}]
    if others:
        notes.append(f"proxy.retry.error_code: {', '.join(others)}")
    if "in_body" in retry:
        notes.append("proxy.retry.in_body")
    return found


def read_pagination(entry: JsonObject, notes: list[str]) -> JsonObject:
    """The `pagination` of a blueprint; {} if the entry has none, or none that is known here."""
    given = as_object(as_object(entry.get("proxy")).get("paginate"))
    if not given:
        return {}
    found: JsonObject = {}
    kind = given.get("type")
    if kind == "cursor" and given.get("cursor_path_in_response"):
        param = given.get("cursor_name_in_request")
        found = {"kind": "cursor", "cursor": quote_path(given["cursor_path_in_response"]), "param": param}
    elif kind == "link" and given.get("link_rel_in_response_header"):
        found = {"kind": "link_header", "rel": given["link_rel_in_response_header"]}
    elif kind == "link" and given.get("link_path_in_response_body"):
        found = {"kind": "next_url", "next": quote_path(given["link_path_in_response_body"])}
    elif kind == "offset" and given.get("offset_name_in_request"):
        by_page = given.get("offset_calculation_method") == "per-page"
        start = given.get("offset_start_value")
        found = {"kind": "page" if by_page else "offset", "param": given["offset_name_in_request"]}
        if start is not None:
            found["start"] = int(str(start))
    else:
        notes.append(f"proxy.paginate: {kind}")
        return {}
    if path := given.get("response_path"):
        found["records"] = quote_path(path)
    if size := given.get("limit_name_in_request"):
        found["size"] = {"param": size}
    return found


def read_verification(entry: JsonObject, translator: Translator, notes: list[str]) -> JsonObject:
    """The `verification` of a blueprint; {} if the entry has none that can be carried over."""
    given = as_object(as_object(entry.get("proxy")).get("verification"))
    paths = _list(given.get("endpoints"))
    if not paths:
        return {}
    if given.get("base_url_override"):
        notes.append("proxy.verification: it has another base URL")
        return {}
    if len(paths) > 1:
        notes.append("proxy.verification: only the first of its endpoints")
    try:
        found: JsonObject = {
            "method": str(given.get("method") or "GET"),
            "path": translator.text(paths[0]).lstrip("/"),
        }
        headers: JsonObject = {
            name.title(): translator.text(text)
            for name, text in as_object(given.get("headers")).items()
            if name.lower() not in {"content-type", "accept", "authorization"}
        }
        if given.get("data") is not None:
            found["json"] = translator.tree(given["data"])
    except NotTranslatedError as error:
        notes.append(f"proxy.verification: {error}")
        return {}
    return {**found, **({"headers": headers} if headers else {})}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [] if value is None else [value]
