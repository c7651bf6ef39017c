"""Compares blueprints with the OpenAPI documents of their vendors; keeps the results in openapi_checks.json.

    python tools/check_openapi.py klaviyo:v1 https://github.com/klaviyo/openapi openapi/stable.json

The last arguments are copies of the documents, which are not kept; discovery documents of Google are read
too. Where a vendor publishes no OpenAPI document, the operations of its library, its manual or its
specification in another format are written as OpenAPI first, and `--compared-with` says which of them it was.
Compared are the hosts, the login, and the path and method of the verification, of each
example, and of each request of an action. What the document does not have is a difference: either the
blueprint is wrong or the document is incomplete; write which one into `reasons`. A test fails if a
blueprint has other paths than were checked, or a difference has no reason.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nango_py.config.catalogue import open_catalogue
from nango_py.errors import Position
from nango_py.importers.drafts.parts import deref, mapping
from nango_py.importers.reading import read_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import Settings

RESULTS = Path(__file__).parent / "openapi_checks.json"
KINDS = ("openapi", "specification", "library", "manual")
METHODS = frozenset({"get", "post", "put", "patch", "delete", "head"})
_TEMPLATE = re.compile(r"\$?\{[^}]*\}")
_ANY = "[^/]+"
REASONS = "reasons"


def main(arguments: list[str] | None = None) -> int:
    """Check one blueprint, print the differences, and keep the result; 1 if there are differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("blueprint", help="the name:version")
    parser.add_argument("source", help="the URL where the vendor publishes the documents")
    parser.add_argument("documents", nargs="+", type=Path)
    parser.add_argument(
        "--compared-with", choices=KINDS, default=KINDS[0], help="from what the documents come (openapi)"
    )
    options = parser.parse_args(arguments)
    result = check(options.blueprint, [openapi_of(read_mapping(path)) for path in options.documents])
    result |= {"source": options.source, "compared_with": options.compared_with}
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    reasons = known.get(options.blueprint, {}).get(REASONS, {})
    result[REASONS] = {each: reasons.get(each, "") for each in result["differences"]}
    known[options.blueprint] = result
    RESULTS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
    for difference in result["differences"]:
        print(f"{options.blueprint}: {difference}")  # noqa: T201
    print(f"{options.blueprint}: {len(result['paths'])} paths checked, {options.compared_with}")  # noqa: T201
    return 1 if result["differences"] else 0


def check(name: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The result for one blueprint: the paths that were looked up, and what differs."""
    settings = open_catalogue(None).find(name, Position("check_openapi")).settings
    declared = [operation for document in documents for operation in operations(document)]
    hosts = [host for document in documents for host in hosts_of(document)]
    differences = [*host_differences(settings, hosts), *login_differences(settings, documents)]
    calls = calls_of(settings)
    for method, path in calls:
        if not any(method == known and pattern.fullmatch(path) for known, pattern in declared):
            differences.append(f"{method} {path} is not in the document")
    return {
        "checked_on": datetime.now(UTC).date().isoformat(),
        "paths": [f"{method} {path}" for method, path in calls],
        "differences": differences,
    }


def calls_of(settings: Settings) -> list[tuple[str, str]]:
    """The method and whole path of the verification, each example and each action, below the base URL."""
    calls = [each["call"] for each in settings.get("examples", ())]
    if "verification" in settings:
        calls.append(settings["verification"])
    for action in settings.get("actions", {}).values():
        steps = (step.get("request") for step in action.get("steps", ()))
        calls += [request for request in (action.get("request"), *steps) if request and "path" in request]
    found = {}
    for call in calls:
        path = _TEMPLATE.sub("x", str(call.get("path", "")))
        bases = settings["requests"].get("bases", {})
        base = bases.get(call.get("base")) or base_of(settings, str(call.get("method", "GET")), path)
        whole = urlsplit(fill(base)).path.rstrip("/") + "/" + path.lstrip("/")
        found[str(call.get("method", "GET")).upper(), whole.partition("?")[0].rstrip("/")] = None
    return list(found)


def fill(url: str) -> str:
    """A URL with a word for each template, of which the first may be a whole origin."""
    return _TEMPLATE.sub("x", re.sub(r"^\$\{[^}]*\}(?=/|$)", "https://x.test", url))


def base_of(settings: Settings, method: str, path: str) -> str:
    """The base URL of a path: that of the first endpoint with another base which matches it."""
    from nango_py.config.request_match import RequestFacts, RequestMatch

    requests = settings["requests"]
    for endpoint in settings.get("endpoints", ()):
        match = RequestMatch.from_settings(endpoint["match"]) if "base" in endpoint else None
        if match is not None and match.fits(RequestFacts(method, path)):
            return str(requests["bases"][endpoint["base"]])
    return str(requests["base_url"])


def openapi_of(document: dict[str, Any]) -> dict[str, Any]:
    """The document; of a discovery document of Google, its server and paths as OpenAPI has them."""
    if "discoveryVersion" not in document:
        return document
    paths: dict[str, dict[str, Any]] = {}
    for method in discovery_methods(document):
        uploads = mapping(mapping(method.get("mediaUpload")).get("protocols")).values()
        below = str(method.get("flatPath", method["path"]))
        for path in (document["servicePath"] + below, *(str(each["path"]) for each in uploads)):
            paths.setdefault("/" + path.lstrip("/"), {})[method["httpMethod"].lower()] = {}
    return {"servers": [{"url": document["rootUrl"]}], "paths": paths}


def discovery_methods(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The methods of a resource of a discovery document, and of those below it."""
    yield from mapping(resource.get("methods")).values()
    for below in mapping(resource.get("resources")).values():
        yield from discovery_methods(below)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The method and a pattern for the whole path of each operation of a document."""
    general = servers(document)
    for path, item in document.get("paths", {}).items():
        declared = mapping(deref(document, item))
        for method in METHODS & declared.keys():
            urls = servers(mapping(declared[method])) or servers(declared) or general
            bases = dict.fromkeys([*(urlsplit(fill(url)).path.rstrip("/") for url in urls), ""])
            for base in bases:
                parts = re.split(r"\{[^}]*\}", f"{base}{path}".partition("?")[0].rstrip("/"))
                yield method.upper(), re.compile(_ANY.join(map(re.escape, parts)))


def servers(document: dict[str, Any]) -> list[str]:
    """The URLs of the servers; those of OpenAPI 2 are host and basePath."""
    if document.get("host"):
        return [f"https://{document['host']}{document.get('basePath', '')}"]
    return [str(mapping(server).get("url", "")) for server in document.get("servers") or ()]


def hosts_of(document: dict[str, Any]) -> list[str]:
    """The hosts of the servers, with {} for variables."""
    return [re.sub(r"\{[^}]*\}", "{}", urlsplit(url).netloc) for url in servers(document)]


def host_differences(settings: Settings, hosts: list[str]) -> Iterator[str]:
    """A difference if no server has the host of the base URL. Hosts with variables are not compared."""
    host = urlsplit(str(settings["requests"]["base_url"])).netloc
    known = [known for known in hosts if known]
    if not host or "$" in host or not known:
        return
    patterns = [re.compile(_ANY.join(map(re.escape, name.split("{}")))) for name in known]
    if not any(pattern.fullmatch(host) for pattern in patterns):
        yield f"the host {host} is not one of {', '.join(sorted(set(known)))}"


def login_differences(settings: Settings, documents: list[dict[str, Any]]) -> Iterator[str]:
    """A difference if the documents declare OAuth, and none has the token endpoint of the blueprint."""
    if settings["auth"]["auth_mode"] != "OAUTH2":
        return
    token_url = settings["auth"].get("token_url")
    known = {url for document in documents for url in token_urls(document)}
    if isinstance(token_url, str) and "$" not in token_url and known and token_url not in known:
        yield f"the token endpoint {token_url} is not one of {', '.join(sorted(known))}"


def token_urls(document: dict[str, Any]) -> Iterator[str]:
    """The token endpoints of the document's security schemes."""
    schemes = mapping(mapping(document.get("components")).get("securitySchemes"))
    for scheme in (schemes or mapping(document.get("securityDefinitions"))).values():
        resolved = mapping(deref(document, scheme))
        for flow in (resolved, *map(mapping, mapping(resolved.get("flows")).values())):
            url = flow.get("tokenUrl")
            if isinstance(url, str) and url.startswith("https://"):
                yield url


if __name__ == "__main__":
    sys.exit(main())
