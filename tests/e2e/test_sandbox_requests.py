"""The sandbox reads what `requests.body`, `endpoints` and `idempotency` put into requests."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import Sandbox
from tests.support.both_executors import open_product

KEY, SECRET = "key_test_12345678", "secret_test_87654321"
FORMATS = pytest.mark.parametrize("body_format", ["json", "form", "bracketed_form"])


def entry_of(**requests: Any) -> dict[str, Any]:
    """An API with the key of the user and a secret of the product in the body."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "app_credentials": {"secret": {}},
        "app": {"secret": SECRET},
        "requests": {
            "base_url": "https://api.acme.test/v1/",
            "body": {"auth.key": "${api_key}", "secret": "${app.secret}"},
            **requests,
        },
    }


def statuses(entry: Any, sandbox: Sandbox, user: str, key: str, *calls: Any) -> list[int]:
    """The statuses of calls of a user with a key."""
    requests = {**entry["requests"], **sandbox.overrides["requests"]}  # type: ignore[dict-item]
    with open_product({**entry, "requests": requests}) as nango:
        nango.register_connection("shop", user, {"api_key": key})
        shop = nango.executor("shop", user)
        return [call(shop).status_code for call in calls]


@FORMATS
def test_credentials_in_bodies_are_compared(body_format: str) -> None:
    """In JSON and in forms: the right ones name the user, others are refused."""
    entry = entry_of(body_format=body_format)
    with Sandbox(entry, credentials={"u": {"api_key": KEY}}, strict=False) as sandbox:

        def call(shop: Any) -> Any:
            return shop.post("orders", body={"a": 1})

        assert statuses(entry, sandbox, "u", KEY, call) == [200]
        assert statuses(entry, sandbox, "u", "other_key_1234", call) == [401]
        assert statuses({**entry, "app": {"secret": "wrong"}}, sandbox, "u", KEY, call) == [401]
        assert statuses(entry_of(body={}), sandbox, "u", KEY, call) == [401]
        assert [one.user for one in sandbox.ledger.received] == ["u", None, None, None]


def test_endpoints_may_have_other_credentials() -> None:
    """Where an endpoint replaces a header with a credential, the others decide; elsewhere it is compared."""
    entry = entry_of(body={}, headers={"Authorization": "Bearer ${api_key}", "X-Key": "${api_key}"})
    entry["endpoints"] = [
        {"match": {"path": "admin/**"}, "headers": {"Authorization": "Basic ${app.secret}"}}
    ]
    with Sandbox(entry, credentials={"u": {"api_key": KEY}}, strict=False) as sandbox:
        calls = (lambda shop: shop.get("admin/a"), lambda shop: shop.get("orders"))
        assert statuses(entry, sandbox, "u", KEY, *calls) == [200, 200]
        assert statuses(entry, sandbox, "u", "other_key_1234", *calls) == [401, 401]


@pytest.mark.parametrize("place", ["header", "param", "body"])
def test_repeated_keys_are_carried_out_once(place: str) -> None:
    """A second request with the same key gets the first response; the control is another key."""
    entry = {**entry_of(body={}), "retries": {"idempotency": {place: "request_id"}}}
    entry["endpoints"] = [{"match": {"path": "own"}, "idempotency": {"header": "X-Own"}}]
    with Sandbox(entry, strict=False) as sandbox:
        for path in ("orders", "own"):
            calls = [
                lambda shop, key=key, path=path: shop.post(path, json={"a": 1}, idempotency_key=key)
                for key in (f"{path} one", f"{path} one", f"{path} two")
            ]
            assert statuses(entry, sandbox, "u", KEY, *calls) == [200, 200, 200]
        assert [one.processed for one in sandbox.ledger.received] == [True, False, True] * 2


def test_other_bases_are_served() -> None:
    """The overrides lead every base to the sandbox, so that no request reaches the API."""
    entry = entry_of(body={}, bases={"files": "https://files.acme.test/up/"})
    entry["endpoints"] = [{"match": {"path": "files"}, "base": "files"}]
    with Sandbox(entry, strict=False) as sandbox:
        calls = (
            lambda shop: shop.post("files", json={}),
            lambda shop: shop.at("files").get("a"),
            lambda shop: shop.get("a"),
        )
        assert statuses(entry, sandbox, "u", KEY, *calls) == [200, 200, 200]
        assert [one.endpoint for one in sandbox.ledger.received] == ["files", "a", "a"]
