"""Wrong forms of the keys that say which requests are meant and what differs for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_files import KLAVIYO, PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

# By name: lines after those of the blueprint (from line 16), their problems, and words of the message.
WRONG_KEYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a brace that is not closed": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a/{b'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "lists/{id}/items",
    ),
    "two ** in one path": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a/**/b/**'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "one ** for any number",
    ),
    "* as a part of a segment": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a*/b'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "* for one segment",
    ),
    "a path with a query": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a?b=1'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "without ? and #",
    ),
    "a wrong path in a list": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: [a, 'b?c']}, windows: [1/second]}]}]}",
        ("k:16:61 E204",),
        "without ? and #",
    ),
    "an empty list of paths": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: []}, windows: [1/second]}]}]}",
        ("k:16:57 E203",),
        "empty",
    ),
    "a value of the body that is a mapping": (
        "rate_limits:\n  budgets: [{key: a, cases: [{match: {body: {a: {b: 1}}}, windows: [1/second]}]}]",
        ("k:17:49 E201",),
        "expected text or a number or true or false",
    ),
    "a setting without a value": (
        "rate_limits:\n  budgets: [{key: a, cases: [{match: {config: {}}, windows: [1/second]}]}]",
        ("k:17:47 E203",),
        "keys are missing",
    ),
    "a setting that no connection has": (
        (
            "connection_config: {properties: {plan: {}}}\n"
            "rate_limits:\n  budgets:\n    - key: a\n"
            "      cases: [{match: {config: {plam: a}}, windows: [1/second]}]"
        ),
        ("k:20:33 E202",),
        'did you mean "plan"?',
    ),
    "a setting that no connection has, in a rule": (
        "endpoints: [{match: {config: {plan: a}}, safe: true}]",
        ("k:16:31 E202",),
        "add it to connection_config.properties",
    ),
    "an endpoint without a match": (
        "endpoints:\n  - {safe: true, params: {a: b}}",
        ("k:17:5 E203",),
        '"match"',
    ),
    "an endpoint that changes nothing": (
        "endpoints:\n  - match: {path: a}",
        ("k:17:5 E203",),
        "what differs: base, headers",
    ),
    "a misspelt key of an endpoint": (
        "endpoints:\n  - {match: {path: a}, saf: true}",
        ("k:17:24 E202",),
        'did you mean "safe"?',
    ),
    "endpoints that are no list": ("endpoints: {match: {path: a}}", ("k:16:12 E205",), "expected a list"),
    "a base that does not exist": (
        "endpoints:\n  - {match: {path: a}, base: content}",
        ("k:17:30 E204",),
        "add it to requests.bases",
    ),
    "a header that the sender writes": (
        "endpoints:\n  - {match: {path: a}, headers: {Content-Length: '1'}}",
        ("k:17:34 E313",),
        "written by the sender",
    ),
    "a header twice": (
        "endpoints:\n  - {match: {path: a}, headers: {X-A: '1', x-a: '2'}}",
        ("k:17:44 E105",),
        "header names are case-insensitive",
    ),
    "an unknown variable in a header": (
        "endpoints:\n  - {match: {path: a}, headers: {X-A: 'key ${api_kee}'}}",
        ("k:17:46 E306",),
        "did you mean api_key?",
    ),
    "a pagination that is not complete": (
        "endpoints:\n  - {match: {path: a}, pagination: {kind: cursor, cursor: a}}",
        ("k:17:24 E203",),
        'missing key "param"',
    ),
    "a body that is text": (
        "endpoints:\n  - {match: {body: a}, safe: true}",
        ("k:17:20 E201",),
        "expected a mapping",
    ),
    "a table without by": ("hosts: {api: {us: a.klaviyo.com, eu: b.klaviyo.com}}", ("k:16:9 E203",), "by"),
    "a table without a host": (
        "hosts: {api: {by: raw.region}}",
        ("k:16:14 E203",),
        "a host for each value",
    ),
    "a table that is a host": ("hosts: {api: api.klaviyo.com}", ("k:16:14 E201",), "expected a mapping"),
    "a name of a table with a hyphen": (
        "hosts: {my-api: {by: raw.a, us: api.klaviyo.com}}",
        ("k:16:9 E204",),
        "letters, digits and _",
    ),
    "a host with https://": (
        "hosts: {api: {by: raw.a, us: 'https://api.klaviyo.com'}}",
        ("k:16:30 E204",),
        "without https://",
    ),
    "a host with a path": (
        "hosts: {api: {by: raw.a, us: api.klaviyo.com/v1}}",
        ("k:16:30 E204",),
        "and path",
    ),
    "a host with a variable": (
        "hosts: {api: {by: raw.a, us: '${additional_config.a}.klaviyo.com'}}",
        ("k:16:30 E204",),
        "a host such as",
    ),
    "a choice by a credential": (
        "hosts: {api: {by: api_key, us: api.klaviyo.com}}",
        ("k:16:19 E204",),
        "additional_config.region or raw.api_domain",
    ),
    "a choice by a field that does not exist": (
        (
            "connection_config: {properties: {region: {enum: [us]}}}\n"
            "hosts: {api: {by: additional_config.regoin, us: api.klaviyo.com}}"
        ),
        ("k:17:19 E204",),
        "did you mean additional_config.region?",
    ),
    "a choice by a field that may be anything": (
        (
            "connection_config: {properties: {region: {type: string}}}\n"
            "hosts: {api: {by: additional_config.region, us: api.klaviyo.com}}"
        ),
        ("k:17:19 E204",),
        "add enum to connection_config.properties.region",
    ),
    "a value without a host": (
        (
            "connection_config: {properties: {region: {enum: [us, eu]}}}\n"
            "hosts: {api: {by: additional_config.region, us: api.klaviyo.com}}"
        ),
        ("k:17:9 E204",),
        'there is no host for "eu"',
    ),
    "a credential that the mode does not have": (
        "credentials: {aplication_key: {title: Key}}",
        ("k:16:15 E202",),
        "states `secret: true` or `secret: false`",
    ),
    "a misspelt credential": ("credentials: {api_kee: {}}", ("k:16:15 E202",), 'did you mean "api_key"?'),
    "an added credential with an odd name": (
        "credentials: {app-key: {secret: true}}",
        ("k:16:15 E204",),
        "letters, digits and _",
    ),
    "an added credential that hides a variable": (
        "credentials: {user_id: {secret: true}}",
        ("k:16:15 E204",),
        "another meaning",
    ),
    "an added credential of no kind": (
        "credentials: {app_key: {secret: yes please}}",
        ("k:16:33 E201",),
        "true or false",
    ),
    "an app credential that is text": ("app_credentials: {token: secret}", ("k:16:26 E201",), "a mapping"),
    "an app credential with an odd name": (
        "app_credentials: {my-token: {}}",
        ("k:16:19 E204",),
        "letters, digits and _",
    ),
    "an unknown key of an app credential": (
        "app_credentials: {token: {secrat: true}}",
        ("k:16:27 E202",),
        'did you mean "secret"?',
    ),
    "an app credential that is not declared": (
        (
            "app_credentials: {token: {required: false}}\nendpoints:\n"
            "  - {match: {path: a}, headers: {X-T: '${app.tokn}'}}"
        ),
        ("k:18:42 E306",),
        "did you mean app.token?",
    ),
    "the product's values in a blueprint": ("app: {token: a}", ("k:16:1 E202",), 'unknown key "app"'),
    "two places for a key": (
        "endpoints:\n  - {match: {path: a}, idempotency: {header: X, body: b}}",
        ("k:17:24 E204",),
        "one place",
    ),
    "no place for a key": (
        "endpoints:\n  - {match: {path: a}, idempotency: {form: hex}}",
        ("k:17:24 E204",),
        "expected header, param or body",
    ),
    "another form of keys": (
        "endpoints:\n  - {match: {path: a}, idempotency: {header: X, form: uuid4}}",
        ("k:17:55 E204",),
        "expected uuid or hex",
    ),
    "a header that cannot hold a key": (
        "endpoints:\n  - {match: {path: a}, idempotency: {header: 'X Key'}}",
        ("k:17:46 E313",),
        "space in header name",
    ),
    "an unknown format of bodies": (
        "endpoints:\n  - {match: {path: a}, body_format: forms}",
        ("k:17:37 E204",),
        'did you mean "form"?',
    ),
}

# The same for a blueprint whose requests are in lines 8 and 9.
WRONG_REQUESTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a base without a scheme": (
        "bases: {content: content.klaviyo.com}",
        ("k:10:20 E301",),
        "https://content",
    ),
    "a base over plain http": ("bases: {content: 'http://c.klaviyo.com'}", ("k:10:20 E302",), "unencrypted"),
    "a base with a query": ("bases: {content: 'https://c.klaviyo.com/?a=1'}", ("k:10:20 E301",), "without ?"),
    "a base that users choose": (
        "bases: {content: 'https://${additional_config.host}/'}",
        ("k:10:20 E304",),
        "may not be the whole host",
    ),
    "a base with an odd name": (
        "bases: {'my base': 'https://c.klaviyo.com/'}",
        ("k:10:11 E104",),
        "a name of a-z 0-9 _ -",
    ),
    "a table that does not exist": (
        "bases: {content: 'https://${hosts.contnet}/'}",
        ("k:10:31 E306",),
        "declare it under hosts",
    ),
    "a table as a part of a host": (
        "bases: {content: 'https://a.${hosts.api}/'}",
        ("k:10:33 E306",),
        "hosts has no table",
    ),
    "a host of files that is no list": (
        "download_hosts: files.klaviyo.com",
        ("k:10:19 E205",),
        "write [files.klaviyo.com]",
    ),
    "a host of files with https://": (
        "download_hosts: ['https://files.klaviyo.com']",
        ("k:10:20 E204",),
        "a host such as files.example.com, or *.example.com",
    ),
    "a host of files with a path": (
        "download_hosts: [files.klaviyo.com/a]",
        ("k:10:20 E204",),
        "a host such",
    ),
    "pieces for every host": ("upload_hosts: ['*']", ("k:10:18 E204",), "or *.example.com"),
    "every host": ("download_hosts: ['*']", ("k:10:20 E204",), "or *.example.com"),
    "every host of a top-level domain": ("download_hosts: ['*.com']", ("k:10:20 E204",), "or *.example.com"),
    "a star in the middle": ("download_hosts: ['a.*.klaviyo.com']", ("k:10:20 E204",), "or *.example.com"),
    "a host of files with a variable": (
        "download_hosts: ['${api_key}.klaviyo.com']",
        ("k:10:20 E204",),
        "a host such as",
    ),
    "hosts of files that are numbers": ("download_hosts: [5]", ("k:10:20 E206",), "expected text"),
    "a misspelt key for hosts of files": (
        "download_host: [files.klaviyo.com]",
        ("k:10:3 E202",),
        'did you mean "download_hosts"?',
    ),
    "a list in a body": ("body: {tags: [a]}", ("k:10:16 E201",), "expected text or a number"),
    "a body that is text": ("body: secret", ("k:10:9 E201",), "expected a mapping"),
    "an unknown variable in a body": ("body: {a: '${api_kee}'}", ("k:10:16 E306",), "did you mean api_key?"),
    "a part of the call in a body": ("body: {a: '${segment.id}'}", ("k:10:16 E309",), "keys of rate limits"),
    "bases as a list": ("bases: ['https://c.klaviyo.com/']", ("k:10:10 E201",), "expected a mapping"),
}


def case_of(text: str, *, under_requests: bool = False) -> Case:
    """The blueprint with more lines: at its end, or after its base URL."""
    if not under_requests:
        return Case(klaviyo=KLAVIYO + text + "\n")
    lines = KLAVIYO.splitlines()
    return Case(klaviyo="\n".join([*lines[:9], f"  {text}", *lines[9:]]) + "\n")


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_a_wrong_key_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and the form to write."""
    text, expected, words = WRONG_KEYS[name]
    error = refusal(tmp_path, case_of(text))
    assert places(error) == expected, str(error)
    assert words in str(error)
    assert PLANTED not in everything_about(error)


@pytest.mark.parametrize("name", WRONG_REQUESTS)
def test_a_wrong_key_of_requests_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """As above, for keys of `requests`."""
    text, expected, words = WRONG_REQUESTS[name]
    error = refusal(tmp_path, case_of(text, under_requests=True))
    assert places(error) == expected, str(error)
    assert words in str(error)


RIGHT_KEYS = {
    "match": """\
rate_limits:
  budgets:
    - key: a
      cases:
        - match: {method: [GET, POST], path: "a/**/{id}.json", params: {p: 1}, body: {a.b: true}}
          windows: [1/second]
""",
    "endpoints": """\
connection_config: {properties: {plan: {type: string}}}
endpoints:
  - match: {config: {plan: pro}, method: POST}
    headers: {X-Key: "${api_key}"}
    params: {a: "${user_id}"}
    timeout_seconds: {read: 90}
    safe: true
    pagination: {kind: cursor, cursor: next, param: cursor}
    x-note: 1
""",
}


@pytest.mark.parametrize("name", RIGHT_KEYS)
def test_right_keys_load(tmp_path: Path, name: str) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, case_of(RIGHT_KEYS[name]))
    assert integration.blueprint == "klaviyo:v0"
