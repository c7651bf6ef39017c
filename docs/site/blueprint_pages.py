"""The pages of the catalogue: one for each blueprint, and an overview with filters."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, NamedTuple

import yaml

from nango_py.cli.blueprint_facts import change_lines, format_limits, format_status, limit_lines
from nango_py.config.own_fields import missing_app_credentials
from nango_py.config.response_match import as_tuple
from nango_py.errors import Position
from nango_py.registry import AUTH_MODES
from nango_py.sandbox.made_up import make_app_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint
    from nango_py.json_types import Settings

AT = Position("catalogue")


class Api(NamedTuple):
    """A blueprint under each of its logins; the first is the default."""

    logins: tuple[Blueprint, ...]

    @property
    def first(self) -> Blueprint:
        """The blueprint with its default login."""
        return self.logins[0]

    @property
    def page(self) -> str:
        """The name of its page: `klaviyo-v1`."""
        return self.first.ref.replace(":", "-")

    @property
    def login_titles(self) -> list[str]:
        """The auth modes, in words."""
        modes = (AUTH_MODES.get(login.settings["auth"]["auth_mode"]).title for login in self.logins)
        return list(dict.fromkeys(modes))


def load(catalogue: Catalogue) -> list[Api]:
    """Every blueprint, sorted by title."""
    found = []
    for ref in catalogue.refs():
        name = f"{ref.name}:{ref.version}"
        first = catalogue.find(name, AT)
        others = (catalogue.find(name, AT, login=login) for login in first.logins[1:])
        found.append(Api((first, *others)))
    return sorted(found, key=lambda api: (api.first.title.lower(), api.first.ref))


def overview(apis: list[Api]) -> str:
    """The page that lists all blueprints, with a search field and filters."""
    categories = sorted({name for api in apis for name in api.first.settings.get("categories", ())})
    logins = sorted({title for api in apis for title in api.login_titles})
    return "\n".join([
        "# Catalogue",
        "",
        f"{len(apis)} blueprints. For an API that is not here, write a [blueprint](../blueprints.md).",
        "",
        '<form class="catalogue">',
        '<input name="words" type="search" placeholder="Search" aria-label="Search">',
        _select("category", "All categories", categories),
        _select("login", "All logins", logins),
        "<output></output>",
        "</form>",
        '<div class="catalogue"><table class="catalogue">',
        "<thead><tr><th>API</th><th>Blueprint</th><th>Login</th><th>Limits</th></tr></thead><tbody>",
        *map(_row, apis),
        "</tbody></table></div>",
        "",
    ])  # fmt: skip


def _select(name: str, every: str, choices: list[str]) -> str:
    options = "".join(f"<option>{html.escape(choice)}</option>" for choice in choices)
    return f'<select name="{name}" aria-label="{every}"><option value="">{every}</option>{options}</select>'


def _row(api: Api) -> str:
    first = api.first
    categories = first.settings.get("categories", ())
    words = " ".join((first.ref, first.title, first.settings.get("comment") or "", *categories)).lower()
    status = format_status(first.status)
    cells = (
        f'<a href="{api.page}.html">{html.escape(first.title)}</a>' + (f" ({status})" if status else ""),
        f"<code>{first.ref}</code>",
        html.escape(", ".join(api.login_titles)),
        html.escape(format_limits(first.settings.get("rate_limits", {}))),
    )
    data = {"words": words, "categories": "|".join(categories), "login": "|".join(api.login_titles)}
    attributes = " ".join(f'data-{name}="{html.escape(value)}"' for name, value in data.items())
    return f"<tr {attributes}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def page(api: Api) -> str:
    """The page of one blueprint."""
    settings = api.first.settings
    sections = (
        ("How to use it", _use(api)),
        ("Credentials", _credentials(api)),
        ("Coverage", _coverage(api)),
        ("Base URL", _base_urls(settings)),
        ("Limits", _limits(settings)),
        ("Scopes", (f"- `{name}`: {_text(text)}" for name, text in settings.get("scopes", {}).items())),
        ("Announced changes", (f"- {_text(line)}" for line in change_lines(api.first))),
        ("Gotchas", (f"- {_text(gotcha)}" for gotcha in settings.get("gotchas", ()))),
        ("Sources", _sources(settings)),
    )
    lines = ["---\norphan: true\n---", f"# {_text(api.first.title)}", "", "[Catalogue](index.md)", ""]
    if status := format_status(api.first.status):
        lines += [f"**Status:** {status}.", ""]
    lines += [_text(settings.get("comment") or ""), ""]
    for title, content in sections:
        if texts := list(content):
            lines += [f"## {title}", "", *texts, ""]
    return "\n".join(lines)


def _use(api: Api) -> Iterator[str]:
    blueprint = api.first
    entry: dict[str, object] = {"extends_blueprint": blueprint.ref}
    prefix = blueprint.name.upper().replace("-", "_")
    needed = make_app_settings(blueprint.settings)
    needed.pop("app", None)
    for key in needed:
        entry[key] = f"${{{prefix}_{key.removeprefix('oauth_').upper()}}}"
    if app := missing_app_credentials(blueprint.settings):
        entry["app"] = {name: f"${{{prefix}_{name.upper()}}}" for name in app}
    text = yaml.safe_dump({"integrations": {blueprint.name: entry}}, sort_keys=False).strip()
    path = next(iter(_example_paths(blueprint.settings)), "")
    yield f"```yaml\n{text}\n```\n"
    yield f'```python\nnango.executor("{blueprint.name}", "user-1").get({json.dumps(path)})\n```'
    if len(api.logins) > 1:
        names = ", ".join(f"`{login.login}`" for login in api.logins[1:])
        yield f"\nOther logins, chosen by `login:` in integrations.yaml: {names}."


def _example_paths(settings: Settings) -> Iterator[str]:
    for example in settings.get("examples", ()):
        call = example["call"]
        if call.get("method", "GET") == "GET" and call.get("path"):
            yield call["path"]


def _credentials(api: Api) -> Iterator[str]:
    for login in api.logins:
        settings = login.settings
        name = f" (`{login.login}`)" if login.login else ""
        yield f"- {AUTH_MODES.get(settings['auth']['auth_mode']).title}{name}"
        for field, words in settings.get("credentials", {}).items():
            if "value" not in words:
                title = words.get("title") or field
                yield f"  - `{field}`: {_text(': '.join(filter(None, (title, words.get('help')))))}"
        for field, schema in settings.get("connection_config", {}).get("properties", {}).items():
            texts = (schema.get("title"), schema.get("description"))
            yield f"  - `{field}`: {_text(': '.join(filter(None, texts)))}"


def _coverage(api: Api) -> Iterator[str]:
    settings = api.first.settings
    auth = settings["auth"]
    mode = AUTH_MODES.get(auth["auth_mode"])
    retries = settings.get("retries", {})
    rows = {
        "login by nango_py": mode.name.startswith(("OAUTH", "MCP")) and "authorization_url" in auth,
        "token refresh": "token_url" in auth,
        "revocation": "revocation_url" in auth,
        "limits kept in advance": bool(settings.get("rate_limits", {}).get("budgets")),
        "waits that the API requests": True,
        "retries": True,
        "idempotency keys": "idempotency" in retries or "idempotency_header" in retries,
        "pagination": "pagination" in settings,
        "verification of credentials": "verification" in settings,
        "any endpoint": True,
    }
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {'yes' if has else 'no'} |" for name, has in rows.items())


def _base_urls(settings: Settings) -> Iterator[str]:
    requests = settings.get("requests", {})
    yield f"`{requests.get('base_url')}`"
    for name, url in requests.get("bases", {}).items():
        yield f"- `{name}`: `{url}`"


def _limits(settings: Settings) -> Iterator[str]:
    limits = settings.get("rate_limits", {})
    lines = list(limit_lines(limits))
    if not lines:
        yield "None are declared: they are learned from responses."
        return
    if limits.get("counted_per"):
        yield f"Counted per `{limits['counted_per']}`.\n"
    yield "```text"
    yield from lines
    yield "```"


def _sources(settings: Settings) -> Iterator[str]:
    read = settings.get("sources", ())
    for source in read:
        covers = ", ".join(f"`{path}`" for path in as_tuple(source["covers"]))
        yield f"- <{source['url']}>, read on {source['read_on']}: {covers}"
    unconfirmed = ", ".join(f"`{path}`" for path in settings.get("unconfirmed", ()))
    if unconfirmed:
        yield f"- Not confirmed by a page of the vendor: {unconfirmed}"
    if days := sorted(source["read_on"] for source in read):
        yield f"\nLast updated: {days[-1]}."


def _text(text: str) -> str:
    """Text of a blueprint as Markdown that shows it as it is."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|$" else letter for letter in text)
    return " ".join(escaped.split())
