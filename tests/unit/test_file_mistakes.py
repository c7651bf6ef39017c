"""Mistakes in files that would only show in a call: expressions, braces, unused credentials, dead keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.config.catalogue import Catalogue
from nango_py.config.loading import load_configuration
from nango_py.errors import MAX_PROBLEMS, ConfigError, Position, Problem
from nango_py.json_path import find_path_fault

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.config.model import Configuration

REQUESTS = {"base_url": "https://api.acme.test/", "headers": {"Authorization": "Bearer ${api_key}"}}
ENTRY: dict[str, Any] = {"auth": {"auth_mode": "API_KEY"}, "requests": REQUESTS}


def load(entry: dict[str, Any], folder: Path | None = None, environ: Any = ()) -> Configuration:
    """The configuration with one integration `a`, and the blueprints of a folder."""
    catalogue = Catalogue([("local", folder)] if folder is not None else [])
    return load_configuration({"a": entry}, catalogue=catalogue, environ=dict(environ))


def problems_of(entry: dict[str, Any], folder: Path | None = None) -> list[Problem]:
    """The problems of an integration `a`."""
    with pytest.raises(ConfigError) as caught:
        load(entry, folder)
    return list(caught.value.problems)


def codes_and_help(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """The code and the help of each problem."""
    return [(problem.code, problem.help) for problem in problems_of(entry)]


MANUAL = "see https://jmespath.org/tutorial.html"
WRONG_PATHS = {
    "@odata.nextLink": "put the key in quotes: '\"@odata.nextLink\"'",
    "data.next-page": "put the key in quotes: 'data.\"next-page\"'",
    "value.0.id": "write value[0].id",
    "$.data.items": "this is JSONPath; write data.items",
    "$.data[*].id": "this is JSONPath; write data[].id",
    "results[": MANUAL,
    "a b": MANUAL,
    "first(@)": MANUAL,
    "contains(message)": MANUAL,
    "a[?contains(b)]": MANUAL,
}


@pytest.mark.parametrize("text", WRONG_PATHS)
@pytest.mark.parametrize(
    ("path", "block"),
    [
        (("pagination", "next"), {"kind": "next_url", "next": ""}),
        (("pagination", "records"), {"kind": "single", "records": ""}),
        (("pagination", "cursor"), {"kind": "cursor", "param": "c", "cursor": ""}),
        (("pagination", "has_more"), {"kind": "offset", "param": "o", "has_more": ""}),
        (("pagination", "total_pages"), {"kind": "page", "param": "p", "total_pages": ""}),
        (("errors", "message"), {}),
        (("errors", "code"), {}),
    ],
    ids=lambda path: ".".join(path) if isinstance(path, tuple) else "",
)
def test_every_json_path_is_compiled(path: tuple[str, str], block: dict[str, Any], text: str) -> None:
    """A wrong one is an error at its place, with the form to write."""
    (problem,) = problems_of({**ENTRY, path[0]: {**block, path[1]: text}})
    assert (problem.code, problem.help) == ("E324", WRONG_PATHS[text])
    assert problem.position.file.endswith(f'["{path[0]}"]["{path[1]}"]')


def test_json_paths_of_rules_and_token_responses_are_compiled() -> None:
    """Conditions of retries, and the settings of auth that read a response."""
    rule = {"when": {"json": {"path": "a[", "equals": 1}}, "do": "wait"}
    auth = {
        "auth_mode": "OAUTH2", "authorization_url": "https://a.test/", "token_url": "https://a.test/",
        "token_path": "@x", "keep_from_response": {"team": "team-id"},
    }  # fmt: skip
    headers = {"Authorization": "Bearer ${access_token}"}
    found = problems_of(
        {
            "auth": auth, "requests": {**REQUESTS, "headers": headers}, "retries": {"rules": [rule]},
            "oauth_client_id": "i", "oauth_client_secret": "s",
        }
    )  # fmt: skip
    assert [problem.code for problem in found] == ["E324"] * 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b[0].c",
        "@",
        '"@odata.nextLink"',
        "a[] || `[]`",
        "length(@)",
        "not_null(a, b, c)",
        "a[?b=='c'].d",
    ],
)
def test_right_json_paths_pass(text: str) -> None:
    """The control: nothing is refused that JMESPath reads."""
    assert find_path_fault(text) == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "Bearer {{ api_key }}",
        "Bearer {{api_key}}",
        "{{{api_key}}}",
        "{api_key}",
        "{ api_key }",
        "{api_key!s}",
        "#{api_key}",
        "$api_key",
        "$(api_key)",
        "$API_KEY",
        "%(api_key)s",
        "%API_KEY%",
        "<api_key>",
        "<%= api_key %>",
        "${integration} {{ api_key }}",
        "{{ apikey }}",
    ],
)
@pytest.mark.parametrize("place", ["headers", "params", "verification"])
def test_variables_of_other_tools_are_refused(place: str, text: str) -> None:
    """They would be sent as text; the help is the form to write."""
    value = {"X-Any": text}
    more: dict[str, Any] = {"verification": {"path": "me", "headers": value}}
    entry = {**ENTRY, **(more if place == "verification" else {"requests": {**REQUESTS, place: value}})}
    assert codes_and_help(entry) == [("E323", "write ${api_key}")]


@pytest.mark.parametrize(
    ("url", "help_"),
    [
        ("https://{subdomain}.acme.test/", "write ${additional_config.subdomain}"),
        ("https://{additional_config.subdomain}.acme.test/", "write ${additional_config.subdomain}"),
        ("https://{{ region }}.acme.test/", "write ${name}"),
        ("https://{zone}.acme.test/", "write ${name}"),
        ("https://acme.test/$subdomain/", "write ${additional_config.subdomain}"),
    ],
)
def test_urls_have_no_braces_of_other_tools(url: str, help_: str) -> None:
    """Settings of the connection are named in full."""
    config = {"properties": {"subdomain": {"type": "string"}}}
    entry = {**ENTRY, "connection_config": config, "requests": {**REQUESTS, "base_url": url}}
    assert codes_and_help(entry) == [("E323", help_)]


def test_settings_of_auth_have_no_braces_of_other_tools() -> None:
    """Nor has a header that sends a key, whatever the name in the braces."""
    auth = {
        "auth_mode": "OAUTH2_CC",
        "token_url": "https://a.test/",
        "token_params": {"client": "{client_id}"},
    }
    headers = {"Authorization": "Bearer {token}", "X-Fields": "a{token}"}
    entry = {"auth": auth, "requests": {"base_url": "https://a.test/", "headers": headers}}
    assert [problem.code for problem in problems_of(entry)] == ["E323", "E323"]


@pytest.mark.parametrize(
    "text",
    [
        "$filter",
        "{id}",
        "id,name{first}",
        '{"a": {"b": 1}}',
        "100%",
        "a%20b",
        "{0}",
        "$",
        "{}",
        '${"{api_key}"}',
        "<5",
    ],
)
def test_other_text_in_braces_is_text(text: str) -> None:
    """The control: OData, field lists and JSON are parameters like any other."""
    load({**ENTRY, "requests": {**REQUESTS, "params": {"q": text}}})


def test_unknown_names_in_braces_are_not_shown() -> None:
    """They may be a key that was pasted into a template."""
    entry = {**ENTRY, "requests": {**REQUESTS, "headers": {"Authorization": "Bearer {{ sk_planted_9f8e }}"}}}
    assert "sk_planted_9f8e" not in str(ConfigError(problems_of(entry)))


@pytest.mark.parametrize(
    "text", ["$SLACK_SECRET", "$(SLACK_SECRET)", "%SLACK_SECRET%", "{{ secret }}", "<your secret>"]
)
@pytest.mark.parametrize("key", ["app_api_key", "oauth_client_id", "oauth_client_secret"])
def test_application_secrets_are_not_names_of_other_tools(key: str, text: str) -> None:
    """The name would be sent as the secret."""
    assert codes_and_help({**ENTRY, key: text}) == [("E323", "write ${NAME} for an environment variable")]


@pytest.mark.parametrize("secret", ["$ecret", "p$SW0RD", "<", "ab{c}", "%41"])
def test_secrets_with_such_characters_are_secrets(secret: str) -> None:
    """The control, in the file and from the environment."""
    load({**ENTRY, "app_api_key": secret})
    load({**ENTRY, "app_api_key": "${KEY}"}, environ={"KEY": "$SLACK_SECRET"})


@pytest.mark.parametrize(
    ("auth", "requests", "is_unused"),
    [
        ({"auth_mode": "API_KEY"}, {}, True),
        ({"auth_mode": "API_KEY"}, {"headers": {"X-Key": "${app_api_key}"}}, True),
        ({"auth_mode": "API_KEY"}, {"headers": {"X-User": "${user_id} ${additional_config.a}"}}, True),
        ({"auth_mode": "BASIC"}, {}, True),
        ({"auth_mode": "API_KEY"}, {"params": {"key": "${api_key}"}}, False),
        ({"auth_mode": "API_KEY"}, {"base_url": "https://acme.test/${api_key}/"}, False),
        ({"auth_mode": "BASIC"}, {"headers": {"Authorization": "Basic ${basic_auth_encoded}"}}, False),
        ({"auth_mode": "NONE"}, {}, False),
        ({"auth_mode": "AWS_SIGV4", "region": "a", "service": "b"}, {}, False),
        ({"auth_mode": "DIGEST"}, {}, False),
        ({"auth_mode": "MTLS"}, {}, False),
    ],
)
def test_a_blueprint_that_sends_no_credential_is_a_warning(
    auth: dict[str, str], requests: dict[str, Any], *, is_unused: bool
) -> None:
    """Modes that sign, respond to challenges or have nothing to send need no variable in a request."""
    configuration = load({"auth": auth, "requests": {"base_url": "https://acme.test/", **requests}})
    assert [warning.code for warning in configuration.warnings] == (["W103"] if is_unused else [])


OLD_FORM = """\
# The first Nango's form
maintainer: somebody
versions:
  v0:
    auth:
      auth_mode: OAUTH1
      request_url: https://acme.test/request
      authorization_url: https://acme.test/authorize
      token_url: https://acme.test/token
      signature_method: 'HMAC-SHA1'
      scope_separator: ','
      body_format: form
    requests:
      base_url: https://api.acme.test/
      retry: {at: x-reset}
"""
OAUTH_APP = {"oauth_client_id": "i", "oauth_client_secret": "s"}


@pytest.mark.parametrize("file", ["acme.yaml", "acme.yml"])
def test_a_file_of_the_first_nango_loads_with_warnings(tmp_path: Path, file: str) -> None:
    """Its own keys, and those of another auth mode, are ignored, and it says so."""
    (tmp_path / file).write_text(OLD_FORM)
    configuration = load({"extends_blueprint": "acme:v0", **OAUTH_APP}, tmp_path)
    found = [(warning.position.line, warning.code) for warning in configuration.warnings]
    assert found == [(11, "W104"), (12, "W105"), (15, "W105")]
    assert str(configuration.integrations["a"].requests.base_url.source) == "https://api.acme.test/"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("signature_method: 'HMAC-SHA1'", "comment: 'it's'"), "E002"),
        (("auth_mode: OAUTH1", "auth_mode: OAUTH3"), "E204"),
        (("https://acme.test/token", "'{{ token_url }}'"), "E323"),
        (("base_url: https://api.acme.test/", "headers: {}"), "E203"),
    ],
)
def test_another_mistake_of_such_a_file_is_one_line(
    tmp_path: Path, change: tuple[str, str], code: str
) -> None:
    """The warnings do not hide it, and are not among the errors."""
    (tmp_path / "acme.yml").write_text(OLD_FORM.replace(*change))
    assert [
        problem.code for problem in problems_of({"extends_blueprint": "acme:v0", **OAUTH_APP}, tmp_path)
    ] == [code]


def test_another_kind_of_pagination_keeps_no_key_of_the_first(tmp_path: Path) -> None:
    """Records stay where they are; what another kind calls `param` is not what this kind calls so."""
    (tmp_path / "base.v0.yaml").write_text(
        "name: base\nversion: v0\nauth: {auth_mode: API_KEY}\n"
        "requests: {base_url: 'https://a.test/', headers: {K: '${api_key}'}}\n"
        "pagination: {kind: cursor, cursor: next, param: cursor, records: items}\n"
    )
    (tmp_path / "over.v0.yaml").write_text(
        "name: over\nversion: v0\nextends: base:v0\npagination: {kind: page, param: page}\n"
    )
    page = {"kind": "page", "param": "page", "records": "items"}
    over = {"extends_blueprint": "base:v0", "pagination": {"kind": "page", "param": "page"}}
    assert load(over, tmp_path).integrations["a"].settings["pagination"] == page
    assert load({"extends_blueprint": "over:v0"}, tmp_path).integrations["a"].settings["pagination"] == page
    same = {"extends_blueprint": "base:v0", "pagination": {"kind": "cursor", "cursor": "more"}}
    assert load(same, tmp_path).integrations["a"].settings["pagination"]["param"] == "cursor"
    missing = {"extends_blueprint": "base:v0", "pagination": {"kind": "page"}}
    assert [problem.code for problem in problems_of(missing, tmp_path)] == ["E203"]


def test_another_auth_mode_keeps_no_key_of_the_first(tmp_path: Path) -> None:
    """Keys that both modes have stay."""
    (tmp_path / "base.v0.yaml").write_text(
        "name: base\nversion: v0\nrequests: {base_url: 'https://a.test/'}\n"
        "auth: {auth_mode: OAUTH2, authorization_url: 'https://a.test/a', token_url: 'https://a.test/t'}\n"
    )
    entry: dict[str, Any] = {"extends_blueprint": "base:v0", "auth": {"auth_mode": "API_KEY"}}
    assert load(entry, tmp_path).integrations["a"].settings["auth"] == {"auth_mode": "API_KEY"}
    entry = {"extends_blueprint": "base:v0", "auth": {"auth_mode": "OAUTH2_CC"}}
    assert load(entry, tmp_path).integrations["a"].settings["auth"] == {
        "auth_mode": "OAUTH2_CC",
        "token_url": "https://a.test/t",
    }


def test_all_stages_report_at_once(tmp_path: Path) -> None:
    """Unknown keys, templates, JMESPath and proxies, in the blueprint and in entries beside it."""
    (tmp_path / "acme.v0.yaml").write_text(
        "name: acme\nversion: v0\nauth: {auth_mode: API_KEY}\ntitel: x\n"
        "requests: {base_url: 'https://a.test/', headers: {K: '${apikey}', L: '{{ api_key }}'}}\n"
        "errors: {message: 'a['}\n"
    )
    source = {
        "integrations": {
            "a": {"extends_blueprint": "acme:v0", "requests": {"headers": {"M": "${"}}},
            "b": {**ENTRY, "requests": {**REQUESTS, "proxy_url": "ftp://x"}},
            "c": {**ENTRY, "oauth_scopes": "a b"},
        }
    }
    with pytest.raises(ConfigError) as caught:
        load_configuration(source, catalogue=Catalogue([("local", tmp_path)]), environ={})
    codes = [problem.code for problem in caught.value.problems]
    assert sorted(codes) == ["E202", "E204", "E205", "E306", "E307", "E323", "E324"]
    with pytest.raises(ConfigError) as alone:
        Catalogue([("local", tmp_path)]).find("acme:v0", Position("i"))
    assert [problem.code for problem in alone.value.problems] == ["E202", "E306", "E323", "E324"]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: 1\n" for number in range(20_000)),
        "integrations:\n" + "".join(f"  i{number}: {{titel: 1}}\n" for number in range(2_000)),
        "integrations:\n"
        + "".join(f"  i{number}: {{extends_blueprint: none:v0}}\n" for number in range(2_000)),
        "integrations:\n"
        + "".join(f"  i{number}: {{extends_blueprint: '${{X{number}}}'}}\n" for number in range(2_000)),
        "integrations: {}\n" * 2_000,
        "".join(f"{number}: 1\n" for number in range(2_000)),
        "integrations:\n  a:\n    auth: {auth_mode: API_KEY}\n"
        "    requests: {base_url: 'https://a.test/'}\n    credentials:\n"
        + "".join(f"      field_{number}: {{}}\n" for number in range(2_000)),
        "integrations:\n  a:\n    auth: {auth_mode: NONE}\n    requests:\n      headers:\n"
        + "".join(f"        h{number}: '${{x{number}}}'\n" for number in range(2_000)),
    ],
    ids=["keys", "entries", "blueprints", "variables", "repeated", "numbers", "credentials", "templates"],
)
def test_checks_stop_after_a_hundred_problems(tmp_path: Path, text: str) -> None:
    """The first ones are reported, and that there are more."""
    file = tmp_path / "integrations.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Nango(file)
    codes = [problem.code for problem in caught.value.problems]
    assert len(codes) == MAX_PROBLEMS + 1
    assert codes[-1] == "E013"
