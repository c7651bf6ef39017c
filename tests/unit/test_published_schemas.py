"""The published schemas in a plain validator: what is shipped and documented fits, and wrong files do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nango_py.config.schema.publish import blueprint_schema, integrations_schema
from nango_py.config.schema.validation import check_blueprint, check_integrations
from nango_py.config.yaml.document import document_from_python, load_document, parse_document
from tests.support.run_docs import blocks
from tests.support.shipped_files import FILES, with_every_key
from tests.unit.test_bad_inputs import CASES

ROOT = Path(__file__).parents[2]
BLUEPRINT = jsonschema.Draft202012Validator(blueprint_schema())
INTEGRATIONS = jsonschema.Draft202012Validator(integrations_schema())
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
BLOCKS = [block for page in PAGES for block in blocks(page, "yaml")]
WHOLE = {
    "name": "a",
    "version": "v0",
    "auth": {"auth_mode": "NONE"},
    "requests": {"base_url": "https://a.test/"},
}
# The codes of what a schema can see: names, keys, values and numbers. What a blueprint needs it cannot.
SEEN = {"E104", "E201", "E202", "E203", "E204", "E205", "E206", "E208", "E401"}

WRONG = [
    name
    for name, case in CASES.items()
    if case.problems[0][:2] in {"i:", "k:"} and case.problems[0][-4:] in SEEN and "secret" not in name
]


def faults(data: Any) -> list[str]:
    """What the plain validator refuses in a file; a part is completed."""
    if "integrations" in data or "config" in data:
        return [fault.message for fault in INTEGRATIONS.iter_errors({"integrations": {}, **data})]
    if not data.keys() & {"name", "versions"}:
        data = {"name": "a", "version": "v0", "extends": "b:v0", **data}
    return [fault.message for fault in BLUEPRINT.iter_errors(data)]


def test_shipped_files_fit(pytestconfig: pytest.Config) -> None:
    """Blueprints with every key that any has, and integrations.yaml; with `--thorough`, all of them."""
    files = FILES if pytestconfig.getoption("--thorough") else with_every_key(FILES)
    assert len(files) > 20
    for file in (*files, ROOT / "integrations.yaml"):
        assert faults(load_document(file).data) == [], file


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_documented_files_fit(block: Any) -> None:
    """Every YAML block of the docs, with a title or without."""
    assert faults(parse_document(block.text, str(block)).data) == []


@pytest.mark.parametrize(
    "part",
    [
        "status: {released: null, migrate_to: null}",
        "credentials: null",
        "credentials: {api_key: null}",
        "requests: {headers: {Accept: null}, timeout_seconds: {connect: null}, allow_http: null}",
        "requests: {params: null, allowed_hosts: null}",
        "auth: {scope_separator: null, authorization_params: null}",
        "auth: {auth_mode: null}",
        "auth: {auth_mode: OAUTH2, token_params: {audience: null}, pkce: null}",
        "rate_limits: {budgets: null, counted_per: null, headers: {reset: null}}",
        "retries: {backoff: {base_seconds: null}, circuit_breaker: null, rules: null}",
        "pagination: {kind: null, records: null}",
        "pagination: {kind: cursor, records: null}",
        "pagination: null",
        "errors: {code: null}",
        "verification: {path: me, params: {a: null}, accepts: null}",
        "connection_config: {properties: {a: null}, required: null}",
        "retries: {rules: [{when: {json: {path: a, equals: null}}, do: wait}]}",
        "examples: [{call: {path: a, json: {b: null}}, response: {status: 200, json: null}}]",
        "title: null\ncomment:\ngotchas:",
        "x-own: {a: null}",
    ],
)
def test_a_null_removes_a_key(part: str) -> None:
    """Both validators accept it, in a blueprint and in an entry of integrations.yaml."""
    body = parse_document(part, "k").data
    blueprint = {"name": "a", "version": "v0", "extends": "b:v0", **body}
    assert faults(blueprint) == []
    assert check_blueprint(document_from_python(blueprint)) == []
    integrations = {"integrations": {"a": {"extends_blueprint": "b:v0", **body}}}
    assert faults(integrations) == []
    assert check_integrations(document_from_python(integrations)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"version": None},
        {"extends": None},
        {"auth": None},
        {"requests": None},
        {"requests": {"base_url": None}},
        {"auth": {"auth_mode": None}},
        {"auth": {"auth_mode": "OAUTH2", "authorization_url": None, "token_url": "https://a.test/"}},
        {"pagination": {"kind": None}},
        {"verification": {"path": None}},
        {"gotchas": [None]},
        {"retries": {"rules": [None]}},
        {"retries": {"rules": [{"when": {"status": None}, "do": "wait"}]}},
        {"retries": {"rules": [{"when": {"status": 500}, "do": "retry", "max_attempts": None}]}},
        {"retries": {"rules": [{"when": {"status": 500}, "do": "retry", "backoff": {"max_seconds": None}}]}},
        {"retries": {"rules": [{"when": {"header": {"a": None}}, "do": "wait"}]}},
        {"rate_limits": {"budgets": [{"key": "a", "otherwise": None, "max_in_flight": 1}]}},
        {"rate_limits": {"budgets": [{"key": "a", "otherwise": [None]}]}},
    ],
)  # fmt: skip
def test_a_null_is_not_a_value(change: dict[str, Any]) -> None:
    """Both refuse it for a key that is needed, and in lists, which are replaced as a whole."""
    assert faults(WHOLE) == []
    assert faults({**WHOLE, **change}) != []
    assert check_blueprint(document_from_python({**WHOLE, **change})) != []


def test_the_environment_may_say_one_of_several_words() -> None:
    """In integrations.yaml only; lower-case names are variables of templates."""
    entry = {"extends_blueprint": "b:v0", "log_level": "${LEVEL}", "auth": {"auth_mode": "${ MODE }"}}
    assert faults({"integrations": {"a": entry}}) == []
    assert faults({"integrations": {"a": {**entry, "log_level": "${level}"}}}) != []
    assert faults({**WHOLE, "auth": {"auth_mode": "${MODE}"}}) != []


def test_the_old_form_fits() -> None:
    """Several versions in one file, with the key that only the first Nango had."""
    body = {key: value for key, value in WHOLE.items() if key not in {"name", "version"}}
    assert faults({"maintainer": "someone", "versions": {"v0": body}}) == []
    assert faults({"versions": {"0": body}}) != []
    assert faults({"versions": {"v0": None}}) != []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_do_not_fit(name: str) -> None:
    """The files of test_bad_inputs whose mistake a schema can express."""
    case = CASES[name]
    is_blueprint = case.problems[0].startswith("k:")
    data = parse_document(case.klaviyo if is_blueprint else case.integrations, "f", []).data
    assert not (BLUEPRINT if is_blueprint else INTEGRATIONS).is_valid(data)
