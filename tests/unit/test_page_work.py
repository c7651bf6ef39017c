"""What a walk prepares once for all pages changes neither their requests nor what it recognises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.bound_settings import bind_settings
from nango_py.engine.page_state import digest_records
from tests.support.made_values import a_connection, an_integration
from tests.support.scripted_executors import ScriptedApi, collect

if TYPE_CHECKING:
    from tests.support.scripted_executors import Request

BODY = json.dumps([{"id": 1, "name": "Ada", "score": 1.5, "tags": ["a", ""]}, {"id": 4_000, "name": None}])
BASE = "https://api.example.test/v1/"
LINKS = {"kind": "next_url", "next": "next", "records": "data"}


def test_equal_records_have_one_fingerprint_however_often_they_are_parsed() -> None:
    """It is that of the values, not of the objects, and it has no value for an empty page."""
    first, second = digest_records(json.loads(BODY)), digest_records(json.loads(BODY))
    assert first == second
    assert first != digest_records(json.loads(BODY.replace("Ada", "Bob")))
    assert digest_records([]) == ""


def test_records_that_are_no_json_have_a_fingerprint_too() -> None:
    """Kinds of pagination of other packages may return any objects."""
    assert digest_records([complex]) == digest_records([complex]) != digest_records([range])


@pytest.mark.parametrize("header", ["${uuid}", "fixed"])
def test_the_pages_behind_links_have_headers_of_their_own(header: str) -> None:
    """A value that differs from call to call differs from page to page; others stay."""
    seen: list[str] = []

    def serve(request: Request) -> Any:
        seen.append(request.plan.headers["x-request"][1])
        number = int(request.query.get("page", "1"))
        return {"data": [{"id": number}], "next": f"?page={number + 1}" if number < 4 else None}

    settings = {"headers": {"X-Request": header}, "pagination": LINKS}
    records = collect("sync", ScriptedApi(serve), settings=settings)
    assert [record["id"] for record in records] == [1, 2, 3, 4]
    assert len(set(seen)) == (4 if header == "${uuid}" else 1)


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("things?page=2", f"{BASE}things?page=2"),
        ("a.b/c~d?x=//other.test/../y", f"{BASE}a.b/c~d?x=//other.test/../y"),
        ("../things", "https://api.example.test/things"),
        ("things/../../x", "https://api.example.test/x"),
        ("/things?page=2", "https://api.example.test/things?page=2"),
        ("//other.test/things", None),
        ("mailto:other.test", None),
        ("https://other.test/", None),
        ("javascript:alert", None),
    ],
)
def test_relative_links_lead_where_urls_say_and_never_to_another_host(link: str, url: str | None) -> None:
    """Plain links are joined without parsing; all others as RFC 3986 says."""
    settings = bind_settings(an_integration(BASE), a_connection())
    assert settings.reach(settings.base_url, link) == url
