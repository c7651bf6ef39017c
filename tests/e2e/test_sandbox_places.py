"""What a blueprint declares besides examples, other base URLs, and files on another host."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py import Sandbox
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_calls import get
from tests.support.sandbox_logins import open_nango
from tests.support.sandbox_product import SHOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py import Nango
    from nango_py.sandbox import SandboxRequest

SETTINGS: dict[str, Any] = {
    **SHOP,
    "requests": {
        **SHOP["requests"],
        "base_url": "https://api.example.test/${additional_config.site}/v1/",
        "bases": {"content": "https://content.example.test/v1/", "other": "https://api.example.test/v2/"},
    },
    "rate_limits": {
        "budgets": [{"key": "all", "otherwise": ["1000/second"]}], "routes": ["repos/{owner}/{repo}"],
    },
    "pagination": {"kind": "page", "param": "page", "records": "items"},
    "endpoints": [
        {"match": {"method": "GET", "path": "events/{id}"},
         "pagination": {"kind": "cursor", "cursor": "next", "param": "c", "records": "events"}},
        {"match": {"path": "upload"}, "base": "content"},
    ],
    "examples": [
        {"call": {"method": "POST", "path": "graphql", "json": {"query": "a"}},
         "response": {"status": 200, "json": {"data": "A"}}},
        {"call": {"method": "POST", "path": "graphql", "json": {"query": "b"}},
         "response": {"status": 200, "json": {"data": "B"}}},
    ],
}  # fmt: skip


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """The sandbox of these settings."""
    with Sandbox(SETTINGS) as sandbox:
        yield sandbox


@pytest.fixture
def nango(api: Sandbox) -> Iterator[Nango]:
    """A product that is led to it."""
    with open_nango(SETTINGS, overrides={"it": api.overrides}) as product:
        made = api.make_credentials("ada")
        product.register_connection("it", "ada", made, {"site": "acme"})
        yield product


def test_lists_of_endpoints_are_declared(nango: Nango, api: Sandbox) -> None:
    """A list that `endpoints` names has generated records, paged in its own way."""
    executor = nango.executor("it", "ada")
    assert len(list(executor.paginate("events/7"))) == 25
    assert executor.get("other/7").status_code == 404
    made = api.paginate("events/{id}", 30, page_size=7)
    assert list(executor.paginate("events/8")) == made
    assert api.ledger.count(path="events/8", status=200) == 5


def test_routes_of_limits_are_declared(nango: Nango) -> None:
    """Every method of the path gets an echo; other paths are a 404."""
    executor = nango.executor("it", "ada")
    assert executor.patch("repos/a/b").json()["method"] == "PATCH"
    assert executor.get("repos/a").status_code == 404


def test_examples_are_chosen_by_their_body(nango: Nango) -> None:
    """Requests to one path get the response of the example with their body."""
    executor = nango.executor("it", "ada")
    found = [executor.post("graphql", json={"query": query}).json()["data"] for query in ("b", "a", "c")]
    assert found == ["B", "A", "A"]


def test_other_bases_lead_to_the_sandbox(nango: Nango, api: Sandbox) -> None:
    """Each base has its own path, and links are below the base of the request."""
    seen: list[str] = []

    @api.handle("POST", "upload")
    def upload(request: SandboxRequest) -> dict[str, str]:
        seen.append(request.base_url)
        return {}

    assert nango.executor("it", "ada").post("upload", data=b"x").status_code == 200
    assert nango.executor("it", "ada").get("repos/a/b").status_code == 200
    assert [received.path for received in api.ledger.received] == [
        "/_bases/content/v1/upload",
        "/acme/v1/repos/a/b",
    ]
    assert seen == [f"http://127.0.0.1:{api.port}/_bases/content/v1/"]
    assert {received.user for received in api.ledger.received} == {"ada"}


def test_a_file_is_downloaded_from_another_host(nango: Nango, api: Sandbox, tmp_path: Path) -> None:
    """The redirect is followed without the credential, by threads and asyncio."""
    content = bytes(range(256)) * 40
    api.serve_file("files/{id}/content", content, content_type="image/png")
    target = tmp_path / "file.png"
    nango.executor("it", "ada").download("files/7/content", target)
    assert target.read_bytes() == content

    async def get_file() -> bytes:
        response = await nango.async_executor("it", "ada").get("files/7/content")
        await nango.aclose()
        return response.content

    assert asyncio.run(get_file()) == content
    assert [received.status for received in api.downloads.received] == [200, 200]
    assert all("authorization" not in received.headers for received in api.downloads.received)
    assert {received.path for received in api.downloads.received} == {"/content"}


def test_the_host_of_files_refuses_credentials_and_old_urls() -> None:
    """The control: a client that sends its key there, or comes too late, does not get the file."""
    clock = ManualClock()
    with Sandbox(SETTINGS, clock=clock) as api:
        api.serve_file("files/7", b"0123456789")
        key = {"Authorization": "Key k"}
        base = api.base_url.replace("${additional_config.site}", "acme")
        location = get(api, f"{base}files/7", headers=key).headers["Location"]
        assert requests.get(location, timeout=5).content == b"0123456789"
        part = requests.get(location, headers={"Range": "bytes=4-"}, timeout=5)
        assert (part.status_code, part.content) == (206, b"456789")
        assert part.headers["Content-Range"] == "bytes 4-9/10"
        assert requests.get(location, headers=key, timeout=5).status_code == 400
        assert requests.post(location, timeout=5).status_code == 405
        assert requests.get(f"{location}x", timeout=5).status_code == 403
        clock.sleep(301)
        assert requests.get(location, timeout=5).status_code == 403


def test_a_redirect_to_a_host_that_is_not_listed_is_not_followed(api: Sandbox) -> None:
    """The control: without `download_hosts` the file is not downloaded."""
    overrides: Any = api.overrides
    del overrides["requests"]["download_hosts"]
    api.serve_file("files/7", b"0123456789")
    with open_nango(SETTINGS, overrides={"it": overrides}) as product:
        product.register_connection("it", "ada", api.make_credentials("ada"), {"site": "acme"})
        assert product.executor("it", "ada").get("files/7").status_code == 302
    assert not api.downloads.received
