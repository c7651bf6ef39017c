"""XML responses as values: lists, errors, rules and verification, by both executors over sockets."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nango_py import ProviderError
from nango_py.engine.response_body import is_xml, list_names, read_body
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import Received, RecordingServer, Reply

XML = (("Content-Type", "application/xml"),)
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def response(body: bytes, kind: str = "application/xml; charset=utf-8") -> Any:
    """A response with a body."""

    def no_json() -> Any:
        raise ValueError("not JSON")

    return SimpleNamespace(content=body, content_type=kind, headers={"Content-Type": kind}, json=no_json)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a/>", {"a": None}),
        ("<a><b>1</b><b>2</b></a>", {"a": {"b": ["1", "2"]}}),
        ("<a><b>1</b></a>", {"a": {"b": "1"}}),
        ("<a><item>1</item></a>", {"a": {"item": ["1"]}}),
        ('<s:a xmlns:s="urn:x"><s:b>t</s:b></s:a>', {"a": {"@xmlns:s": "urn:x", "b": "t"}}),
        ('<a><b id="7">t</b></a>', {"a": {"b": {"@id": "7", "#text": "t"}}}),
        ("<a><![CDATA[<b>]]></a>", {"a": "<b>"}),
    ],
)
def test_elements_are_mappings_texts_and_lists(text: str, value: Any) -> None:
    """Attributes begin with @; prefixes are left out; named lists are lists even with one item."""
    assert read_body(response(text.encode()), {"item"}) == value


HOSTILE = {
    "entities": b'<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;">]><a>&y;</a>',
    "external": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "deep": b"<a>" * 100_000 + b"</a>" * 100_000,
    "cut off": b"<a><b>",
    "not XML": b"{}",
    "empty": b"",
    "odd encoding": b'<?xml version="1.0" encoding="nowhere"?><a/>',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused(name: str) -> None:
    """Nothing is expanded or fetched, and the error does not show the text."""
    with pytest.raises(ValueError, match="XML") as caught:
        read_body(response(HOSTILE[name]))
    assert "lol" not in str(caught.value)


def test_no_document_type_is_fetched() -> None:
    """A document that names one is read without it; an entity that only it could declare is nothing."""
    with RecordingServer(lambda _: b'<!ENTITY x "lol">') as server:
        text = f'<!DOCTYPE a SYSTEM "{server.url}x.dtd"><a>&x;</a>'
        assert read_body(response(text.encode())) == {"a": None}
        assert not server.received


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/xml", True),
        ("text/xml; charset=utf-8", True),
        ("application/soap+xml", True),
        ("application/atom+xml", True),
        ("application/xhtml+xml", False),
        ("text/html", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_types_of_xml(kind: str, *, expected: bool) -> None:
    """Pages for people are not read."""
    assert is_xml(kind) is expected


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("ListBucketResult.Contents", {"Contents"}),
        ("a.Contents || b.Items[]", {"Contents", "Items"}),
        ('a."Item-List"', {"Item-List"}),
        ("", set()),
    ],
)
def test_the_names_of_lists(path: str, names: set[str]) -> None:
    """The last name of each alternative."""
    assert list_names(path) == names


def bucket(received: Received) -> Reply:
    """Two pages of a bucket; each key is one element, so that a page with one is not a list by itself."""
    if "denied" in received.target:
        text = "<Error><Code>AccessDenied</Code><Message>No access.</Message></Error>"
        return Reply(text.encode(), 403, XML)
    if "continuation-token=t%2B2" in received.target:
        text = f"<R {NAMESPACE}><IsTruncated>false</IsTruncated><Contents><Key>c</Key></Contents></R>"
        return Reply(text.encode(), 200, XML)
    text = (
        f"<R {NAMESPACE}><IsTruncated>true</IsTruncated><NextContinuationToken>t+2</NextContinuationToken>"
        "<Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></R>"
    )
    return Reply(text.encode(), 200, XML)


def entry_of(url: str, **changes: Any) -> dict[str, Any]:
    """An API in XML."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": url, "headers": {"X-Key": "${api_key}"}},
        "pagination": {
            "kind": "cursor", "records": "R.Contents", "cursor": "R.NextContinuationToken",
            "has_more": "R.IsTruncated", "param": "continuation-token",
        },
        "errors": {"code": "Error.Code", "message": "Error.Message"},
        "verification": {
            "path": "denied",
            "refuses": [{"status": 403, "json": {"path": "Error.Code", "equals": "AccessDenied"}}],
        },
        **changes,
    }  # fmt: skip


CREDENTIALS = {"api_key": "key_test_12345678"}


@EXECUTORS
def test_lists_errors_and_verification(run: Any) -> None:
    """Pages of a list, the code of an error, and a verdict by the body."""
    with RecordingServer(bucket) as api, open_product(entry_of(api.url), credentials=CREDENTIALS) as nango:

        def walk(shop: Any) -> Any:
            records = shop.paginate("")
            return _collected(records) if hasattr(records, "__aiter__") else list(records)

        assert run(nango, walk) == [{"Key": "a"}, {"Key": "b"}, {"Key": "c"}]
        with pytest.raises(ProviderError) as caught:
            run(nango, lambda shop: shop.get("denied", raise_for_error=True))
        assert (caught.value.code, caught.value.provider_message) == ("AccessDenied", "No access.")
        assert run(nango, lambda shop: shop.verify()).outcome == "refused"


async def _collected(records: Any) -> list[Any]:
    return [record async for record in records]


def test_rules_may_look_into_xml() -> None:
    """`json` of a rule is a path into the same mapping; the control is another code."""
    rule = {"when": {"status": 403, "json": {"path": "Error.Code", "equals": "AccessDenied"}}, "do": "retry"}
    retries = {"rules": [rule], "max_attempts": 2, "backoff": {"base_seconds": 0.001}}
    for path, attempts in (("denied", 2), ("other", 1)):
        with (
            RecordingServer(bucket) as api,
            open_product(entry_of(api.url, retries=retries), credentials=CREDENTIALS) as nango,
        ):
            nango.executor("shop", "u").get(path)
            assert len(api.received) == attempts


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of XML cannot be read, and errors have no code; calls are as before."""
    monkeypatch.setitem(sys.modules, "xmltodict", None)
    with RecordingServer(bucket) as api, open_product(entry_of(api.url), credentials=CREDENTIALS) as nango:
        shop = nango.executor("shop", "u")
        with pytest.raises(ProviderError, match="extra xml"):
            list(shop.paginate(""))
        with pytest.raises(ProviderError) as caught:
            shop.get("denied", raise_for_error=True)
        assert caught.value.code == ""
        assert shop.get("").text.startswith("<R")
