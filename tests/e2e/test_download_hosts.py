"""Files on other hosts: redirects to `download_hosts` are followed without anything that the API was sent."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import InvalidRequest, Nango, ProviderError, RateLimited
from nango_py.engine.bound_settings import bind_settings
from nango_py.record import replaced
from tests.support.made_values import a_connection, an_integration
from tests.support.recording_server import Received, RecordingServer, Reply
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "key_planted_0001"
SIGNATURE = "sig_planted_0001"
CONTENT = b"the file" * 50_000

PLACES: dict[str, dict[str, Any]] = {
    "header": {"headers": {"Authorization": "Bearer ${api_key}", "X-Team": "t1"}},
    "own header": {"headers": {"DD-API-KEY": "${api_key}", "User-Agent": "app ${api_key}"}},
    "parameter": {"params": {"key": "${api_key}", "lang": "en"}},
    "several": {"headers": {"Authorization": "Basic ${api_key}"}, "params": {"token": "${api_key}"}},
}
KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


class Storage:
    """A host of files; `faults` are its next responses."""

    def __init__(self) -> None:
        self.faults: list[Reply] = []

    def respond(self, request: Received) -> Any:
        """The file, or the rest of it."""
        if self.faults:
            return self.faults.pop(0)
        start = int(request.headers.get("range", "bytes=0-")[len("bytes=") : -1])
        headers = (("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"),) if start else ()
        return Reply(CONTENT[start:], 206 if start else 200, headers)


class World:
    """An API that redirects to a host of files."""

    def __init__(self, folder: Path, api: RecordingServer, files: RecordingServer, storage: Storage) -> None:
        self.folder = folder
        self.api = api
        self.files = files
        self.storage = storage

    def nango(self, place: str = "header", **requests: Any) -> Nango:
        """A product; by default the host of files is one of `download_hosts`."""
        requests = requests or {"download_hosts": [self.files.host]}
        entry = {
            "auth": {"auth_mode": "API_KEY"},
            "requests": {"base_url": self.api.url, **PLACES[place], **requests},
            "retries": {"max_attempts": 3, "backoff": {"base_seconds": 0.01, "max_seconds": 0.01}},
            "rate_limits": {"budgets": [{"key": "all", "otherwise": ["100/hour"]}]},
            "log_level": "debug",
        }
        nango = Nango(
            {"shop": entry},
            database_url=f"sqlite:///{self.folder}/nango.db",
            encryption_keys=ENCRYPTION_KEY,
            environ={},
        )
        nango.register_connection("shop", "u", {"api_key": KEY}, replace=True)
        return nango


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two real servers."""
    storage = Storage()
    with RecordingServer(storage.respond) as files:

        def redirect(request: Received) -> Any:
            status = int(request.target.partition("status=")[2][:3] or 302)
            location = f"{files.url}bucket/a%2Fb%20c.txt?X-Amz-Signature={SIGNATURE}%2B&key=theirs&x=é"
            return Reply({}, status, (("Location", location.encode().decode("latin-1")),))

        with RecordingServer(redirect) as api:
            yield World(tmp_path, api, files, storage)


def run(kind: str, nango: Nango, act: Callable[[Any], Any]) -> Any:
    """The result of a call by a sync or an async executor, and what explain() says."""

    async def work() -> Any:
        async with nango:
            executor = nango.async_executor("shop", "u")
            return await act(executor), executor.explain()

    if kind == "async":
        return asyncio.run(work())
    with nango:
        executor = nango.executor("shop", "u")
        return act(executor), executor.explain()


@KINDS
@pytest.mark.parametrize("place", PLACES)
def test_the_host_of_files_gets_no_credential(
    world: World, place: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its request has the URL as it was signed, and no header, parameter or secret of the API's."""
    target = world.folder / "file"
    with caplog.at_level(logging.DEBUG):
        response, story = run(kind, world.nango(place), lambda shop: shop.download("files/1", target))
    assert (response.status_code, target.read_bytes()) == (200, CONTENT)
    (asked,), (fetched,) = world.api.received, world.files.received
    assert KEY in f"{asked.target}{asked.headers}"
    assert fetched.target == f"/bucket/a%2Fb%20c.txt?X-Amz-Signature={SIGNATURE}%2B&key=theirs&x=%C3%A9"
    assert set(fetched.headers) <= {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert KEY not in f"{fetched}"
    assert [attempt.action for attempt in response.attempts] == ["redirect", "return"]
    shown = f"{response.url} {response.request.url} {response.request.headers} {story} {caplog.text}"
    assert SIGNATURE not in shown
    assert KEY not in shown


@KINDS
def test_hosts_of_the_api_still_get_it(world: World, kind: str) -> None:
    """The control: a host in `allowed_hosts` is sent the credential, and the check above sees it."""
    nango = world.nango(allowed_hosts=[world.files.host])
    run(kind, nango, lambda shop: shop.get("files/1"))
    assert world.files.received[0].headers["authorization"] == f"Bearer {KEY}"


@KINDS
def test_other_hosts_are_not_followed(world: World, kind: str) -> None:
    """Without an entry the redirect is the response, and nothing is sent there."""
    response, _ = run(kind, world.nango(download_hosts=["*.example.test"]), lambda shop: shop.get("files/1"))
    assert response.status_code == 302
    with pytest.raises(ProviderError):
        run(
            kind,
            world.nango(download_hosts=[]),
            lambda shop: shop.download("files/1", world.folder / "file"),
        )
    assert world.files.received == []


@KINDS
def test_a_failure_of_the_host_of_files_is_retried_there(world: World, kind: str) -> None:
    """The API is asked once, and its budget is spent once."""
    world.storage.faults = [Reply({}, 503), Reply({}, 429, (("Retry-After", "0"),))]
    nango = world.nango()
    response, _ = run(kind, nango, lambda shop: shop.get("files/1"))
    assert response.content == CONTENT
    assert (len(world.api.received), len(world.files.received)) == (1, 3)
    assert all("authorization" not in request.headers for request in world.files.received)
    with nango:
        (view,) = nango.executor("shop", "u").limits()
    assert (view.used, view.gate) == (1, 0)


@KINDS
def test_a_refusal_of_the_host_of_files_is_not_one_of_the_api(world: World, kind: str) -> None:
    """No gate closes, no credential is refreshed, and the response is the caller's."""
    nango = world.nango()
    world.storage.faults = [Reply({}, 403)]
    assert run(kind, nango, lambda shop: shop.get("files/1"))[0].status_code == 403
    world.storage.faults = [Reply({}, 429, (("Retry-After", "3600"),))] * 3
    with pytest.raises(RateLimited):
        run(kind, nango, lambda shop: shop.get("files/1", deadline_seconds=5))
    world.storage.faults = []
    assert run(kind, nango, lambda shop: shop.get("files/1", deadline_seconds=5))[0].status_code == 200


@KINDS
def test_a_download_that_breaks_off_goes_on(world: World, kind: str) -> None:
    """The API is asked for the file again, and the rest is requested from the host of files."""
    tag = (("ETag", '"v1"'), ("Accept-Ranges", "bytes"), ("Connection", "close"))
    cut = Reply(CONTENT[: len(CONTENT) // 2], 200, (*tag, ("Content-Length", str(len(CONTENT)))))
    world.storage.faults = [cut]
    target = world.folder / "file"
    run(kind, world.nango(), lambda shop: shop.download("files/1", target))
    assert target.read_bytes() == CONTENT
    first, second = (request.headers.get("range", "") for request in world.files.received)
    assert first == ""
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(CONTENT) // 2
    assert len(world.api.received) == 2
    assert all(KEY not in f"{request}" for request in world.files.received)


@KINDS
def test_redirects_of_the_host_of_files(world: World, kind: str) -> None:
    """To itself they are followed; back to the API, which would want the credential, they are not."""
    world.storage.faults = [Reply({}, 302, (("Location", "/moved"),))]
    assert run(kind, world.nango(), lambda shop: shop.get("files/1"))[0].content == CONTENT
    assert world.files.received[-1].target == "/moved"
    world.storage.faults = [Reply({}, 302, (("Location", f"{world.api.url}private"),))]
    assert run(kind, world.nango(), lambda shop: shop.get("files/1"))[0].status_code == 302
    assert len(world.api.received) == 2


@KINDS
@pytest.mark.parametrize(("status", "expected"), [(303, 200), (302, 200), (307, 307), (308, 308)])
def test_no_body_reaches_the_host_of_files(world: World, kind: str, status: int, expected: int) -> None:
    """A POST is followed as a GET, or not at all."""
    response, _ = run(
        kind, world.nango(), lambda shop: shop.post(f"exports?status={status}", json={"secret": KEY})
    )
    assert response.status_code == expected
    assert [(request.method, request.body) for request in world.files.received] == (
        [("GET", b"")] if expected == 200 else []
    )


@KINDS
def test_a_file_that_is_uploaded_is_rewound_for_a_retry(tmp_path: Path, kind: str) -> None:
    """Each attempt has its Content-Length and the whole rest of the file, from where it stood."""
    replies = [Reply({}, 503), Reply({}, 302, (("Location", "/elsewhere"),)), Reply({}, 503)]
    with RecordingServer(lambda _: replies.pop(0) if replies else {}) as server:
        entry = {
            "auth": {"auth_mode": "API_KEY"},
            "requests": {"base_url": server.url},
            "retries": {"backoff": {"base_seconds": 0.01, "max_seconds": 0.01}},
        }
        nango = Nango(
            {"shop": entry},
            database_url=f"sqlite:///{tmp_path}/n.db",
            encryption_keys=ENCRYPTION_KEY,
            environ={},
        )
        nango.register_connection("shop", "u", {"api_key": KEY})
        file = io.BytesIO(b"0123456789")
        file.seek(4)
        assert run(kind, nango, lambda shop: shop.put("files/1", data=file))[0].status_code == 200
    assert [request.body for request in server.received] == [b"456789"] * 4
    assert {request.headers["content-length"] for request in server.received} == {"6"}
    assert all("transfer-encoding" not in request.headers for request in server.received)


HOSTS = [
    ("https://files.example.com/a", True),
    ("https://FILES.example.com/a", True),
    ("https://files.example.com:443/a", True),
    ("https://files.example.com:8443/a", False),
    ("https://a.b.storage.test/x", True),
    ("https://b.storage.test:444/x", False),
    ("https://storage.test/x", False),
    ("https://evilstorage.test/x", False),
    ("https://a_b-c.storage.test/x", True),
    ("https://.storage.test/x", False),
    ("https://evil.test\\.storage.test/x", False),
    ("https://evil.test%2f.storage.test/x", False),
    ("https://evil.test;.storage.test/x", False),
    ("https://evil.test\u3002.storage.test/x", False),
    ("https://evil test.storage.test/x", False),
    ("https://b.storage.test.evil.test/x", False),
    ("https://own.test:8443/x", True),
    ("https://own.test/x", False),
    ("http://files.example.com/a", False),
    ("//files.example.com/a", True),
    ("https://user@files.example.com/a", False),
    ("https://files.example.com@evil.test/a", False),
    ("https://files.example.com\\.evil.test/a", False),
    ("ftp://files.example.com/a", False),
    ("https://[", False),
    ("https://files.example.com:x/", False),
]


@pytest.mark.parametrize(("url", "is_followed"), HOSTS)
def test_which_hosts_are_meant(url: str, is_followed: bool) -> None:  # noqa: FBT001
    """A host as it is written, or all below a suffix, at the port that is named, by https."""
    integration = an_integration()
    hosts = ("files.example.com", "*.storage.test", "own.test:8443")
    requests = replaced(integration.requests, download_hosts=hosts)
    settings = bind_settings(replaced(integration, requests=requests), a_connection())
    assert (settings.reach_download("https://api.example.test/v1/x", url) is not None) == is_followed
    assert settings.reach("https://api.example.test/v1/x", url) is None


def test_settings_without_credentials_hold_none_that_could_be_sent() -> None:
    """What a request is made of is empty; the texts to mask stay."""
    integration = an_integration(headers={"X": "${api_key}"}, params={"k": "${api_key}"})
    bound = bind_settings(integration, a_connection())
    bare = bound.without_credentials()
    assert (bare.pairs, bare.origins, bare.signer, bare.client_certificate) == ((), frozenset(), None, None)
    assert "x" not in bare.headers
    assert bare.headers_for(bare.variables()) == bare.headers
    assert (bare.pairs_for(bare.variables()), bare.body_for(bare.variables())) == ((), ())
    assert bare.secrets == bound.secrets
    assert not bare.mode.answers_challenges
    assert [name for name in bound.__slots__ if not hasattr(bare, name)] == []


def test_a_wrong_path_is_still_refused(world: World) -> None:
    """`download_hosts` are for redirects, not for paths of calls."""
    with world.nango() as nango, pytest.raises(InvalidRequest):
        nango.executor("shop", "u").get(f"{world.files.url}bucket/x")
    assert world.files.received == []
