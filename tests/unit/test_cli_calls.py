"""`nango plan`, and `nango call` without sending: requests are printed with credentials masked."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

KEY = "pk_planted_0123456789"


SETTINGS = """\
integrations:
  acme:
    auth: {auth_mode: API_KEY}
    requests:
      base_url: https://${additional_config.site}.acme.test/${additional_config.region}/
      headers: {X-Key: "${api_key}"}
    connection_config:
      required: [site, region]
      properties: {site: {examples: [shop, other]}, region: {enum: [eu, us]}}
  beta:
    auth: {auth_mode: API_KEY}
    requests: {base_url: "https://${additional_config.site}.beta.test/", headers: {X-Key: "${api_key}"}}
    connection_config: {required: [site], properties: {site: {default: www}}}
    examples:
      - {call: {path: a}}
      - {call: {path: a}, additional_config: {site: first}}
"""


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (("acme",), "https://shop.acme.test/eu/a"),
        (("acme", "--config", '{"region": "us"}'), "https://shop.acme.test/us/a"),
        (("beta",), "https://first.beta.test/a"),
        (("beta", "--config", '{"site": "x"}'), "https://x.beta.test/a"),
    ],
)
def test_an_example_has_settings(product: Product, arguments: tuple[str, ...], url: str) -> None:
    """Those of the blueprint's examples, else what its fields show; --config replaces them one by one."""
    product.write("integrations.yaml", SETTINGS)
    found = product.run("plan", arguments[0], "anyone", "GET", "a", "--example", *arguments[1:])
    assert found.out.splitlines()[0] == f"GET {url}"


def test_required_settings_with_a_default_need_no_value(product: Product) -> None:
    """The default is stored with the connection."""
    product.write("integrations.yaml", SETTINGS.replace("first", "second"))
    assert product.register("beta", "user-1", '{"api_key": "k"}').code == 0
    shown = product.run("plan", "beta", "user-1", "GET", "a").out
    assert shown.splitlines()[0] == "GET https://www.beta.test/a"


@pytest.fixture
def connected(product: Product) -> Product:
    """A product where user-1 is connected to both Klaviyo APIs."""
    for name in ("klaviyo", "old"):
        product.register(name, "user-1", json.dumps({"api_key": KEY}))
    return product


def test_plan_prints_the_request_with_the_key_masked(connected: Product) -> None:
    """The key is masked in headers and in the query."""
    shown = connected.run(
        "plan", "klaviyo", "user-1", "get", "metrics", "-p", "count=50", "-H", "X-Trace: 7"
    ).out
    assert shown.splitlines()[0] == "GET https://a.klaviyo.com/api/metrics?count=50"
    assert "Authorization: Klaviyo-API-Key ***" in shown
    assert "X-Trace: 7" in shown
    old = connected.run("plan", "old", "user-1", "GET", "v1/metrics").out
    assert old.splitlines()[0] == "GET https://a.klaviyo.com/api/v1/metrics?api_key=***"
    assert KEY not in shown + old


def test_plan_with_example_credentials_needs_no_connection(product: Product) -> None:
    """--example plans a request without a stored connection, and writes no files."""
    found = product.run(
        "plan", "klaviyo", "anyone", "POST", "events", "--example", "--json", '{"a": [1, null]}'
    )
    assert found.code == 0
    assert "Content-Type: application/json" in found.out
    assert found.out.endswith('{"a": [1, null]}\n')
    assert not (product.folder / ".nango").exists()


def test_bodies_come_from_text_and_files(connected: Product) -> None:
    """As in curl, --data text is sent as a form and a file unchanged."""
    connected.write("body.bin", "raw")
    form = connected.run("plan", "klaviyo", "user-1", "POST", "events", "--data", "a=1").out
    assert "Content-Type: application/x-www-form-urlencoded" in form
    assert form.endswith("a=1\n")
    raw = connected.run("plan", "klaviyo", "user-1", "POST", "events", "--data", "@body.bin").out
    assert "Content-Type" not in raw
    assert raw.endswith("raw\n")


def test_curl_prints_a_command_with_the_key_masked(connected: Product) -> None:
    """--curl prints a valid shell command with the credential masked."""
    found = connected.run("call", "old", "user-1", "POST", "v2/lists", "--json", '{"it": "isn\'t"}', "--curl")
    words = shlex.split(found.out)
    assert words[:4] == ["curl", "--compressed", "-X", "POST"]
    assert "https://a.klaviyo.com/api/v2/lists?api_key=***" in words
    assert words[-2:] == ["--data-binary", '{"it": "isn\'t"}']
    assert KEY not in found.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["GET", "../admin"], "dot"),
        (["GET", "https://evil.test/"], "error: "),
        (["GET", "metrics", "-H", "X Key: 1"], "E313"),
        (["GET", "metrics", "-H", "nocolon"], "-H takes 'Name: value'"),
        (["POST", "events", "--json", f"{{{KEY}"], "JSON"),
        (["POST", "events", "--json", "1", "--data", "2"], "--data"),
        (["POST", "events", "--json", "@absent.json"], "cannot read absent.json"),
        (["POST", "events", "--config", "{}"], "--example"),
    ],
)
def test_an_invalid_request_is_a_usage_error(connected: Product, arguments: list[str], said: str) -> None:
    """The exit code is 2, and the one-line message repeats no value that may be secret."""
    found = connected.run("plan", "klaviyo", "user-1", *arguments)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1
    assert KEY not in found.err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("klavio", "user-1"), 'did you mean "klaviyo"?'),
        (("klaviyo", "nobody"), 'no connection of user "nobody"'),
    ],
)
def test_unknown_names_are_usage_errors(connected: Product, names: tuple[str, str], said: str) -> None:
    """A misspelled integration gets a suggestion."""
    found = connected.run("call", *names, "GET", "metrics")
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1


def test_limits_of_a_connection_are_shown_as_a_table(connected: Product) -> None:
    """Unused limits are not listed, and an unknown user is an error."""
    found = connected.run("limits", "klaviyo", "user-1")
    assert (found.code, found.out) == (0, "no limit is in use\n")
    assert found.err.count("\n") == 1
    missing = connected.run("limits", "klaviyo", "user-2")
    assert missing.code != 0
    assert "user-2" in missing.err


@pytest.mark.parametrize("text", ["1" * 5000, "[" * 100_000], ids=["a long number", "deep"])
def test_json_that_python_cannot_read_is_a_usage_error(connected: Product, text: str) -> None:
    """Wherever JSON is read: it is a mistake in the input, not a bug."""
    source = str(connected.write("given.json", f'{{"a": {text}}}'))
    for words in (
        ("plan", "klaviyo", "user-1", "POST", "events", "--json", f"@{source}"),
        ("actions", "run", "klaviyo", "user-1", "any", "--input", f"@{source}"),
        ("connections", "register", "klaviyo", "user-2", "--credentials-file", source),
    ):
        found = connected.run(*words)
        assert (found.code, found.out) == (2, "")
        assert "too long, or it is nested too deeply" in found.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///.", "expected sqlite:///"),
        ("sqlite:////", "expected sqlite:///"),
        ("sqlite:///..", "not a regular file"),
        ("sqlite:////dev/null", "not a regular file"),
        (f"postgresql://u:{KEY[:4]}@{KEY}@127.0.0.1:1/x", "%40"),
        (f"postgresql://u:{KEY[:4]}/{KEY}@127.0.0.1:1/x", "%2F"),
        (f"postgresql://u:{KEY}\udcff@127.0.0.1:1/x", "malformed"),
    ],
)
def test_an_unusable_database_is_a_usage_error(product: Product, url: str, said: str) -> None:
    """No part of a password is shown, and neither a folder nor a device is closed to others."""
    modes = [path.stat().st_mode for path in (product.folder.parent, Path(os.devnull))]
    found = product.run("--database", url, "connections", "list")
    assert found.code == 2
    assert said in found.err
    assert KEY not in found.err
    assert modes == [path.stat().st_mode for path in (product.folder.parent, Path(os.devnull))]


@pytest.mark.parametrize("query", ["unknown=1", "socket_timeout=soon"])
def test_an_unusable_redis_url_is_a_usage_error(product: Product, query: str) -> None:
    """A parameter that the library does not know is not a bug of ours, and no password is shown."""
    store = f"config: {{rate_limit_store: 'redis://:{KEY}@127.0.0.1:1/0?{query}'}}\n"
    product.write("integrations.yaml", store + "integrations: {klaviyo: {extends_blueprint: 'klaviyo:v1'}}\n")
    found = product.run("limits", "klaviyo", "user-1")
    assert found.code == 2
    assert "rate_limit_store" in found.err
    assert KEY not in found.err


def test_keys_that_are_not_text_are_a_usage_error(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment may hold any bytes."""
    monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", "\udcffkey")
    found = product.run("connections", "list")
    assert found.code == 2
    assert "NANGO_ENCRYPTION_KEYS" in found.err
