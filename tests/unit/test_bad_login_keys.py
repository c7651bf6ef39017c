"""Wrong forms of the keys that describe logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_files import PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = """\
integrations:
  mail:
    oauth_client_id: "1"
    oauth_client_secret: sk_planted_9f8e7d6c
    requests: {base_url: "https://api.example.test/", headers: {Authorization: "Bearer ${access_token}"}}
    auth:
      auth_mode: OAUTH2
      authorization_url: https://id.example.test/authorize
      token_url: https://id.example.test/token
"""
OTHER = """\
integrations:
  other:
    requests: {base_url: "https://api.example.test/", headers: {Authorization: "Bearer ${access_token}"}}
    auth:
"""
STEP = "      after_login:\n        - {url: https://id.example.test/me, keep: {a: b}"

# By name: lines after those above (from line 10), their problems, and words of the message.
WRONG_KEYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a misspelt key": ("      after_logins: []", ("i:10:7 E202",), 'did you mean "after_login"?'),
    "one step instead of a list": ("      after_login: {url: x}", ("i:10:20 E205",), "expected a list"),
    "no step": ("      after_login: []", ("i:10:20 E203",), "the list is empty"),
    "a step without a URL": (
        "      after_login:\n        - {keep: {a: b}}",
        ("i:11:11 E203",),
        'missing key "url"',
    ),
    "a step that keeps nothing": (
        "      after_login:\n        - {url: https://id.example.test/me, keep: {}}",
        ("i:11:51 E203",),
        "keys are missing",
    ),
    "a step without a scheme": (
        "      after_login:\n        - {url: id.example.test/me, keep: {a: b}}",
        ("i:11:17 E301",),
        "did you mean https://id.example.test/me/?",
    ),
    "a step to any host": (
        "      after_login:\n        - {url: 'https://${additional_config.x}/', keep: {a: b}}",
        ("i:11:17 E304",),
        "fix the domain",
    ),
    "a method that changes something": (STEP + ", method: DELETE}", ("i:11:67 E204",), "GET or POST"),
    "an unknown key of a choice": (
        STEP + ", choose: {lable: x}}",
        ("i:11:68 E202",),
        'did you mean "label"?',
    ),
    "JSONPath": (STEP + ", choose: {from: '$.x'}}", ("i:11:74 E324",), "this is JSONPath; write x"),
    "nothing to keep": (
        "      after_login:\n        - {url: https://id.example.test/me}",
        ("i:11:11 E203",),
        'missing key "keep"',
    ),
    "a token with the name of another": (
        STEP + ", keep_secret: {access_token: a}}",
        ("i:11:73 E204",),
        "another meaning in templates",
    ),
    "a token with a hyphen": (STEP + ", keep_secret: {page-token: a}}", ("i:11:73 E204",), "letters, digits"),
    "a choice of tokens": (
        "      after_login:\n        - {url: https://id.example.test/me, choose: {}, keep_secret: {t: b}}",
        ("i:11:45 E203",),
        "keep the id",
    ),
    "more candidates in a header": (
        STEP + ", next: {header: X}}",
        ("i:11:59 E203", "i:11:66 E202"),
        "known: link",
    ),
    "an unknown variable": (
        STEP + ", headers: {X: '${acces_token}'}}",
        ("i:11:75 E306",),
        "did you mean access_token?",
    ),
    "a parameter that is a number": ("      keep_from_callback: {a: 1}", ("i:10:31 E206",), "quote it"),
    "an unknown time": (
        "      keep_from_response: {a: {path: b, on: always}}",
        ("i:10:45 E204",),
        "expected login or every",
    ),
    "a value without a path": (
        "      keep_from_response: {a: {on: every}}",
        ("i:10:28 E203",),
        'missing key "path"',
    ),
    "a wrong path of a value": (
        "      keep_from_response: {a: {path: 'b['}}",
        ("i:10:38 E324",),
        "not a JMESPath",
    ),
    "an unknown parameter of the callback": (
        "      callback_params: {codes: x}",
        ("i:10:25 E202",),
        'did you mean "code"?',
    ),
    "a name of the client id that is empty": ("      client_id_param: ''", ("i:10:24 E203",), "is empty"),
    "a name of the code that is empty": ("      code_param: ''", ("i:10:19 E203",), "is empty"),
    "a scope of an unknown variable": (
        "      default_scopes: ['${additional_conf.x}']",
        ("i:10:27 E306",),
        "did you mean additional_config",
    ),
    "parameters nested too deeply": (
        "      token_params: {a: {b: {c: {d: 1}}}}",
        ("i:10:33 E201",),
        "expected text",
    ),
    "scopes as text": ("      default_scopes: a b", ("i:10:23 E205",), "write [a, b]"),
    "another word for PKCE": (
        "      pkce: optional",
        ("i:10:13 E204",),
        "expected required, supported or unsupported",
    ),
    "a life in words": (
        "      refresh_token_lifetime_seconds: 60d",
        ("i:10:39 E401",),
        "expected a number of seconds",
    ),
    "a time before expiry in words": (
        "      renew_before_seconds: 5m",
        ("i:10:29 E401",),
        "expected a number of seconds",
    ),
    "a time before expiry above a day": (
        "      renew_before_seconds: 100000",
        ("i:10:29 E401",),
        "<= 86400",
    ),
    "a revocation without a URL": (
        "      revocation: {method: DELETE}",
        ("i:10:7 E203",),
        'missing key "url"',
    ),
    "a method that revokes nothing": (
        "      revocation: {url: https://id.example.test/, method: PATCH}",
        ("i:10:59 E204",),
        "POST, DELETE, PUT or GET",
    ),
    "a revocation with an unknown variable": (
        "      revocation: {url: https://id.example.test/, body: {t: '${acces_token}'}}",
        ("i:10:64 E306",),
        "did you mean access_token?",
    ),
    "a revocation that is not encrypted": (
        "      revocation_url: http://id.example.test/revoke",
        ("i:10:23 E302",),
        "use https://",
    ),
    "a lifetime in words": (
        "      token_lifetime_seconds: 1h",
        ("i:10:31 E401",),
        "expected a number of seconds",
    ),
    "scopes of a login page as a list": ("      scope_separator: [a]", ("i:10:24 E201",), "expected text"),
    "parameters pushed unencrypted": (
        "      pushed_authorization_url: http://id.example.test/par",
        ("i:10:33 E302",),
        "use https://",
    ),
    "one session step instead of a list": (
        "      additional_steps: {token_url: https://id.example.test/}",
        ("i:10:25 E205",),
        "expected a list",
    ),
    "a session step without a URL": (
        "      additional_steps: [{token_method: GET}]",
        ("i:10:26 E203",),
        'missing key "token_url"',
    ),
    "a session step to any host": (
        "      additional_steps: [{token_url: 'https://${raw.host}/'}]",
        ("i:10:38 E304",),
        "fix the domain",
    ),
    "a misspelt place of the session's token": (
        "      token_response: {tokens: a}",
        ("i:10:24 E202",),
        'did you mean "token"?',
    ),
    "codes for devices unencrypted": (
        "      device_authorization_url: http://id.example.test/device",
        ("i:10:33 E302",),
        "use https://",
    ),
    "codes for devices from any host": (
        "      device_authorization_url: 'https://${additional_config.x}/device'",
        ("i:10:33 E304",),
        "fix the domain",
    ),
}

SAML = "      auth_mode: OAUTH2_SAML\n      token_url: https://x.test/\n      saml_assertion: "

# By name: lines of `auth:` (from line 5), their problems, and words of the message.
OTHER_MODES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "an exchange without an endpoint": (
        "      auth_mode: TOKEN_EXCHANGE",
        ("i:4:5 E208",),
        "TOKEN_EXCHANGE needs auth.token_url",
    ),
    "a server without a URL": ("      auth_mode: MCP_OAUTH2", ("i:4:5 E208",), "needs auth.resource_url"),
    "a server of the user's choice": (
        "      auth_mode: MCP_OAUTH2\n      resource_url: 'https://${additional_config.server}/'",
        ("i:6:21 E304",),
        "fix the domain",
    ),
    "a server that is not encrypted": (
        "      auth_mode: MCP_OAUTH2\n      resource_url: http://mcp.example.test/",
        ("i:6:21 E302",),
        "use https://",
    ),
    "an assertion without an endpoint": (
        "      auth_mode: OAUTH2_SAML",
        ("i:4:5 E208",),
        "OAUTH2_SAML needs auth.token_url",
    ),
    "an unknown key of an assertion": (
        SAML + "{subjekt: x}",
        ("i:7:24 E202",),
        'did you mean "subject"?',
    ),
    "an assertion for an unknown variable": (SAML + "{subject: '${user}'}", ("i:7:36 E306",), "did you mean"),
    "an assertion as text": (SAML + "xml", ("i:7:23 E201",), "expected a mapping"),
    "an empty audience": (SAML + "{audience: ''}", ("i:7:34 E203",), "is empty"),
    "an empty recipient": (SAML + "{recipient: ''}", ("i:7:35 E203",), "is empty"),
    "an empty issuer": (SAML + "{issuer: ''}", ("i:7:32 E203",), "is empty"),
    "an empty format of the subject": (SAML + "{subject_format: ''}", ("i:7:40 E203",), "is empty"),
    "an empty context": (SAML + "{authn_context: ''}", ("i:7:39 E203",), "is empty"),
    "attributes as a list": (SAML + "{attributes: [a]}", ("i:7:36 E201",), "expected a mapping"),
    "a key that is a number": (SAML + "{signing_key: 1}", ("i:7:37 E206",), "quote it"),
    "a certificate that is a number": (SAML + "{certificate: 1}", ("i:7:37 E206",), "quote it"),
    "an encoding of its own": (SAML + "{encoding: hex}", ("i:7:34 E204",), "expected base64url or base64"),
    "an assertion without an end": (SAML + "{expires_in: 0}", ("i:7:36 E401",), "> 0"),
    "an assertion of next year": (SAML + "{issued_ago: 4000}", ("i:7:36 E401",), "<= 3600"),
    "endpoints that the server says itself": (
        "      auth_mode: MCP_OAUTH2\n      resource_url: https://mcp.example.test/\n      token_url: https://x.test/",
        ("i:7:7 E202",),
        'unknown key "token_url" for auth_mode MCP_OAUTH2',
    ),
}


@pytest.mark.parametrize("name", [*WRONG_KEYS, *OTHER_MODES])
def test_a_wrong_key_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and the form to write."""
    is_login = name in WRONG_KEYS
    text, expected, words = (WRONG_KEYS if is_login else OTHER_MODES)[name]
    error = refusal(tmp_path, Case(f"{LOGIN if is_login else OTHER}{text}\n"))
    assert places(error) == expected, str(error)
    assert words in str(error)
    assert PLANTED not in everything_about(error)


RIGHT_KEYS = {
    "dialects": """\
      pkce: unsupported
      default_scopes: [offline_access]
      client_id_param: client_key
      callback_params: {code: auth_code}
      keep_from_callback: {company: realmId}
      keep_from_response: {domain: {path: api_domain, on: every}, team: team.id}
      refresh_token_lifetime_seconds: 5184000
      pushed_authorization_url: https://id.example.test/par
      revocation: {method: DELETE, url: https://id.example.test/, body: {a: {b: 1}}, body_format: json}""",
    "after_login": STEP
    + ", method: POST, params: {p: '1'}, json: {q: 1}, choose: {from: x, value: y, label: z}}",
    "after_login with tokens": STEP + ", keep_secret: {page_token: token}, next: {link: next}}",
}


@pytest.mark.parametrize("name", RIGHT_KEYS)
def test_right_keys_load(tmp_path: Path, name: str) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, Case(f"{LOGIN}{RIGHT_KEYS[name]}\n"))
    assert integration.auth_mode == "OAUTH2"
