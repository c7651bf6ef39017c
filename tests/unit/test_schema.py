"""The file format: what it takes, what it refuses and in which words, and the schemas that are published."""

from __future__ import annotations

import json
import math
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from nango_py.config.schema import format as file_format
from nango_py.config.schema import validation as schema_module
from nango_py.config.schema.publish import blueprint_schema, integrations_schema
from nango_py.config.schema.validation import (
    check_blueprint,
    check_integrations,
    check_merged,
)
from nango_py.config.yaml.document import document_from_python, parse_document
from nango_py.config.yaml.tree import Located
from nango_py.registry import AUTH_MODES, PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SCHEMAS = {"blueprint": blueprint_schema, "integrations": integrations_schema}

COMPLETE = """\
name: everything
version: v12
title: Everything
docs_url: https://developers.example.test/
comment: Every key of the format.
categories: [crm, mail]
status: {released: 2024-10-15, deprecated_on: null, retires_on: null, migrate_to: "everything:v13"}
x-note: {anything: [1, .5, null]}
auth:
  auth_mode: OAUTH2
  authorization_url: https://example.test/authorize
  authorization_params: {audience: a}
  token_url: https://example.test/token
  scope_separator: ","
  x-note: 1
requests:
  base_url: https://example.test/api/
  headers: {Authorization: "Bearer ${access_token}", x-header: "1"}
  params: {lang: en}
  timeout_seconds: {connect: 5, read: 0.5}
  allow_http: false
  allowed_hosts: [files.example.test, "localhost:8080"]
  download_hosts: ["*.storage.example.test", "localhost:8081"]
  max_response_bytes: 1000
rate_limits:
  counted_per: ${additional_config.account}
  budgets:
    - key: ${method} ${endpoint}
      cases:
        - match: {method: [GET, POST], path: "lists/{id}", params: {a: b}}
          windows: [10/second, 150/minute, 1/hour, 225/day]
      otherwise: [{requests: 10, per_seconds: 6}, {requests: 10, per: day}, {burst: 10, per_second: 2.5}]
      max_in_flight: 5
    - key: days
      otherwise: [{requests: 1000, per: day, time_zone: America/New_York}]
  headers:
    remaining: RateLimit-Remaining
    reset: {name: RateLimit-Reset, means: unix_seconds}
    retry_after: Retry-After
retries:
  max_attempts: 5
  deadline_seconds: 120
  idempotency_header: Idempotency-Key
  backoff: {base_seconds: 0.5, max_seconds: 20}
  rules:
    - {when: {status: 429}, do: wait}
    - {when: {status: [500, 5xx], method: POST, path: a, header: {X: "1"}}, do: retry, max_attempts: 2}
    - {when: {status: 4xx, header: X, body_contains: maintenance}, do: fail}
    - {when: {json: {path: ok, equals: null}, status: 200}, do: refresh}
    - {when: {error: [timeout, reset]}, do: ignore}
pagination: {kind: next_url, next: links.next, records: data}
errors: {message: "errors[0].detail", code: "errors[0].code"}
verification: {method: GET, path: me, params: {a: b}}
connection_config:
  type: object
  required: [subdomain]
  properties: {subdomain: {type: string, title: Subdomain, pattern: "^[a-z]+$", examples: [acme]}}
examples:
  - call: {method: GET, path: me, params: {a: 1}}
    credentials: {access_token: t}
    sends: {url: "https://example.test/api/me?a=1&lang=en", headers: {Authorization: Bearer t}}
    response: {status: 200, json: {a: null}}
gotchas: [None that matter]
sources:
  - {covers: rate_limits, url: "https://example.test/limits", read_on: 2026-11-30, x-page: 1}
  - {covers: [auth.auth_mode, 'requests.params."lang"'], url: "https://example.test", read_on: 2026-11-30}
unconfirmed: ["rate_limits.budgets[0].cases[0].windows[3]"]
changes:
  - {on: 2027-01-01, what: Tokens expire., affects: [auth], url: "https://example.test", then: Connect again.}
  - {on: 2027-02-01, what: Offsets are refused., affects: pagination.kind, url: "https://example.test"}
"""


def told(text: str) -> list[str]:
    """The problems of a blueprint without the file's name."""
    return [str(problem).removeprefix("k:") for problem in check_blueprint(parse_document(text, "k"))]


def told_of(text: str) -> list[str]:
    """The problems of an integrations.yaml without the file's name."""
    return [str(problem).removeprefix("i:") for problem in check_integrations(parse_document(text, "i"))]


def test_the_whole_format_is_accepted() -> None:
    """Every key of the format may be written, `x-` keys and nulls that remove included."""
    assert told(COMPLETE) == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_published_schemas_are_schemas(name: str) -> None:
    """Both are valid 2020-12, hold every definition they name, and name no other document."""
    schema = SCHEMAS[name]()
    jsonschema.Draft202012Validator.check_schema(schema)
    references = {part["$ref"] for part in _parts(schema) if isinstance(part.get("$ref"), str)}
    assert {found.removeprefix("#/$defs/") for found in references} == set(schema["$defs"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_has_a_description(name: str) -> None:
    """Editors show it. No keyword is one that only we know."""
    parts = list(_parts(SCHEMAS[name]()))
    keys = [(key, below) for part in parts for key, below in part.get("properties", {}).items()]
    assert [key for key, below in keys if len(below.get("description", "")) < len("a key")] == []
    assert {key for _, below in keys for key in below} & {
        "code",
        "expected",
        "shown",
        "template",
        "unit",
    } == set()


def _parts(schema: Any, *, is_schema: bool = True) -> Iterator[dict[str, Any]]:
    """Every schema within a schema, itself included."""
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part)
    elif isinstance(schema, dict):
        if is_schema:
            yield schema
        for key, below in schema.items():
            yield from _parts(below, is_schema=not (is_schema and key in {"properties", "$defs"}))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_file_for_editors_is_current(name: str) -> None:
    """The schema file that the first line of a blueprint names is what the command prints."""
    file = ROOT / "nango_py" / "config" / "schema" / f"{name}.schema.json"
    assert json.loads(file.read_text("utf-8")) == SCHEMAS[name](), f"nango schema {name} > {file}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_and_ours_agree(name: str) -> None:
    """An editor's plain validator accepts and refuses what ours does."""
    editor = jsonschema.Draft202012Validator(SCHEMAS[name]())
    entry = "integrations: {a: {extends_blueprint: b, %s}}\n"
    for change in ("title: [1]", "auth: {auth_mode: NOPE}", "titel: x", "retries: {rules: [{}]}"):
        text = f"{COMPLETE}{change}\n" if name == "blueprint" else entry % change
        problems: list[Any] = []
        data = parse_document(text.replace("title: Everything\n", ""), "f", problems).data
        if name == "blueprint":
            data |= parse_document(change, "f").data
        ours = check_blueprint if name == "blueprint" else check_integrations
        assert not editor.is_valid(data), change
        assert ours(document_from_python(data)), change
    assert editor.is_valid(parse_document(entry % "title: x", "f").data) == (name == "integrations")


def test_every_part_brings_its_keys() -> None:
    """Each registered auth mode and paginator is a value of its selector, with its own keys."""
    definitions = file_format.definitions()
    assert definitions["auth_mode"]["enum"] == list(AUTH_MODES.names())
    for name, mode in AUTH_MODES.all().items():
        settings = "".join(f"  {key}: https://example.test/\n" for key in mode.required_settings)
        text = f"name: a\nversion: v0\nrequests: {{base_url: x}}\nauth:\n  auth_mode: {name}\n{settings}"
        assert told(text) == []
        for missing in mode.required_settings:
            without = text.replace(f"  {missing}: https://example.test/\n", "")
            assert told(without) == [f"4:1: error[E208]: {name} needs auth.{missing}"]
    for name in PAGINATORS.names():
        found = told(f"name: a\nversion: v0\nextends: b\npagination: {{kind: {name}, surely_no_key: 1}}")
        assert len(found) == 1
        assert "unknown key" in found[0]


def test_keys_of_another_auth_mode_are_named_as_such() -> None:
    """token_url exists, but not for API_KEY."""
    text = "integrations: {a: {extends_blueprint: b, auth: {auth_mode: API_KEY, token_url: x}}}"
    assert told_of(text) == [
        '1:69: error[E202]: unknown key "token_url" for auth_mode API_KEY; known: auth_mode'
    ]


def test_an_override_may_give_one_key_of_a_block() -> None:
    """An entry that extends a blueprint repeats neither auth_mode nor base_url nor the kind of pagination."""
    entry = "auth: {scope_separator: x}, requests: {params: null}, pagination: {records: a}"
    assert told_of(f"integrations: {{a: {{extends_blueprint: b, {entry}}}}}") == []


def test_an_entry_without_a_blueprint_needs_auth_and_requests() -> None:
    """Both are missed at the name of the integration."""
    help_ = "without a blueprint to extend, auth and requests are needed"
    assert told_of("integrations:\n  a: {title: x}\n") == [
        f'2:3: error[E203]: missing key "auth"; {help_}',
        f'2:3: error[E203]: missing key "requests"; {help_}',
    ]
    assert told("name: a\nversion: v0\nextends: b\n") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("title: 1", "16:8 E206 expected text, found a number; quote it"),
        ("title: true", "16:8 E206 expected text, found true or false; quote it"),
        ("title: {}", "16:8 E201 expected text, found a mapping"),
        ("gotchas: x", "16:10 E205 expected a list, found text"),
        ("status: x", "16:9 E201 expected a mapping, found text"),
        ("status: {released: yesterday}", "16:20 E204 expected a date such as 2024-10-15"),
        ("docs_url: ftp://x", "16:11 E204 expected a URL that starts with https://"),
        ("retries: {max_attempts: 0}", "16:25 E401 must be >= 1 and <= 100"),
        ("retries: {max_attempts: 5.0}", "16:25 E201 expected a whole number, found a number"),
        ("retries: {max_attempts: true}", "16:25 E201 expected a whole number"),
        ("retries: {deadline_seconds: 1e400}", "16:29 E401 expected a number of"),
        ("retries: {rules: [{when: {}, do: wait}]}", "16:26 E203 keys are missing; expected status"),
        ("retries: {rules: [{when: {status: 42}, do: wait}]}", "16:35 E401 must be >= 100"),
        ("retries: {rules: [{when: {status: 5x}, do: wait}]}", "16:35 E204 expected a status"),
        ("retries: {rules: [{when: {status: 429}}]}", '16:19 E203 missing key "do"'),
        ("retries: {rules: [{when: {method: get}, do: wait}]}", "16:35 E204 expected GET, "),
        ("rate_limits: {budgets: [{key: a, max_in_flight: 0}]}", "16:49 E401 must be >= 1"),
        ("rate_limits: {budgets: [{key: a, otherwise: [{requests: 1}]}]}", '16:47 E203 "requests" needs'),
        ("rate_limits: {budgets: [{key: a, otherwise: [{per: day}]}]}", '16:47 E203 "per" needs "requests"'),
        (
            "rate_limits: {budgets: [{key: a, otherwise: [{requests: 1, per: year}]}]}",
            "16:65 E204 expected hour, day, week or month",
        ),
        (
            "rate_limits: {budgets: [{key: a, otherwise: [{requests: 1, per: day, time_zone: Mars/Port}]}]}",
            '16:81 E204 unknown time zone "Mars/Port"; expected UTC or an IANA name',
        ),
        (
            "rate_limits: {budgets: [{key: a, otherwise: [{requests: 1, per: day, per_seconds: 3}]}]}",
            "16:70 E204 a calendar period has no per_seconds; remove",
        ),
        ("rate_limits: {budgets: [{key: a, otherwise: 10/second}]}", "16:45 E205 expected a list"),
        ("rate_limits: {budgets: [{key: a, otherwise: [10]}]}", "16:46 E206 expected text"),
        ("rate_limits: {budgets: [{key: a, otherwise: [0/day]}]}", "16:46 E204 expected 10/second"),
        ("rate_limits: {budgets: [{key: a, otherwise: [{requests: 1}]}]}", '16:47 E203 "req'),
        ("rate_limits: {budgets: [{key: a, otherwise: []}]}", "16:45 E203 the list is empty"),
        ("rate_limits: {budgets: [{key: a}]}", "16:25 E203 keys are missing"),
        ("rate_limits: {headers: {reset: {name: X, means: second}}}", "16:49 E204 expected seconds, "),
        ("connection_config: {properties: {a: {$ref: 'http://h/'}}}", '16:38 E202 unknown key "$ref"'),
        ("comment: x\nx-ok: .nan", "17:7 E401 expected a finite"),
        ("examples: [{call: {path: a}, response: {status: 200, json: {a: -.inf}}}]", "16:64 E401 expected a"),
        ("gotchas: [null]", "16:11 E201 expected text, found nothing"),
    ],
)  # fmt: skip
def test_wrong_settings_are_told_in_our_words(line: str, expected: str) -> None:
    """Each kind of mistake has a code, a place and a sentence that says what is expected."""
    text = (
        "name: a\nversion: v0\nauth: {auth_mode: API_KEY}\nrequests: {base_url: https://h/}\n"
        + "\n" * 11
        + line
    )
    found = told(text)
    assert len(found) == 1, found
    assert found[0].replace(": error[", " ").replace("]: ", " ").startswith(expected)


def test_names_of_integrations_have_one_form() -> None:
    """A name is a-z 0-9 _ -; quoted `no` is a name like any other."""
    assert told_of("integrations:\n  A b: {extends_blueprint: x}\n")[0].startswith(
        '2:3: error[E104]: the name "A b" is not allowed; expected a name of a-z 0-9 _ -'
    )
    assert told_of('integrations:\n  "no": {extends_blueprint: x}\n') == []


def test_a_null_removes_and_is_no_value() -> None:
    """It may stand for any key that an extended file gives, and counts as missing where the key is needed."""
    assert told("name: a\nversion: v0\nextends: b\nrequests: null\nretries: {rules: null}\n") == []
    assert told_of("integrations: {a: {extends_blueprint: b, auth: {auth_mode: null}}}\nconfig:\n") == []
    assert told("name: a\nversion:\nauth: {auth_mode: API_KEY}\nrequests: {base_url: null}\n") == [
        '1:1: error[E203]: missing top-level key "version"',
        '4:1: error[E203]: missing key "base_url"',
    ]
    assert told_of("integrations:\n  a:\n") == ["2:5: error[E201]: expected a mapping, found nothing"]
    assert told_of("integrations:\n") == ['1:1: error[E203]: missing top-level key "integrations"']
    assert "1:39: error[E201]: expected text, found nothing" in told_of(
        "integrations: {a: {extends_blueprint: null}}"
    )


def test_environment_placeholders_stand_for_text() -> None:
    """`${UPPER_CASE}` fits wherever text does, a log level included, and not where a number must be."""
    entry = "oauth_client_secret: '${B}', log_level: '${C}', http_request_timeout_seconds: '${D}'"
    assert told_of(f"integrations: {{a: {{extends_blueprint: '${{A}}', {entry}}}}}") == [
        "1:125: error[E401]: expected a number of seconds, found text; write 30"
    ]


def test_the_old_form_with_versions_is_accepted() -> None:
    """`versions:` holds one body for each version; each is checked like a separate blueprint."""
    body = "{auth: {auth_mode: API_KEY}, requests: {base_url: https://h/}}"
    assert told(f"versions: {{v0: {body}, v1: {{extends: 'a:v0'}}}}") == []
    assert told("versions: {1: {}}".replace("1:", '"1":'))[0].startswith('1:12: error[E104]: the name "1"')
    assert [line.partition("; ")[0] for line in told("versions:\n  v0: {title: x}")] == [
        '2:3: error[E203]: missing key "auth"',
        '2:3: error[E203]: missing key "requests"',
    ]


class _PathLocator(Located):
    """Reports each place as the path of the value."""

    def place(self, path: tuple[str | int, ...]) -> tuple[str, int, int, int, int]:
        """The path as a file name."""
        return "/".join(map(str, path)), 0, 0, 0, 0


def test_merged_settings_are_checked_for_what_is_missing() -> None:
    """After merging, required keys, the log level's value and contradictions are looked at again."""
    settings = {
        "auth": {"auth_mode": "OAUTH2", "token_url": "x"},
        "requests": {},
        "log_level": "loud",
        "rate_limits": {"headers": {"remaining": "X"}},
        "pagination": {"records": "a"},
    }
    found = check_merged(settings, _PathLocator())
    assert [(problem.position.file, problem.code) for problem in found] == [
        ("auth", "E208"),
        ("log_level", "E204"),
        ("pagination", "E203"),
        ("rate_limits/headers/remaining", "E402"),
        ("requests", "E203"),
    ]


def test_a_post_may_be_repeated_when_it_is_said_to_be_safe() -> None:
    """An idempotency header, or the word that duplicates are fine, for all rules or for one."""
    rule = "{when: {method: POST, status: 500}, do: retry%s}"
    base = "name: a\nversion: v0\nauth: {auth_mode: API_KEY}\nrequests: {base_url: https://h/}\n"
    refused = told(f"{base}retries: {{rules: [{rule % ''}]}}")
    assert refused == [
        "5:27: error[E403]: POST could run twice; add idempotency or allow_duplicate_posts: true"
    ]
    assert told(f"{base}retries: {{rules: [{rule % ', allow_duplicate_posts: true'}]}}") == []
    assert told(f"{base}retries: {{allow_duplicate_posts: true, rules: [{rule % ''}]}}") == []
    assert told(f"{base}retries: {{idempotency_header: X, rules: [{rule % ''}]}}") == []


def test_settings_from_python_are_told_by_key_path() -> None:
    """The same checks on Python data name the key path in place of a line."""
    document = document_from_python(
        {"integrations": {"a": {"extends_blueprint": "b", "oauth_scopes": "x y"}}}
    )
    assert [str(problem) for problem in check_integrations(document)] == [
        'Nango(integrations=...)["a"]["oauth_scopes"]: error[E205]: expected a list, found text; write [x, y]'
    ]


def test_a_reference_fetches_nothing() -> None:
    """A blueprint cannot make the validator fetch: a canary on loopback is never called."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        hits: list[Any] = []
        port = canary.getsockname()[1]
        canary.settimeout(0.2)

        def listen() -> None:
            try:
                hits.append(canary.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=listen)
        listener.start()
        url = f"http://127.0.0.1:{port}/schema.json"
        found = told(f"{COMPLETE}x-more: {{$ref: '{url}'}}\n")
        found += told(COMPLETE.replace("title: Subdomain", f"$ref: '{url}'"))
        listener.join()
    assert hits == []
    assert [line.partition(";")[0].partition("error")[2] for line in found] == ['[E202]: unknown key "$ref"']


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from _paths(item, (*path, key))


def _with(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the data with another value at a path."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = _with(copy[path[0]], path[1:], value)
    return copy


ODD_VALUES = (None, 1, 1.5, -1, True, "x", "", [], {}, [None], {"a": None}, math.nan, [[]], "10/second")


@pytest.mark.parametrize("part", range(4))
def test_the_quick_check_accepts_nothing_that_is_wrong(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value of a full blueprint made odd: where the quick check says yes, the full one finds nothing."""
    full = parse_document(COMPLETE, "k").data
    odd = [_with(full, path, value) for path in _paths(full) for value in ODD_VALUES]
    sample = random.Random(part).sample(odd, 120)
    documents = [document_from_python(data) for data in sample]
    quick = [bool(check_blueprint(document)) for document in documents]
    monkeypatch.setattr(schema_module, "is_surely_valid", lambda *_: False)
    assert [bool(check_blueprint(document)) for document in documents] == quick
    assert 0 < sum(quick) < len(quick)


def test_right_files_need_no_validator() -> None:
    """Shipped blueprints are right by their own format, and reading them imports no jsonschema."""
    script = (
        "import sys; from nango_py.config.catalogue import open_catalogue\n"
        "from nango_py.errors import Position\n"
        "catalogue = open_catalogue()\n"
        "found = [catalogue.find(f'{r.name}:{r.version}', Position('i')) for r in catalogue.refs()]\n"
        "print(len(found) >= 200, 'jsonschema' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ended.stdout.split() == ["True", "False"]
