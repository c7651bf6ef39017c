"""Test tools and helpers for requests work with a session of Nango as with a plain one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import requests
import requests_cache
import requests_mock
import responses
import vcr
from requests.auth import HTTPDigestAuth
from requests_toolbelt import MultipartEncoder
from requests_toolbelt.utils import dump

from tests.sdk.sdk_product import KEY, connected
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.recording_server import Received


def test_responses_intercepts(tmp_path: Path) -> None:
    """Nothing reaches the API; what is passed through goes by the engine."""
    with RecordingServer(lambda _: {"real": True}) as server, connected(tmp_path, server.url) as nango:
        session = nango.session("api", "user-1")
        with responses.RequestsMock() as mock:
            mock.get(f"{server.url}users/1", json={"mocked": True})
            assert session.get("users/1").json() == {"mocked": True}
            with pytest.raises(requests.ConnectionError):
                session.get("users/2")
            assert server.received == []
            mock.add_passthru(f"{server.url}through")
            assert session.get("through").json() == {"real": True}
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_requests_mock_intercepts(tmp_path: Path) -> None:
    """Nothing reaches the API, unless the tool lets it through."""
    with RecordingServer(lambda _: {"real": True}) as server, connected(tmp_path, server.url) as nango:
        session = nango.session("api", "user-1")
        with requests_mock.Mocker() as mock:
            mock.get(f"{server.url}users/1", json={"mocked": True})
            assert session.get("users/1").json() == {"mocked": True}
            with pytest.raises(requests_mock.NoMockAddress):
                session.get("users/2")
        assert server.received == []
        with requests_mock.Mocker(real_http=True):
            assert session.get("users/2").json() == {"real": True}
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_vcrpy_records_and_plays(encoding: str, tmp_path: Path) -> None:
    """The first call goes to the API with the credential; the second is played from the cassette."""
    import gzip

    def respond(_: Received) -> Any:
        body = b'{"real": true}'
        if encoding == "gzip":
            return Reply(gzip.compress(body), headers=(("Content-Encoding", "gzip"),))
        return body

    with RecordingServer(respond) as server, connected(tmp_path, server.url) as nango:
        session, executor = nango.session("api", "user-1"), nango.executor("api", "user-1")
        cassette = str(tmp_path / "cassette.yaml")
        for stream in (False, True):
            with vcr.use_cassette(
                cassette, filter_headers=["authorization"], allow_playback_repeats=True
            ) as tape:
                found = session.get("users/1", stream=stream)
                assert found.json() == {"real": True}
        assert (len(server.received), tape.play_count) == (1, 1)
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in (tmp_path / "cassette.yaml").read_text()
        assert executor.get("users/1").json() == {"real": True}  # the control: without a cassette
        assert len(server.received) == 2


def test_requests_cache_keeps_responses(tmp_path: Path) -> None:
    """A cached session of an SDK with our adapter mounted asks once."""
    with RecordingServer(lambda _: {"n": 1}) as server, connected(tmp_path, server.url) as nango:
        session = nango.adapter("api", "user-1").mount_on(requests_cache.CachedSession(backend="memory"))
        answers = [session.get(f"{server.url}users/1") for _ in range(2)]
        assert [found.json() for found in answers] == [{"n": 1}] * 2
        assert [found.from_cache for found in answers] == [False, True]
        assert len(server.received) == 1


def test_toolbelt_dumps_and_streams_uploads(tmp_path: Path) -> None:
    """The dump shows the SDK's request without the credential; an encoder is sent with its length."""
    with RecordingServer(lambda _: {"n": 1}) as server, connected(tmp_path, server.url) as nango:
        session = nango.session("api", "user-1")
        encoder = MultipartEncoder({"file": ("a.txt", io.BytesIO(b"x" * 200_000), "text/plain")})
        found = session.post("upload", data=encoder, headers={"Content-Type": encoder.content_type})
        assert KEY.encode() not in dump.dump_response(session.get("users/1"))
        (upload, _) = server.received
    assert found.ok
    assert upload.headers["content-length"] == str(len(upload.body))
    assert upload.body.count(b"x") > 200_000 - 1


def test_digest_logins_of_a_session_work_where_the_blueprint_has_none(tmp_path: Path) -> None:
    """HTTPDigestAuth sends again by `response.connection`; our API needs no credentials here."""

    def respond(received: Received) -> Any:
        if "authorization" in received.headers:
            return {"user": "in"}
        challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
        return Reply(status=401, headers=(("WWW-Authenticate", challenge),))

    with RecordingServer(respond) as server, connected(tmp_path, server.url, mode="NONE") as nango:
        found = nango.session("api", "user-1").get("x", auth=HTTPDigestAuth("me", "password"))
        assert found.json() == {"user": "in"}
        assert [asked.headers.get("authorization", "")[:6] for asked in server.received] == ["", "Digest"]
