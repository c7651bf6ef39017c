"""A draft of a blueprint, and the commented file that it becomes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from nango_py._version import DOCS_URL
from nango_py.config.yaml.flow import format_flow
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY, BASIC, OAUTH2, CLIENT, NONE = "key", "basic", "oauth2", "client-credentials", "none"
LOGINS = (KEY, BASIC, OAUTH2, CLIENT, NONE)
MODES = {
    KEY: "API_KEY",
    BASIC: "USERNAME_PASSWORD",
    OAUTH2: "OAUTH2",
    CLIENT: "OAUTH2_CC",
    NONE: "NONE",
}
PAGINATIONS = ("none", "next_url", "link_header", "cursor", "offset", "page")
SAMPLES: dict[str, dict[str, str]] = {
    KEY: {"api_key": "key_test_1234"},
    BASIC: {"username": "user_test", "password": "secret_test_1234"},
    OAUTH2: {"access_token": "token_test_1234"},
    CLIENT: {
        "client_id": "client_test",
        "client_secret": "secret_test_1234",
        "access_token": "token_test_1234",
    },
    NONE: {},
}
FIELDS = {
    "api_key": "API key",
    "username": "User name",
    "password": "Password",
    "client_id": "Client ID",
    "client_secret": "Client secret",
}
WIDTH = 116


@record
class Setting:
    """A setting of a connection that the base URL needs."""

    name: str
    example: str
    choices: tuple[str, ...] = ()
    help: str = ""


@record
class Draft:
    """What is known of an API.

    Attributes:
        login: one of `LOGINS`.
        key_place: `header` or `query`, for `key`.
        key_name: the name of the header or parameter.
        key_prefix: the text before the key in the header, such as `Bearer `.
        settings: the settings of a connection, whose names the base URL has as `${additional_config.NAME}`.
        pagination: the keys of the `pagination:` block; empty for none.
        list_path: the path of a list, for an example; "" for none.
        verification: the path of a call that every credential can make, or "".
        response: the JSON of its response.
        headers: headers that every request has, such as a version.
        limit_headers: the keys of `rate_limits.headers`.
        origin: what the draft was made from, or "".
    """

    name: str
    version: str
    title: str
    docs_url: str
    comment: str
    base_url: str
    login: str
    key_place: str = "header"
    key_name: str = "Authorization"
    key_prefix: str = "Bearer "
    authorization_url: str = ""
    token_url: str = ""
    scopes: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()
    pagination: Mapping[str, object] = field(default_factory=dict)
    list_path: str = ""
    verification: str = ""
    response: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    limit_headers: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


def write_draft(draft: Draft, file: str) -> str:
    """The text of the blueprint's file.

    Args:
        draft: what is known.
        file: its path, for the commands in its comments.
    """
    sections = (
        _head(draft, file), _auth(draft), _settings(draft), _requests(draft), _limits(draft),
        _pagination(draft), _checks(draft), _examples(draft), _facts(draft),
    )  # fmt: skip
    return "\n\n".join("\n".join(section) for section in map(list, sections) if section) + "\n"


def _head(draft: Draft, file: str) -> Iterator[str]:
    yield "# yaml-language-server: $schema=blueprint.schema.json"
    origin = f", from {draft.origin}" if draft.origin else ""
    yield f"# A draft{origin}. Check it with `nango check {file}`, and test it with"
    yield f"# `nango blueprints test {file}`. All keys: {DOCS_URL}/reference/blueprint.html"
    yield f"name: {draft.name}"
    yield f"version: {draft.version}"
    yield f"title: {format_flow(draft.title)}"
    yield f"docs_url: {format_flow(draft.docs_url)}"
    yield "# What is covered, and where users find their credential."
    yield from _fold("comment", draft.comment)


def _fold(key: str, text: str) -> Iterator[str]:
    line = f"{key}: {format_flow(text)}"
    if len(line) <= WIDTH:
        yield line
        return
    yield f"{key}: >-"
    line = " "
    for word in text.split():
        if len(line) + len(word) >= WIDTH:
            yield line
            line = " "
        line += f" {word}"
    yield line


def _auth(draft: Draft) -> Iterator[str]:
    yield "auth:"
    yield f"  auth_mode: {MODES[draft.login]}"
    if draft.login == OAUTH2:
        yield f"  authorization_url: {format_flow(draft.authorization_url)}"
        yield f"  token_url: {format_flow(draft.token_url)}"
        yield "  # Whether the provider supports PKCE: required, supported or unsupported."
        yield "  pkce: supported"
        yield "  # How the client authenticates at the token endpoint: body, header or none."
        yield "  authorization_method: body"
    elif draft.login == CLIENT:
        yield f"  token_url: {format_flow(draft.token_url)}"
    if draft.scopes:
        yield ""
        yield "# A sentence for each scope, which the connect page shows."
        yield "scopes:"
        yield from (f"  {format_flow(name)}: {format_flow(text)}" for name, text in draft.scopes.items())
    fields = [name for name in SAMPLES[draft.login] if name in FIELDS]
    if fields:
        yield ""
        yield "# The fields of the connect page. Say where users find each value."
        yield "credentials:"
        for name in fields:
            yield f"  {name}:"
            yield f"    title: {FIELDS[name]}"
            yield f"    help: {format_flow(f'In {draft.title} under Settings.')}"


def _settings(draft: Draft) -> Iterator[str]:
    if not draft.settings:
        return
    yield "connection_config:"
    yield "  type: object"
    yield f"  required: {format_flow([setting.name for setting in draft.settings])}"
    yield "  properties:"
    for setting in draft.settings:
        yield f"    {setting.name}:"
        yield "      type: string"
        yield f"      title: {format_flow(setting.name.replace('_', ' ').capitalize())}"
        help_ = setting.help or "As in the URL when you are logged in."
        yield f"      description: {format_flow(help_)}"
        if setting.choices:
            yield f"      enum: {format_flow(list(setting.choices))}"
        else:
            yield f"      examples: {format_flow([setting.example])}"


def _requests(draft: Draft) -> Iterator[str]:
    yield "requests:"
    yield '  # Calls name paths below it, such as `executor.get("me")`.'
    yield f"  base_url: {format_flow(draft.base_url)}"
    place, name, template = credential_place(draft)
    headers = {**({name: template} if place == "header" else {}), **draft.headers}
    for block, values in (("params", {name: template} if place == "query" else {}), ("headers", headers)):
        if values:
            yield f"  {block}:"
            yield from (f"    {format_flow(key)}: {format_flow(value)}" for key, value in values.items())


def credential_place(draft: Draft) -> tuple[str, str, str]:
    """Where requests hold the credential: `header` or `query`, the name, and the template; "" if nowhere."""
    if draft.login == KEY:
        prefix = draft.key_prefix if draft.key_place == "header" else ""
        return draft.key_place, draft.key_name, f"{prefix}${{api_key}}"
    if draft.login == BASIC:
        return "header", "Authorization", "Basic ${basic_auth_encoded}"
    if draft.login in {OAUTH2, CLIENT}:
        return "header", "Authorization", "Bearer ${access_token}"
    return "", "", ""


def _limits(draft: Draft) -> Iterator[str]:
    if draft.limit_headers:
        yield "rate_limits:"
        yield "  # Add budgets if the API publishes its limits; without them they are learned."
        yield f"  headers: {format_flow(draft.limit_headers)}"
        return
    yield "# The limits that the API publishes; without them, the limits in responses are learned."
    yield "# rate_limits:"
    yield "#   counted_per: connection"
    yield "#   budgets:"
    yield "#     - key: all"
    yield "#       otherwise: [10/second, 300/minute]"


def _pagination(draft: Draft) -> Iterator[str]:
    if draft.pagination:
        yield f"pagination: {format_flow(draft.pagination)}"
    else:
        yield "# How lists go on, such as {kind: cursor, cursor: meta.next, param: cursor, records: items}."
        yield "# pagination: {kind: next_url, next: links.next, records: data}"


def _checks(draft: Draft) -> Iterator[str]:
    yield "# JMESPaths into the body of error responses."
    yield 'errors: {message: "error.message || message", code: "error.code || code"}'
    if draft.verification:
        yield "# A call without side effects that succeeds with all valid credentials."
        yield f"verification: {format_flow({'method': 'GET', 'path': draft.verification})}"


def _examples(draft: Draft) -> Iterator[str]:
    yield "# Calls with the requests that they send, for tests and the sandbox. Replace the made-up"
    yield "# responses, and add the API's errors and its 429."
    yield "examples:"
    has_list = bool(draft.list_path and draft.pagination)
    if not has_list or draft.list_path != draft.verification:
        yield from _example(draft, draft.verification or "example", draft.response or {"id": 1})
    if has_list:
        yield from _example(draft, draft.list_path, _page(draft.pagination))


def _example(draft: Draft, path: str, response: object) -> Iterator[str]:
    sample = SAMPLES[draft.login]
    place, name, template = credential_place(draft)
    values = {**sample, "basic_auth_encoded": _basic(sample)}
    text = template
    url = f"{draft.base_url}{path}"
    for setting in draft.settings:
        url = url.replace(f"${{additional_config.{setting.name}}}", setting.example)
    for key, value in values.items():
        text = text.replace(f"${{{key}}}", value)
    yield f"  - call: {format_flow({'method': 'GET', 'path': path})}"
    yield f"    credentials: {format_flow(sample)}"
    if draft.settings:
        config = {setting.name: setting.example for setting in draft.settings}
        yield f"    additional_config: {format_flow(config)}"
    yield "    sends:"
    yield f"      url: {format_flow(f'{url}?{name}={text}' if place == 'query' else url)}"
    if place == "header":
        yield f"      headers: {format_flow({name: text})}"
    yield f"    response: {format_flow({'status': 200, 'json': response})}"


def _basic(sample: Mapping[str, str]) -> str:
    pair = f"{sample.get('username', '')}:{sample.get('password', '')}"
    return base64.b64encode(pair.encode()).decode()


def _page(pagination: Mapping[str, object]) -> object:
    """The last page of a list, where the pagination expects its records."""
    page: object = [{"id": 1}]
    for name in reversed(str(pagination.get("records", "")).split(".")):
        page = {name: page} if name else page
    return page


def _facts(draft: Draft) -> Iterator[str]:
    yield "# The pages that state these facts, and when you read them."
    yield "# sources:"
    yield f"#   - {{covers: [auth, rate_limits, pagination], url: {draft.docs_url}, read_on: YYYY-MM-DD}}"
    yield ""
    yield "# What is surprising about the API."
    yield "# gotchas:"
    yield "#   - Keys are per workspace, not per person."
