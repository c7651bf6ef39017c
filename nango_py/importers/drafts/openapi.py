"""Reads what a draft needs from an OpenAPI document (2.0 or 3)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nango_py.errors import ConfigError, Position, Problem
from nango_py.importers.drafts.draft import BASIC, CLIENT, KEY, NONE, OAUTH2, Setting
from nango_py.importers.drafts.lists import read_pagination
from nango_py.importers.drafts.parts import (
    choose_verification,
    deref,
    first_paragraph,
    json_content,
    mapping,
    sentence,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SCOPES = 40
LONGEST_SENTENCE = 200
LONGEST_EXAMPLE = 1000
_LONG_NUMBER = re.compile(r"[0-9]{19}")
"""A number that does not fit into 64 bits, which a blueprint refuses."""

_KEY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_SHOWN_KEY = re.compile(r"`(?:Authorization: ?)?([A-Za-z][\w-]*) [^`]+`")
"""A header as it is shown in a description: `Acme-Key your-key`."""

_LIMIT_HEADERS = {
    "limit": re.compile(r"(?:x-)?rate-?limit-limit", re.IGNORECASE),
    "remaining": re.compile(r"(?:x-)?rate-?limit-remaining", re.IGNORECASE),
    "reset": re.compile(r"(?:x-)?rate-?limit-reset", re.IGNORECASE),
    "retry_after": re.compile(r"retry-after", re.IGNORECASE),
}


def check_openapi(data: dict[str, Any], path: Path) -> None:
    """Refuse a document that is not of OpenAPI.

    Raises:
        ConfigError: see above (E201).
    """
    if not isinstance(data.get("paths"), dict) or not _version_of(data):
        what = "not an OpenAPI document"
        expected = "expected openapi or swagger, info and paths"
        raise ConfigError([Problem(Position(str(path), 1, 1), "E201", what, expected)])


def _version_of(data: dict[str, Any]) -> str:
    return str(data.get("openapi") or data.get("swagger") or "")


def read_openapi(data: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a Draft that a document states."""
    info = mapping(data.get("info"))
    found: dict[str, Any] = {"title": sentence(info.get("title"), 80)}
    found["comment"] = first_paragraph(info.get("description"))
    docs_url = mapping(data.get("externalDocs")).get("url") or mapping(info.get("contact")).get("url")
    found["docs_url"] = docs_url if re.fullmatch(r"https?://[^\s?#]+", str(docs_url)) else ""
    found["base_url"], found["settings"] = _base_url(data)
    found |= _login(data)
    operations = list(_operations(data))
    found["headers"] = _fixed_headers(data, operations)
    found |= _verification(data, operations)
    found |= read_pagination(data, operations)
    found["limit_headers"] = _limit_headers(data, operations)
    return {key: value for key, value in found.items() if value or key == "key_prefix"}


def _base_url(data: dict[str, Any]) -> tuple[str, tuple[Setting, ...]]:
    """The URL of the first server, with its variables as settings of the connection."""
    servers = data.get("servers")
    if isinstance(servers, list) and servers:
        server = mapping(servers[0])
        url, settings = str(server.get("url", "")).strip(), []
        for name, declared in mapping(server.get("variables")).items():
            variable = mapping(declared)
            listed = variable.get("enum")
            choices = tuple(map(str, listed)) if isinstance(listed, list) else ()
            default = str(variable.get("default", "acme"))
            if choices and default not in choices:
                default = choices[0]
            own = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "name"
            own = f"name_{own}" if own[0].isdigit() else own
            is_fixed = choices == (default,) or not _is_label(default) or not all(map(_is_label, choices))
            place = f"{{{name}}}"
            is_scheme_or_port = url.startswith(f"{place}:") or f":{place}" in url
            if is_fixed or is_scheme_or_port:  # what is not part of a host name stays as it is
                url = url.replace(place, default)
                continue
            url = url.replace(place, f"${{additional_config.{own}}}")
            settings.append(Setting(own, default, choices, sentence(variable.get("description"), 120)))
    else:
        schemes = data.get("schemes")
        scheme = "http" if schemes == ["http"] else "https"
        host = data.get("host")
        url, settings = f"{scheme}://{host}{data.get('basePath', '')}" if host else "", []
    scheme, _, rest = url.partition("://")
    if not rest or scheme.lower() not in {"https", "http"}:
        return "", ()
    return f"{scheme.lower()}://{rest.rstrip('/')}/", tuple(settings)


def _is_label(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", text) is not None


def _login(data: dict[str, Any]) -> dict[str, Any]:
    """The login of the first security scheme that a draft can have, OAuth first."""
    components = mapping(mapping(data.get("components")).get("securitySchemes"))
    schemes = components or mapping(data.get("securityDefinitions"))
    found = [login for scheme in schemes.values() if (login := _scheme(mapping(deref(data, scheme))))]
    found.sort(key=lambda login: (OAUTH2, KEY, CLIENT, BASIC).index(login["login"]))
    return found[0] if found else {"login": NONE} if not schemes else {}


def _scheme(scheme: dict[str, Any]) -> dict[str, Any]:
    kind, place, http = (str(scheme.get(key) or "").lower() for key in ("type", "in", "scheme"))
    if kind == "apikey" and place in {"header", "query"}:
        name = str(scheme.get("name"))
        if not _KEY_NAME.fullmatch(name) or name.lower() in NOT_FIXED - {"authorization"}:
            return {}
        shown = _SHOWN_KEY.search(str(scheme.get("description") or ""))
        usual = f"{shown[1]} " if shown else "Bearer "
        prefix = usual if name.lower() == "authorization" else ""
        return {"login": KEY, "key_place": place, "key_name": name, "key_prefix": prefix}
    if kind == "http" and http == "bearer":
        return {"login": KEY}
    if kind == "basic" or (kind == "http" and http == "basic"):
        return {"login": BASIC}
    if kind != "oauth2":
        return {}
    flows = mapping(scheme.get("flows")) or {_FLOWS.get(str(scheme.get("flow")), ""): scheme}
    code, client = mapping(flows.get("authorizationCode")), mapping(flows.get("clientCredentials"))
    if _is_url(code.get("authorizationUrl")) and _is_url(code.get("tokenUrl")):
        return {
            "login": OAUTH2, "authorization_url": code["authorizationUrl"], "token_url": code["tokenUrl"],
            "scopes": _scopes(code),
        }  # fmt: skip
    return {"login": CLIENT, "token_url": client["tokenUrl"]} if _is_url(client.get("tokenUrl")) else {}


_FLOWS = {"accessCode": "authorizationCode", "application": "clientCredentials"}
"""The names of OpenAPI 2 for the flows of OpenAPI 3."""


def _is_url(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"https://[^\s?#]+(\?[^\s#]*)?", value) is not None


def _scopes(flow: dict[str, Any]) -> dict[str, str]:
    scopes = mapping(flow.get("scopes"))
    named = {str(name): sentence(text, LONGEST_SENTENCE) for name, text in scopes.items()}
    return {name: text for name, text in list(named.items())[:MAX_SCOPES] if text}


def _operations(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The GET operations, each with its path below the server."""
    for path, item in data["paths"].items():
        operation = mapping(deref(data, item)).get("get")
        if isinstance(operation, dict):
            shared = mapping(deref(data, item)).get("parameters")
            own = operation.get("parameters")
            every = [*(shared if isinstance(shared, list) else ()), *(own if isinstance(own, list) else ())]
            parameters = [mapping(deref(data, parameter)) for parameter in every]
            yield str(path).lstrip("/"), {**operation, "parameters": parameters}


NOT_FIXED = {"authorization", "connection", "content-length", "cookie", "host", "transfer-encoding"}
"""Headers that say who calls, or where a request goes and ends; a document does not choose them."""


def _fixed_headers(data: dict[str, Any], operations: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Headers with a default, such as a version, that most operations require."""
    values: dict[str, str] = {}
    counts: dict[str, int] = {}
    for _, operation in operations:
        for parameter in operation["parameters"]:
            name, default = str(parameter.get("name")), _default_of(data, parameter)
            if parameter.get("in") == "header" and parameter.get("required") and default is not None:
                values[name] = default
                counts[name] = counts.get(name, 0) + 1
    return {
        name: value
        for name, value in values.items()
        if counts[name] > len(operations) / 2 and _KEY_NAME.fullmatch(name) and name.lower() not in NOT_FIXED
    }


def _default_of(data: dict[str, Any], parameter: dict[str, Any]) -> str | None:
    """The value of a parameter that is always the same, if it has one on a line."""
    schema = mapping(deref(data, parameter.get("schema")))
    choices = schema.get("enum")
    only = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    value = next(
        (each for each in (schema.get("const"), schema.get("default"), only) if each is not None), None
    )
    return value if isinstance(value, str) and value.isprintable() and "${" not in value else None


def _verification(data: dict[str, Any], operations: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """A call without parameters that suits a verification, and its response."""
    plain = {
        path: operation
        for path, operation in operations
        if path
        and path.isprintable()
        and "{" not in path
        and not any(_must_be_given(data, one) for one in operation["parameters"])
    }
    path = choose_verification(plain)
    return {"verification": path, "response": _example(data, plain[path])} if path else {}


def _must_be_given(data: dict[str, Any], parameter: dict[str, Any]) -> bool:
    is_fixed = parameter.get("in") == "header" and _default_of(data, parameter) is not None
    return bool(parameter.get("required")) and not is_fixed


def _example(data: dict[str, Any], operation: dict[str, Any]) -> object:
    """The example of a successful response, if the document has one that is short."""
    content = json_content(data, operation)
    examples = mapping(content.get("examples"))
    first = mapping(deref(data, next(iter(examples.values()), {}))).get("value")
    schema = mapping(deref(data, content.get("schema")))
    for value in (content.get("example"), first, schema.get("example")):
        if not isinstance(value, dict | list) or not value:
            continue
        text = json.dumps(value, default=str)
        if len(text) < LONGEST_EXAMPLE and not _LONG_NUMBER.search(text):
            return value
    return None


def _limit_headers(data: dict[str, Any], operations: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """The headers of responses that state limits, if they say when to go on."""
    found: dict[str, str] = {}
    for _, operation in operations:
        for response in mapping(operation.get("responses")).values():
            for name in mapping(mapping(deref(data, response)).get("headers")):
                for key, pattern in _LIMIT_HEADERS.items():
                    if pattern.fullmatch(name):
                        found.setdefault(key, name)
    return found if found.keys() & {"reset", "retry_after"} else {}
