"""Rules for all built-in blueprints: they are valid, complete, and send the requests of their examples."""

from __future__ import annotations

import copy
import re
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jmespath
import pytest

from nango_py import Nango, RateLimited, Sandbox
from nango_py.auth.base import get_auth_mode
from nango_py.config.catalogue import Catalogue
from nango_py.config.request_match import RequestFacts
from nango_py.config.schema.validation import check_blueprint, check_integrations
from nango_py.config.yaml.document import load_document
from nango_py.errors import Position
from nango_py.limits.notation import parse_limit
from nango_py.limits.rules import RateLimits
from nango_py.registry import AUTH_MODES
from nango_py.sandbox import FaultPlan, SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "blueprints").glob("*.yaml"))
XML = {"aws-s3.v0"}
"""APIs with XML responses, which have no JMESPath for errors or next pages."""
LONGEST_LINE = 120
APP = {"oauth_client_id": "client_test", "oauth_client_secret": "client_secret_test"}


def settings_of(path: Path) -> dict[str, Any]:
    """A blueprint file as plain data."""
    data = load_document(path).data
    assert isinstance(data, dict)
    return data


def merged_settings_of(path: Path) -> Mapping[str, Any]:
    """The settings of a blueprint, merged with those that it extends."""
    catalogue = Catalogue([("local", path.parent)])
    return catalogue.find(ref_of(settings_of(path)), Position(path.name)).settings


def prose_lines(path: Path) -> list[str]:
    """The comments, and the lines of comment, help, description and gotchas; not the lines of data."""
    lines, is_prose = [], False
    for line in path.read_text().splitlines():
        if re.match(r"\s*#|\s*(comment|gotchas|help|description):", line):
            is_prose = True
        elif re.match(r"\s*(- \{|[\w-]+:)", line):
            is_prose = False
        if is_prose:
            lines.append(line)
    return lines


def ref_of(settings: dict[str, Any]) -> str:
    """The `name:version` of a blueprint."""
    return f"{settings['name']}:{settings['version']}"


EXAMPLES = [
    pytest.param(path, number, id=f"{path.stem}-{number}-{example['call'].get('method', 'GET')}")
    for path in FILES
    for number, example in enumerate(settings_of(path)["examples"])
]
REFUSALS = frozenset({401, 429})
"""Statuses that the sandbox returns for its own reasons, not because an example has them."""


def _responses(*, refused: bool) -> list[Any]:
    return [
        case
        for case in EXAMPLES
        for path, number in [case.values]
        if (settings_of(path)["examples"][number]["response"]["status"] in REFUSALS) is refused
    ]


every_blueprint = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def product(path: Path, folder: Path, **overrides: Any) -> Nango:
    """A Nango with one integration, `it`, that extends the blueprint."""
    settings = settings_of(path)
    entry: dict[str, Any] = {"extends_blueprint": ref_of(settings), **overrides}
    if "oauth_client_id" in AUTH_MODES.get(merged_settings_of(path)["auth"]["auth_mode"]).variables:
        entry |= APP
    return Nango(
        integrations={"it": entry},
        blueprints=path.parent,
        database_url=f"sqlite:///{folder / 'nango.db'}",
        environ={},
    )


def differences(example: dict[str, Any], plan: Any) -> list[str]:
    """The differences between a plan and the `sends` of an example, in words."""
    sends = example["sends"]
    headers = {name.lower(): value for name, (_, value) in plan.headers.items()}
    found = [] if plan.url == sends["url"] else [f"the URL is {plan.url}"]
    for name, value in sends["headers"].items():
        if headers.get(name.lower()) != value:
            found.append(f"the header {name} is {headers.get(name.lower())}")
    secrets = {text for key, text in example["credentials"].items() if text and key != "scope"}
    expected = {name.lower() for name in sends["headers"]}
    for name, value in headers.items():
        if name not in expected and any(secret in value for secret in secrets):
            found.append(f"the header {name} contains a credential; list it in sends")
    return found


def plan_of(path: Path, example: dict[str, Any], folder: Path) -> Any:
    """The plan of an example's call."""
    with product(path, folder) as nango:
        nango.register_connection("it", "user", example["credentials"], example.get("additional_config"))
        call = dict(example["call"])
        return nango.executor("it", "user").plan(call.pop("method", "GET"), call.pop("path"), **call)


@every_blueprint
def test_it_is_valid(path: Path) -> None:
    """Built-in blueprints have no problems and no warnings."""
    problems = [str(problem) for problem in check_blueprint(load_document(path))]
    assert problems == []


@every_blueprint
def test_it_is_complete(path: Path) -> None:
    """Built-in blueprints have a title, a manual, a comment, examples and gotchas."""
    settings = merged_settings_of(path)
    assert path.name == f"{settings['name']}.{settings['version']}.yaml", "name the file name.version.yaml"
    required = ["title", "comment", "examples", "gotchas", "verification", "categories"]
    if path.stem not in XML:
        required += ["errors", "pagination"]
    assert [key for key in required if not settings.get(key)] == [], "add the missing keys"
    assert settings["docs_url"].startswith("https://"), "docs_url must be an https:// URL"
    first_line = path.read_text().partition("\n")[0]
    assert first_line.startswith("# yaml-language-server: $schema="), "name the schema in the first line"
    long_lines = [line for line in prose_lines(path) if len(line) > LONGEST_LINE]
    assert long_lines == [], f"wrap prose at {LONGEST_LINE} columns"


@every_blueprint
def test_its_base_url_is_https(path: Path, tmp_path: Path) -> None:
    """The base URL is https, has a host and ends with a slash."""
    with product(path, tmp_path) as nango:
        base_url = nango.configuration.integrations["it"].requests.base_url.source
    fields = merged_settings_of(path).get("connection_config", {}).get("properties", {})
    for name, field in fields.items():
        if field and field.get("format") == "origin":
            base_url = base_url.replace(f"${{additional_config.{name}}}", field["examples"][0])
    parts = urlsplit(base_url)
    assert parts.scheme == "https", "base_url must be https"
    assert "." in (parts.hostname or ""), "base_url must have a host"
    assert base_url.endswith("/"), "base_url must end with a slash"


@every_blueprint
def test_its_examples_use_made_up_credentials(path: Path) -> None:
    """Credentials in examples are empty or contain `test`, so no real one is published."""
    for example in settings_of(path)["examples"]:
        for value in example["credentials"].values():
            assert value == "" or "test" in value, "credentials in examples must contain test"


@pytest.mark.parametrize(("path", "number"), EXAMPLES)
def test_an_example_sends_its_request(path: Path, number: int, tmp_path: Path) -> None:
    """The call of an example has the declared URL and headers, and no other header has a credential."""
    example = settings_of(path)["examples"][number]
    assert differences(example, plan_of(path, example, tmp_path)) == []


def test_a_wrong_example_is_detected(tmp_path: Path) -> None:
    """Control: a wrong query, a wrong header and a credential in an undeclared header are differences."""
    path = ROOT / "blueprints" / "klaviyo.v1.yaml"
    example = settings_of(path)["examples"][0]
    plan = plan_of(path, example, tmp_path)
    wrong = copy.deepcopy(example)
    wrong["sends"]["url"] += "?page=2"
    wrong["sends"]["headers"]["revision"] = "2000-01-01"
    del wrong["sends"]["headers"]["Authorization"]
    found = " ".join(differences(wrong, plan))
    assert "the URL is" in found
    assert "header revision" in found
    assert "authorization contains a credential" in found


@pytest.mark.parametrize(("path", "number"), _responses(refused=False))
def test_the_sandbox_returns_the_response_of_an_example(path: Path, number: int, tmp_path: Path) -> None:
    """The sandbox of the blueprint accepts the example's credentials and returns its response."""
    settings = merged_settings_of(path)
    example = settings_of(path)["examples"][number]
    credentials = {"user": example["credentials"]}
    with (
        Sandbox(settings, credentials=credentials) as sandbox,
        product(path, tmp_path, requests={"base_url": sandbox.base_url}) as nango,
    ):
        nango.register_connection("it", "user", example["credentials"], example.get("additional_config"))
        call = dict(example["call"])
        response = nango.executor("it", "user").request(call.pop("method", "GET"), call.pop("path"), **call)
        assert response.status_code == example["response"]["status"]
        if "json" in example["response"]:
            assert response.json() == example["response"]["json"]


@pytest.mark.parametrize(("path", "number"), _responses(refused=True))
def test_a_refusal_of_the_api_arrives_as_it_is(path: Path, number: int, tmp_path: Path) -> None:
    """A 401 is returned; a 429 is a RateLimited with the response, and with the wait that the API names."""
    example = settings_of(path)["examples"][number]
    declared = example["response"]
    refusal = SandboxResponse.of(
        declared.get("json"),
        status=declared["status"],
        text=declared.get("text", ""),
        headers=declared.get("headers"),
    )
    call = dict(example["call"])
    with (
        Sandbox(
            merged_settings_of(path),
            credentials={"user": example["credentials"]},
            faults=FaultPlan.script([refusal]),
        ) as sandbox,
        product(
            path, tmp_path, requests={"base_url": sandbox.base_url}, retries={"max_attempts": 1}
        ) as nango,
    ):
        nango.register_connection("it", "user", example["credentials"], example.get("additional_config"))
        began = time.time()
        request = partial(
            nango.executor("it", "user").request, call.pop("method", "GET"), call.pop("path"), **call
        )
        if declared["status"] != 429:
            response: Any = request()
        else:
            with pytest.raises(RateLimited) as caught:
                request()
            response = caught.value.response
            wait = float(declared.get("headers", {}).get("Retry-After", 0))
            assert caught.value.retry_at >= began + wait
    assert response.status_code == declared["status"]
    assert response.content == refusal.body


@every_blueprint
def test_its_errors_have_a_message(path: Path) -> None:
    """`errors.message` finds a text in the body of each example that is an error."""
    errors = merged_settings_of(path).get("errors") or {}
    for example in settings_of(path)["examples"]:
        response = example["response"]
        if response["status"] >= 400 and "json" in response:
            assert isinstance(jmespath.search(errors["message"], response["json"]), str), response["json"]


@every_blueprint
def test_every_case_of_its_limits_is_reachable(path: Path) -> None:
    """No case of the rate limits is hidden by an earlier one."""
    rate_limits = merged_settings_of(path).get("rate_limits")
    limits = RateLimits.from_settings(rate_limits)
    example = settings_of(path)["examples"][0]
    config = example.get("additional_config", {})
    variables = {"integration": "it", "user_id": "user", "raw": {}, "additional_config": config}
    for index, budget in enumerate((rate_limits or {}).get("budgets", ())):
        for case in budget.get("cases", ()):
            match = case["match"]
            method = match.get("method", "GET")
            call = RequestFacts(
                method if isinstance(method, str) else method[0],
                match.get("path", "anything").replace("{id}", "01ABC"),
                match.get("params", {}),
            )
            counter = f"{limits.scope_of(variables)} {index} "
            spends = [spend for spend in limits.spends(call, variables) if spend.key.startswith(counter)]
            labels = [limit.label for limit in spends[0].limits]
            windows = [parse_limit(entry).label for entry in case["windows"]]
            assert labels == windows, f"an earlier case hides {match}"


@pytest.mark.parametrize(
    ("method", "path", "params", "windows"),
    [
        pytest.param("GET", "metrics/", {}, "10/second 150/minute", id="M, slash at the end"),
        pytest.param("GET", "profiles", {}, "75/second 700/minute", id="L"),
        pytest.param(
            "GET",
            "profiles",
            {"additional-fields[profile]": "subscriptions,predictive_analytics"},
            "10/second 150/minute",
            id="expensive field among others",
        ),
        pytest.param("GET", "profiles/01ABC", {}, "75/second 700/minute", id="one profile"),
        pytest.param(
            "GET", "profiles/01ABC", {"include": "list,segment"}, "1/second 15/minute", id="include"
        ),
        pytest.param(
            "GET",
            "lists/Y6nRLr",
            {"additional-fields[list]": "profile_count"},
            "1/second 15/minute",
            id="count",
        ),
        pytest.param("POST", "lists", {}, "10/second 150/minute 150/day", id="daily"),
        pytest.param("GET", "lists", {}, "75/second 700/minute", id="the other method of a daily path"),
        pytest.param("POST", "flow-series-reports", {}, "1/second 2/minute 225/day", id="reporting"),
        pytest.param("GET", "events", {}, "350/second 3500/minute", id="XL"),
        pytest.param("GET", "accounts", {}, "1/second 15/minute", id="XS"),
        pytest.param("GET", "flows/AbC123/flow-actions", {}, "3/second 60/minute", id="S"),
        pytest.param("GET", "not-yet-known", {}, "3/second 60/minute", id="unknown endpoints are slow"),
    ],
)
def test_klaviyo_limits_depend_on_the_call(
    method: str, path: str, params: dict[str, str], windows: str
) -> None:
    """A call gets the limits of its tier, with daily windows and expensive parameters."""
    limits = RateLimits.from_settings(settings_of(ROOT / "blueprints" / "klaviyo.v1.yaml")["rate_limits"])
    who = {"integration": "klaviyo", "user_id": "user-1"}
    spends = limits.spends(RequestFacts(method, path, params), who)
    assert [limit.label for spend in spends for limit in spend.limits] == windows.split()


def test_klaviyo_counts_an_endpoint_and_not_each_record() -> None:
    """Two profiles share a counter; two endpoints or two users do not."""
    limits = RateLimits.from_settings(settings_of(ROOT / "blueprints" / "klaviyo.v1.yaml")["rate_limits"])

    def key(path: str, user: str = "user-1") -> str:
        return limits.spends(RequestFacts("GET", path), {"integration": "klaviyo", "user_id": user})[0].key

    assert key("profiles/01ABC") == key("profiles/01DEF/")
    assert key("profiles/01ABC") != key("lists/01ABC")
    assert key("profiles/01ABC") != key("profiles/01ABC", "user-2")


def test_slack_counts_a_workspace_once() -> None:
    """Users of one workspace share Slack's limits if the workspace id is stored."""
    limits = RateLimits.from_settings(settings_of(ROOT / "blueprints" / "slack.v0.yaml")["rate_limits"])

    def key(user: str, raw: dict[str, Any]) -> str:
        return limits.spends(
            RequestFacts("GET", "users.info"), {"integration": "slack", "user_id": user, "raw": raw}
        )[0].key

    team = {"team": {"id": "T0TEST"}}
    assert key("user-1", team) == key("user-2", team)
    assert key("user-1", {}) != key("user-2", {})


def test_legacy_klaviyo_sends_the_key_in_the_query(tmp_path: Path) -> None:
    """With klaviyo:v0 the key is in the query and in no header."""
    (tmp_path / "integrations.yaml").write_text(
        "integrations:\n  klaviyo:\n    extends_blueprint: klaviyo:v0\n"
    )
    path, database = tmp_path / "integrations.yaml", f"sqlite:///{tmp_path / 'nango.db'}"
    with Nango(path, blueprints=ROOT / "blueprints", database_url=database, environ={}) as nango:
        nango.register_connection("klaviyo", "user-1", {"api_key": "pk_test_1234"})
        plan = nango.executor("klaviyo", "user-1").plan("GET", "v1/metrics", params={"count": 50})
    assert plan.url.startswith("https://a.klaviyo.com/api/v1/metrics?")
    assert dict(parse_qsl(urlsplit(plan.url).query)) == {"api_key": "pk_test_1234", "count": "50"}
    assert not any("pk_test_1234" in value for _, value in plan.headers.values())


def test_the_shipped_integrations_load_with_an_empty_environment(tmp_path: Path) -> None:
    """The shipped integrations.yaml is valid and needs no environment variables."""
    path = ROOT / "integrations.yaml"
    assert check_integrations(load_document(path)) == []
    database = f"sqlite:///{tmp_path / 'nango.db'}"
    with Nango(path, blueprints=ROOT / "blueprints", database_url=database, environ={}) as nango:
        found = {each.name: each.blueprint for each in nango.configuration}
    assert found == {"klaviyo": "klaviyo:v0", "klaviyo-today": "klaviyo:v1", "close": "close:v0"}


SIGNED = {"aws-s3.v0", "netsuite.v0", "twitter1.v0"}
"""APIs with signed requests. The sandbox does not verify signatures, so it accepts a wrong secret."""


@every_blueprint
def test_its_verification_detects_invalid_credentials(path: Path, tmp_path: Path) -> None:
    """The verification request accepts the example's credentials and rejects others."""
    example = next(entry for entry in settings_of(path)["examples"] if entry["credentials"])
    right, config = example["credentials"], example.get("additional_config")
    wrong = {
        key: f"wrong_{value}" if isinstance(value, str) and key not in {"scope", "token_type"} else value
        for key, value in right.items()
    }
    with (
        Sandbox(merged_settings_of(path), credentials={"user": right}) as sandbox,
        product(path, tmp_path, requests={"base_url": sandbox.base_url}) as nango,
    ):
        assert nango.verify_credentials("it", "user", right, config).outcome == "accepted"
        refused = nango.verify_credentials("it", "user", wrong, config)
        outcomes = {"accepted"} if path.stem in SIGNED else {"refused", "missing_scope"}
        assert refused.outcome in outcomes
        assert not any(text in refused.message for text in wrong.values() if isinstance(text, str))
        settings = nango.configuration.integrations["it"].settings["auth"]
        if get_auth_mode(settings["auth_mode"]).can_refresh(right, settings):
            return  # a rejected token would be refreshed at the real provider
        nango.register_connection("it", "user", right, config)
        assert nango.executor("it", "user").verify().outcome == "accepted"
        sandbox.revoke("user")
        assert nango.executor("it", "user").verify().outcome in outcomes
