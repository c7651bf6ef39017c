"""What every shipped blueprint keeps: it loads, speaks to strangers, and sends what its examples say."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from nango_py import Nango, Sandbox
from nango_py.auth.base import get_auth_mode
from nango_py.config.catalogue import Catalogue
from nango_py.config.schema.validation import check_blueprint, check_integrations
from nango_py.config.yaml.document import load_document
from nango_py.errors import Position
from nango_py.limits.notation import parse_limit
from nango_py.limits.rules import CallFacts, RateLimits
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "blueprints").glob("*.yaml"))
XML = {"aws-s3.v0"}
"""Their answers are XML, in which no JMESPath finds an error or a next page."""
APP = {"oauth_client_id": "client_test", "oauth_client_secret": "client_secret_test"}


def settings_of(path: Path) -> dict[str, Any]:
    """A blueprint file as plain values."""
    data = load_document(path).data
    assert isinstance(data, dict)
    return data


def whole_of(path: Path) -> Mapping[str, Any]:
    """A blueprint with what it extends merged in."""
    catalogue = Catalogue([("local", path.parent)])
    return catalogue.find(ref_of(settings_of(path)), Position(path.name)).settings


def ref_of(settings: dict[str, Any]) -> str:
    """The `name:version` of a blueprint."""
    return f"{settings['name']}:{settings['version']}"


EXAMPLES = [
    pytest.param(path, number, id=f"{path.stem}-{number}-{example['call'].get('method', 'GET')}")
    for path in FILES
    for number, example in enumerate(settings_of(path)["examples"])
]
every_blueprint = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def product(path: Path, folder: Path, **overrides: Any) -> Nango:
    """A product with one integration, `it`, on the blueprint of that file."""
    settings = settings_of(path)
    entry: dict[str, Any] = {"extends_blueprint": ref_of(settings), **overrides}
    if "oauth_client_id" in AUTH_MODES.get(whole_of(path)["auth"]["auth_mode"]).variables:
        entry |= APP
    return Nango(
        integrations={"it": entry},
        blueprints=path.parent,
        database_url=f"sqlite:///{folder / 'nango.db'}",
        environ={},
    )


def differences(example: dict[str, Any], plan: Any) -> list[str]:
    """Where a plan is not what the example's `sends` says."""
    sends = example["sends"]
    headers = {name.lower(): value for name, (_, value) in plan.headers.items()}
    wrong = [] if plan.url == sends["url"] else [f"url {plan.url}"]
    for name, value in sends["headers"].items():
        if headers.get(name.lower()) != value:
            wrong.append(f"header {name}: {headers.get(name.lower())}")
    secrets = {text for key, text in example["credentials"].items() if text and key != "scope"}
    told = {name.lower() for name in sends["headers"]}
    for name, value in headers.items():
        if name not in told and any(secret in value for secret in secrets):
            wrong.append(f"credential in header {name}")
    return wrong


def planned(path: Path, example: dict[str, Any], folder: Path) -> Any:
    """The plan of an example's call."""
    with product(path, folder) as nango:
        nango.register_connection("it", "user", example["credentials"], example.get("additional_config"))
        call = dict(example["call"])
        return nango.executor("it", "user").plan(call.pop("method", "GET"), call.pop("path"), **call)


@every_blueprint
def test_it_is_checked_without_a_problem(path: Path) -> None:
    """A shipped blueprint has no problem at all, warnings included."""
    assert check_blueprint(load_document(path)) == []


@every_blueprint
def test_it_says_enough_for_a_stranger(path: Path) -> None:
    """Title, manual, comment, examples and gotchas are there, and the file is named after what it holds."""
    settings = whole_of(path)
    assert path.name == f"{settings['name']}.{settings['version']}.yaml"
    needed = ["title", "comment", "examples", "gotchas", "verification", "categories"]
    for key in needed if path.stem in XML else [*needed, "errors", "pagination"]:
        assert settings[key], key
    assert settings["docs_url"].startswith("https://")
    assert path.read_text().startswith("# yaml-language-server: $schema=")


@every_blueprint
def test_it_speaks_https_and_states_its_host(path: Path, tmp_path: Path) -> None:
    """Credentials never travel in the clear, and a whole host is the file's or a declared field's."""
    with product(path, tmp_path) as nango:
        base_url = nango.configuration.integrations["it"].requests.base_url.source
    parts = urlsplit(base_url)
    assert parts.scheme == "https"
    assert "." in (parts.hostname or "")
    assert base_url.endswith("/")


@every_blueprint
def test_its_examples_use_made_up_credentials(path: Path) -> None:
    """No example holds what could be somebody's credential."""
    for example in settings_of(path)["examples"]:
        for value in example["credentials"].values():
            assert value == "" or "test" in value


@pytest.mark.parametrize(("path", "number"), EXAMPLES)
def test_an_example_sends_what_it_says(path: Path, number: int, tmp_path: Path) -> None:
    """The call of an example becomes exactly its URL and headers, and the credential is nowhere else."""
    example = settings_of(path)["examples"][number]
    assert differences(example, planned(path, example, tmp_path)) == []


def test_a_wrong_example_would_be_noticed(tmp_path: Path) -> None:
    """The comparison sees a wrong query, a wrong header and a credential in an untold header."""
    path = ROOT / "blueprints" / "klaviyo.v1.yaml"
    example = settings_of(path)["examples"][0]
    plan = planned(path, example, tmp_path)
    wrong = copy.deepcopy(example)
    wrong["sends"]["url"] += "?page=2"
    wrong["sends"]["headers"]["revision"] = "2000-01-01"
    del wrong["sends"]["headers"]["Authorization"]
    found = " ".join(differences(wrong, plan))
    assert "url" in found
    assert "header revision" in found
    assert "credential in header authorization" in found


@pytest.mark.parametrize(("path", "number"), EXAMPLES)
def test_the_sandbox_answers_an_example_as_it_says(path: Path, number: int, tmp_path: Path) -> None:
    """The stand-in made from the blueprint takes the credential of the example and gives its response."""
    settings = whole_of(path)
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


@every_blueprint
def test_every_case_of_its_limits_can_be_reached(path: Path) -> None:
    """No case is hidden by one above it: a call made after its pattern gets its windows."""
    rate_limits = whole_of(path).get("rate_limits")
    limits = RateLimits.from_settings(rate_limits)
    example = settings_of(path)["examples"][0]
    config = example.get("additional_config", {})
    variables = {"integration": "it", "user_id": "user", "raw": {}, "additional_config": config}
    for index, budget in enumerate((rate_limits or {}).get("budgets", ())):
        for case in budget.get("cases", ()):
            match = case["match"]
            method = match.get("method", "GET")
            call = CallFacts(
                method if isinstance(method, str) else method[0],
                match.get("path", "anything").replace("{id}", "01ABC"),
                match.get("params", {}),
            )
            counter = f"{limits.scope_of(variables)} {index} "
            spends = [spend for spend in limits.spends(call, variables) if spend.key.startswith(counter)]
            labels = [limit.label for limit in spends[0].limits]
            assert labels == [parse_limit(entry).label for entry in case["windows"]], match


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
            id="dear field among others",
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
    """Klaviyo's tiers, daily windows and dear parameters are found for a call."""
    limits = RateLimits.from_settings(settings_of(ROOT / "blueprints" / "klaviyo.v1.yaml")["rate_limits"])
    spends = limits.spends(CallFacts(method, path, params), {"integration": "klaviyo", "user_id": "user-1"})
    assert [limit.label for spend in spends for limit in spend.limits] == windows.split()


def test_klaviyo_counts_an_endpoint_and_not_each_record() -> None:
    """Two profiles share a counter, two endpoints and two users do not."""
    limits = RateLimits.from_settings(settings_of(ROOT / "blueprints" / "klaviyo.v1.yaml")["rate_limits"])

    def key(path: str, user: str = "user-1") -> str:
        return limits.spends(CallFacts("GET", path), {"integration": "klaviyo", "user_id": user})[0].key

    assert key("profiles/01ABC") == key("profiles/01DEF/")
    assert key("profiles/01ABC") != key("lists/01ABC")
    assert key("profiles/01ABC") != key("profiles/01ABC", "user-2")


def test_slack_counts_a_workspace_once() -> None:
    """Two users of one workspace share Slack's limits; without the workspace's id each has his own."""
    limits = RateLimits.from_settings(settings_of(ROOT / "blueprints" / "slack.v0.yaml")["rate_limits"])

    def key(user: str, raw: dict[str, Any]) -> str:
        return limits.spends(
            CallFacts("GET", "users.info"), {"integration": "slack", "user_id": user, "raw": raw}
        )[0].key

    team = {"team": {"id": "T0TEST"}}
    assert key("user-1", team) == key("user-2", team)
    assert key("user-1", {}) != key("user-2", {})


def test_the_page_of_klaviyo_is_kept_to_the_letter(tmp_path: Path) -> None:
    """With two lines of integrations.yaml the key stands in the query and in no header."""
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
    """The example file has no problem, needs no variable, and names blueprints that exist."""
    path = ROOT / "integrations.yaml"
    assert check_integrations(load_document(path)) == []
    database = f"sqlite:///{tmp_path / 'nango.db'}"
    with Nango(path, blueprints=ROOT / "blueprints", database_url=database, environ={}) as nango:
        found = {each.name: each.blueprint for each in nango.configuration}
    assert found == {"klaviyo": "klaviyo:v0", "klaviyo-today": "klaviyo:v1", "close": "close:v0"}


UNJUDGED = {"aws-s3.v0", "netsuite.v0", "twitter1.v0"}
"""Their requests are signed; the sandbox does not check signatures, so a wrong secret passes there."""


@every_blueprint
def test_its_verification_tells_right_from_wrong(path: Path, tmp_path: Path) -> None:
    """Against its sandbox the example's credentials are accepted, stored or not, and others are refused."""
    example = next(entry for entry in settings_of(path)["examples"] if entry["credentials"])
    right, config = example["credentials"], example.get("additional_config")
    wrong = {
        key: f"wrong_{value}" if isinstance(value, str) and key not in {"scope", "token_type"} else value
        for key, value in right.items()
    }
    with (
        Sandbox(whole_of(path), credentials={"user": right}) as sandbox,
        product(path, tmp_path, requests={"base_url": sandbox.base_url}) as nango,
    ):
        assert nango.verify_credentials("it", "user", right, config).outcome == "accepted"
        refused = nango.verify_credentials("it", "user", wrong, config)
        judged = {"accepted"} if path.stem in UNJUDGED else {"refused", "missing_scope"}
        assert refused.outcome in judged
        assert not any(text in refused.message for text in wrong.values() if isinstance(text, str))
        settings = nango.configuration.integrations["it"].settings["auth"]
        if get_auth_mode(settings["auth_mode"]).can_refresh(right, settings):
            return  # a refused token would be renewed, and that at the provider's own address
        nango.register_connection("it", "user", right, config)
        assert nango.executor("it", "user").verify().outcome == "accepted"
        sandbox.revoke("user")
        assert nango.executor("it", "user").verify().outcome in judged
