"""Bodies as the blueprint says: its fields, its format, and idempotency keys, by both executors."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from nango_py import ConfigError, InvalidRequest
from nango_py.engine.request_body import BRACKETED_FORM, PLAIN_FORM, form_pairs, with_values
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.recording_server import Received

KEY, SECRET = "key_test_12345678", 'secret+/"test=é'


@pytest.fixture
def api() -> Iterator[RecordingServer]:
    """An API that fails at paths that end in `flaky`."""

    def respond(received: Received) -> Any:
        return Reply({}, 503) if received.target.partition("?")[0].endswith("flaky") else {}

    with RecordingServer(respond) as server:
        yield server


def entry_of(api: RecordingServer, **requests: Any) -> dict[str, Any]:
    """An integration with the key of the user and a secret of the product in the body."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "app_credentials": {"secret": {}},
        "app": {"secret": SECRET},
        "requests": {
            "base_url": api.url,
            "body": {
                "secret": "${app.secret}",
                "auth.key": "${api_key}",
                "lang": "en",
                "deep.level": 2,
                "on": True,
            },
            **requests,
        },
        "retries": {"max_attempts": 2, "backoff": {"base_seconds": 0.001}},
    }


FIELDS = {"secret": SECRET, "auth": {"key": KEY}, "lang": "en", "deep": {"level": 2}, "on": True}


def bodies(api: RecordingServer) -> list[Any]:
    """What the API received: JSON, a form as a mapping, or bytes."""
    found: list[Any] = []
    for one in api.received:
        kind = one.headers.get("content-type", "")
        if kind == "application/json":
            found.append(json.loads(one.body))
        elif kind == "application/x-www-form-urlencoded":
            found.append(dict(parse_qsl(one.body.decode(), keep_blank_values=True)))
        else:
            found.append(one.body)
    return found


@EXECUTORS
def test_fields_are_merged_under_json(run: Any, api: RecordingServer) -> None:
    """The caller's values win, except over a credential; a POST without a body gets one, a GET does not."""
    with open_product(entry_of(api), credentials={"api_key": KEY}) as nango:
        given = {
            "lang": "de",
            "secret": "own",
            "auth": {"key": "own", "more": 1},
            "deep": {"a": 1},
            "x": None,
        }
        for call in (
            lambda shop: shop.post("a", json=given),
            lambda shop: shop.post("a"),
            lambda shop: shop.get("a"),
            lambda shop: shop.post("a", json=[1]),
            lambda shop: shop.post("a", data=b"raw"),
            lambda shop: shop.delete("a"),
        ):
            run(nango, call)
    merged = {
        **FIELDS,
        "lang": "de",
        "auth": {"key": KEY, "more": 1},
        "deep": {"a": 1, "level": 2},
        "x": None,
    }
    assert bodies(api) == [merged, FIELDS, b"", [1], b"raw", b""]
    assert given["secret"] == "own"  # the caller's mapping is not changed


@EXECUTORS
def test_fields_are_merged_into_forms(run: Any, api: RecordingServer) -> None:
    """Into mappings and pairs of `data`, with the names of the API's forms, and beside files."""
    entry = entry_of(api, body_format="bracketed_form")
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        run(nango, lambda shop: shop.post("a", data={"lang": "de", "secret": "own"}))
        run(nango, lambda shop: shop.post("a", data=[("tag", "1"), ("auth[key]", "own")]))
        run(nango, lambda shop: shop.post("a"))
        run(nango, lambda shop: shop.post("a", files={"file": io.BytesIO(b"content")}))
    form = {"secret": SECRET, "auth[key]": KEY, "lang": "en", "deep[level]": "2", "on": "true"}
    found = bodies(api)
    assert found[:3] == [{**form, "lang": "de"}, {"tag": "1", **form}, form]
    assert b'name="auth[key]"' in found[3]
    assert b"content" in found[3]


@EXECUTORS
@pytest.mark.parametrize(
    ("body_format", "expected"),
    [
        ("json", {"name": "Ada", "tags": ["a", "b"], "live": True, "to": {"city": "Bern"}, "none": None}),
        (
            "bracketed_form",
            {"name": "Ada", "tags[0]": "a", "tags[1]": "b", "live": "true", "to[city]": "Bern"},
        ),
    ],
)
def test_callers_need_not_know_the_format(
    run: Any, api: RecordingServer, body_format: str, expected: Any
) -> None:
    """`body=` is sent as JSON or as a form, as the blueprint or the endpoint says."""
    value = {"name": "Ada", "tags": ["a", "b"], "live": True, "to": {"city": "Bern"}, "none": None}
    entry = entry_of(api, body={}, body_format=body_format)
    entry["endpoints"] = [{"match": {"path": "plain"}, "body_format": "form"}]
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        run(nango, lambda shop: shop.post("a", body=value))
        run(nango, lambda shop: shop.post("plain", body={"To": "+41", "MediaUrl": ["u", "v"]}))
        with pytest.raises(InvalidRequest):
            run(nango, lambda shop: shop.post("plain", body=value))
        with pytest.raises(InvalidRequest):
            run(nango, lambda shop: shop.post("a", body=value, json=value))
    assert bodies(api)[0] == expected
    assert api.received[1].body == b"To=%2B41&MediaUrl=u&MediaUrl=v"
    assert len(api.received) == 2


def test_forms_of_values() -> None:
    """Lists of mappings have numbers; None is left out; numbers and flags are written as in JSON."""
    value = {"items": [{"price": "p", "n": 2}, {"price": "q"}], "f": False, "x": 1.5, "none": None, "e": {}}
    assert list(form_pairs(value, BRACKETED_FORM)) == [
        ("items[0][price]", "p"), ("items[0][n]", "2"), ("items[1][price]", "q"), ("f", "false"),
        ("x", "1.5"),
    ]  # fmt: skip
    with pytest.raises(InvalidRequest):
        list(form_pairs(value, PLAIN_FORM))


@pytest.mark.parametrize("body_format", ["json", "form", "bracketed_form"])
def test_credentials_of_bodies_are_hidden(api: RecordingServer, body_format: str) -> None:
    """In plans, whatever characters they have and however short they are; the rest is shown."""
    with open_product(entry_of(api, body_format=body_format), credentials={"api_key": "k1"}) as nango:
        shop = nango.executor("shop", "u")
        for plan in (
            shop.plan("POST", "a"),
            shop.plan("POST", "a", body={"note": f"n {SECRET}", "lang": "fr"}),
        ):
            text = f"{plan} {plan!r}"
            assert b"k1" in plan.body
            assert "k1" not in text
            assert SECRET not in text
            assert "secret%2B" not in text
            assert "test=" not in text
            assert "***" in text
            assert "en" in text or "fr" in text


def test_a_newer_credential_replaces_the_one_in_a_body() -> None:
    """JSON and forms are written again after a refresh; other bodies and fields stay."""
    tokens = iter(range(1, 100))

    def respond(received: Received) -> Any:
        if received.target == "/token":
            return {"access_token": f"token_test_{next(tokens)}", "expires_in": 3600}
        return {} if b"token_test_2" in received.body or b"token_test_4" in received.body else Reply({}, 401)

    with RecordingServer(respond) as api:
        entry = {
            "auth": {"auth_mode": "OAUTH2_CC", "token_url": f"{api.url}token"},
            "requests": {"base_url": api.url, "body": {"auth.token": "${access_token}"}},
        }
        for body_format, given in (("json", {"json": {"a": 1}}), ("bracketed_form", {"data": {"a": "1"}})):
            entry["requests"]["body_format"] = body_format
            credentials = {"client_id": "id_test_1234", "client_secret": "secret_test_1234"}
            with open_product(entry, credentials=credentials) as nango:
                assert nango.executor("shop", "u").post("a", **given).status_code == 200
    sent = [one.body.decode() for one in api.received if one.target == "/a"]
    assert sent == [
        '{"a": 1, "auth": {"token": "token_test_1"}}',
        '{"a": 1, "auth": {"token": "token_test_2"}}',
        "a=1&auth%5Btoken%5D=token_test_3",
        "a=1&auth%5Btoken%5D=token_test_4",
    ]


def test_values_are_put_only_where_they_fit() -> None:
    """A body of another kind is left as it is."""
    assert with_values(b"raw", "text/plain", [], "json") == b"raw"
    assert with_values(None, "", [], "json") is None
    assert with_values(b"[1]", "application/json", [], "json") == b"[1]"


def keys_of(api: RecordingServer, name: str, place: str) -> list[str | None]:
    """The idempotency keys that the API received."""
    found: list[str | None] = []
    for one, body in zip(api.received, bodies(api), strict=True):
        if place == "header":
            found.append(one.headers.get(name.lower()))
        elif place == "param":
            found.append(dict(parse_qsl(one.target.partition("?")[2])).get(name))
        else:
            found.append(body.get(name) if isinstance(body, dict) else None)
    return found


PLACES = pytest.mark.parametrize("place", ["header", "param", "body"])


@EXECUTORS
@PLACES
def test_a_key_goes_where_the_api_takes_it(run: Any, api: RecordingServer, place: str) -> None:
    """The same on every attempt and another for each call, so that a POST may be repeated."""
    entry = {**entry_of(api, body={}), "retries": {"max_attempts": 2, "backoff": {"base_seconds": 0.001}}}
    entry["retries"]["idempotency"] = {place: "request_id"}
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        for _ in range(2):
            run(nango, lambda shop: shop.post("flaky", json={"a": 1}))
        run(nango, lambda shop: shop.post("flaky", json={"a": 1}, idempotency_key="order-7"))
        run(nango, lambda shop: shop.get("a"))
    first, again, second, _, mine, mine_again, none = keys_of(api, "request_id", place)
    assert first == again
    assert first != second
    assert UUID(first).version == 4
    assert mine == mine_again == "order-7"
    assert none is None
    del entry["retries"]["idempotency"]
    before = len(api.received)
    with open_product(entry, credentials={"api_key": KEY}) as nango:  # the control
        run(nango, lambda shop: shop.post("flaky", json={"a": 1}))
        with pytest.raises(InvalidRequest):
            run(nango, lambda shop: shop.post("flaky", json={"a": 1}, idempotency_key="order-7"))
    assert len(api.received) == before + 1


@PLACES
def test_callers_may_place_the_key_themselves(api: RecordingServer, place: str) -> None:
    """What they write in its place is kept, and `idempotency_key` goes first."""
    entry = {**entry_of(api, body={}), "retries": {"idempotency": {place: "request_id"}}}
    word = {"header": "headers", "param": "params", "body": "json"}[place]
    options: dict[str, Any] = {"json": {"a": 1}, word: {"a": "1", "request_id": "own"}}
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        nango.executor("shop", "u").post("a", **options)
        if place != "param":
            nango.executor("shop", "u").post("a", **options, idempotency_key="chosen")
    assert keys_of(api, "request_id", place) == (["own"] if place == "param" else ["own", "chosen"])


def test_methods_and_forms_of_keys(api: RecordingServer) -> None:
    """A key may be for PUT only, and of 32 hexadecimal digits; an endpoint may have its own."""
    entry = entry_of(api, body={})
    entry["retries"]["idempotency"] = {"header": "X-Key", "methods": ["PUT"], "form": "hex"}
    entry["endpoints"] = [{"match": {"path": "orders"}, "idempotency": {"body": "meta.key"}}]
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        shop = nango.executor("shop", "u")
        put, post = shop.plan("PUT", "a", json={}), shop.plan("POST", "a", json={})
        own = shop.plan("POST", "orders", json={"meta": {"b": 1}})
        raw = shop.plan("POST", "orders", data=b"raw")
        with pytest.raises(InvalidRequest):
            shop.plan("POST", "a", json={}, idempotency_key="k")
        with pytest.raises(InvalidRequest):
            shop.plan("POST", "orders", data=b"raw", idempotency_key="k")
    assert len(put.headers["x-key"][1]) == 32
    assert ("x-key" in post.headers, post.safe_to_repeat) == (False, False)
    assert (sorted(json.loads(own.body)["meta"]), own.safe_to_repeat) == (["b", "key"], True)
    assert "x-key" not in own.headers
    assert (raw.body, raw.safe_to_repeat) == (b"raw", False)


def test_the_short_form_still_works(api: RecordingServer) -> None:
    """`idempotency_header: X` is `idempotency: {header: X}`; both together are an error."""
    entry = entry_of(api, body={})
    entry["retries"]["idempotency_header"] = "X-Key"
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        assert "x-key" in nango.executor("shop", "u").plan("POST", "a", json={}).headers
    entry["retries"]["idempotency"] = {"header": "X-Key"}
    with pytest.raises(ConfigError), open_product(entry) as nango:
        _ = nango.configuration


@EXECUTORS
def test_pages_have_the_fields_too(run: Any, api: RecordingServer) -> None:
    """Every page of a list that is read by POST has the credentials in its body."""
    entry = entry_of(api, body={"secret": "${app.secret}"})
    entry["pagination"] = {
        "kind": "cursor",
        "cursor": "next",
        "param": "cursor",
        "records": "items",
        "params_in": "body",
    }
    pages = iter([{"items": [1], "next": "c2"}, {"items": [2], "next": None}])
    with RecordingServer(lambda _: next(pages)) as lists:
        entry["requests"]["base_url"] = lists.url
        with open_product(entry, credentials={"api_key": KEY}) as nango:

            def walk(shop: Any) -> Any:
                records = shop.paginate("items", method="POST", body={"q": "x"})
                return _collected(records) if hasattr(records, "__aiter__") else list(records)

            assert run(nango, walk) == [1, 2]
        assert bodies(lists) == [
            {"secret": SECRET, "q": "x"},
            {"secret": SECRET, "q": "x", "cursor": "c2"},
        ]


async def _collected(records: Any) -> list[Any]:
    return [record async for record in records]


def test_moments_in_requests(api: RecordingServer) -> None:
    """`now` and `uuid` are new in each call, and the same in all places of one."""
    entry = entry_of(
        api, body={"id": "${uuid}", "at": "${now}"}, headers={"X-Id": "${uuid}"}, params={"t": "${now}"}
    )
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        shop = nango.executor("shop", "u")
        shop.post("a", json={})
        shop.post("a", json={})
    first, second = bodies(api)
    assert first["id"] != second["id"]
    assert [one.headers["x-id"] for one in api.received] == [first["id"], second["id"]]
    assert api.received[0].target == f"/a?t={first['at']}"
    assert first["at"].isdecimal()
