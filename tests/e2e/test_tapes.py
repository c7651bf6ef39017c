"""Calls are recorded without secrets, and replayed strictly, for threads and asyncio."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from nango_py import Nango, ProviderError, Sandbox, TapeError, TransportFailed
from nango_py.sandbox import FaultPlan, SandboxRequest, SandboxResponse
from nango_py.tapes.recording import Recorder
from nango_py.tapes.redaction import redact
from nango_py.tapes.tape_file import TapedCall, TapedRequest, TapedResponse, load_tape, save_tape
from nango_py.transport.sendable import Failure
from tests.support.planted_secrets import PATTERN, secret
from tests.support.sandbox_logins import MAIL, log_in, product
from tests.support.sandbox_product import SHOP, a_nango, a_product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUICK = {**SHOP, "retries": {"backoff": {"base_seconds": 0.001, "max_seconds": 0.002}}}


def walk(nango: Nango) -> list[Any]:
    """Calls of every kind, one after another."""
    shop = nango.executor("shop", "u0")
    got = shop.get("things", params={"b": "2", "a": "1"})
    made = shop.post("things", json={"name": "é", "n": 1})
    streamed = shop.get("file", stream=True)
    return [got.json(), got.headers["X-Total"], made.status_code, b"".join(streamed.iter_content(7))]


async def walk_async(nango: Nango) -> list[Any]:
    """The same under asyncio."""
    shop = nango.async_executor("shop", "u0")
    got = await shop.get("things", params={"b": "2", "a": "1"})
    made = await shop.post("things", json={"name": "é", "n": 1})
    streamed = await shop.get("file", stream=True)
    body = b"".join([chunk async for chunk in streamed.aiter_content(7)])
    await nango.aclose()
    return [got.json(), got.headers["X-Total"], made.status_code, body]


def run(kind: str, nango: Nango) -> list[Any]:
    """The results of the calls by one of the two transports."""
    return walk(nango) if kind == "threads" else asyncio.run(walk_async(nango))


@pytest.mark.parametrize("replayed", ["threads", "asyncio"])
@pytest.mark.parametrize("recorded", ["threads", "asyncio"])
def test_a_tape_replays_what_was_recorded(recorded: str, replayed: str, tmp_path: Path) -> None:
    """Retries, bodies, headers and streams are the same without the API, by either transport."""
    tape = tmp_path / "tape.yaml"
    faults = FaultPlan.script(["reset_before", 503])
    with a_product(tmp_path, QUICK, faults=faults) as (nango, sandbox):
        sandbox.respond("GET", "things", json=[1, "é"], headers={"X-Total": "2"})
        sandbox.respond("POST", "things", status=201)
        sandbox.respond("GET", "file", SandboxResponse(200, (), bytes(range(256))))
        with nango.record(tape):
            expected = run(recorded, nango)
        sent = len(sandbox.ledger)
        base_url = sandbox.base_url
        with nango.replay(tape):
            assert run(replayed, nango) == expected
        assert len(sandbox.ledger) == sent
    assert expected == [[1, "é"], "2", 201, bytes(range(256))]
    assert len(load_tape(tape)) == 5
    assert tape.stat().st_mode & 0o777 == 0o600
    # Without the sandbox, and with another key.
    with a_nango(tmp_path / "other", base_url, QUICK) as other:
        other.register_connection("shop", "u0", {"api_key": "made_up_for_the_replay"})
        with other.replay(tape):
            assert run(replayed, other) == expected


UPLOADS = {
    **SHOP,
    "endpoints": [
        {"match": {"path": "uploads"}, "upload": {"url": "url", "missing": "next", "progress_method": "GET"}}
    ],
}


def test_an_upload_is_replayed_without_its_url(tmp_path: Path) -> None:
    """The URL for the pieces is a credential, so the tape has its masked form, in the response too."""
    tape, content = tmp_path / "tape.yaml", b"x" * 1000
    with a_product(tmp_path, UPLOADS) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        with nango.record(tape):
            assert shop.upload("uploads", content).json()["size"] == 1000
        (name,) = sandbox.api.uploads._sessions
        assert name not in tape.read_text("utf-8")
        with nango.replay(tape):
            assert shop.upload("uploads", content).json()["size"] == 1000
        assert sandbox.uploads == (content,)


def test_executors_and_sessions_made_before_the_block_are_taped(tmp_path: Path) -> None:
    """The tape is used by everything that sends, also by a session of requests."""
    tape = tmp_path / "tape.yaml"
    with a_product(tmp_path) as (nango, sandbox):
        executor, session = nango.executor("shop", "u0"), nango.session("shop", "u0")
        with nango.record(tape):
            executor.get("a")
            session.get("b")
        executor.get("c")
        assert [call.request.url for call in load_tape(tape)] == [sandbox.base_url + name for name in "ab"]
        with nango.replay(tape):
            assert session.get("b").status_code == 200
            assert executor.get("a").status_code == 200
        assert len(sandbox.ledger) == 3


def test_a_call_that_is_not_on_the_tape_is_an_error(tmp_path: Path) -> None:
    """Another path, parameter, method or body, and one call too many, name the request and the tape."""
    tape = tmp_path / "tape.yaml"
    with a_product(tmp_path) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        with nango.record(tape):
            shop.post("orders", json={"a": 1, "b": 2})
        calls: tuple[Callable[[], object], ...] = (
            lambda: shop.get("orders"),
            lambda: shop.post("order", json={"a": 1, "b": 2}),
            lambda: shop.post("orders", json={"a": 1, "b": 3}),
            lambda: shop.post("orders", json={"a": 1, "b": 2}, params={"x": "1"}),
        )
        for call in calls:
            with pytest.raises(TapeError, match=r"is not on the tape .*tape\.yaml"), nango.replay(tape):
                call()
        with nango.replay(tape):
            shop.post("orders", data='{"b": 2, "a": 1}', headers={"Content-Type": "application/json"})
            with pytest.raises(TapeError, match="1 of 1 calls were used"):
                shop.post("orders", json={"a": 1, "b": 2})
            with pytest.raises(TapeError):
                asyncio.run(nango.async_executor("shop", "u0").get("orders"))
        assert len(sandbox.ledger) == 1


def test_calls_left_over_are_an_error(tmp_path: Path) -> None:
    """The end of the block names them, unless it has an exception already."""
    tape = tmp_path / "tape.yaml"
    with a_product(tmp_path) as (nango, _):
        shop = nango.executor("shop", "u0")
        with nango.record(tape):
            for number in range(8):
                shop.get(f"things/{number}")
        with pytest.raises(TapeError, match=r"7 of 8 calls .*things/1.* and 2 more"), nango.replay(tape):
            shop.get("things/0")
        with pytest.raises(KeyError), nango.replay(tape):
            raise KeyError


def test_a_block_that_fails_leaves_the_tape_as_it_was(tmp_path: Path) -> None:
    """Half a tape is not written, and afterwards calls reach the API again."""
    tape = tmp_path / "tape.yaml"
    with a_product(tmp_path) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        with nango.record(tape):
            shop.get("a")
        before = tape.read_bytes()
        sandbox.respond("POST", "b", 400)
        with pytest.raises(ProviderError), nango.record(tape):
            shop.request("POST", "b", raise_for_error=True)
        assert tape.read_bytes() == before
        assert shop.get("c").status_code == 200
        assert len(sandbox.ledger) == 3
        with nango.record(tape), pytest.raises(TapeError, match="another tape"), nango.replay(tape):
            pass
        assert not list(tmp_path.glob(".tape*"))


def test_failures_are_replayed(tmp_path: Path) -> None:
    """A call that never got a response fails in the same way."""
    tape = tmp_path / "tape.yaml"
    settings = {**QUICK, "retries": {**QUICK["retries"], "max_attempts": 2}}
    with a_product(tmp_path, settings, faults=FaultPlan(1, {"reset_before": 1.0})) as (nango, _):
        for block in (nango.record(tape), nango.replay(tape)):
            with block, pytest.raises(TransportFailed) as caught:
                nango.executor("shop", "u0").get("things")
            assert caught.value.reason == "reset"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("calls: []", "is not a tape"),
        ("tape: 2\ncalls: []", "is not a tape"),
        ("tape: 1\ncalls:\n- request: {method: GET}", r"calls\[0\]"),
        ("tape: 1\ncalls:\n- request: {method: GET, url: x}", r"calls\[0\]"),
        ("tape: 1\ncalls:\n- {request: {method: GET, url: x}, failure: {reason: boredom}}", r"calls\[0\]"),
        ("tape: 1\ncalls:\n- {request: {method: GET, url: x}, response: {status: no}}", r"calls\[0\]"),
    ],
)
def test_a_wrong_file_is_an_error(text: str, error: str, tmp_path: Path) -> None:
    """The message names the file and the entry."""
    (tmp_path / "tape.yaml").write_text(text)
    block = "tape.yaml"
    with a_product(tmp_path) as (nango, _), pytest.raises(TapeError, match=error):
        nango.replay(tmp_path / block).__enter__()


def test_a_tape_may_be_larger_than_a_file_of_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded can be replayed; what would be too large is refused when it is recorded."""
    body = b'{"items": ["' + b"x" * 1_500_000 + b'"]}'
    call = TapedCall(TapedRequest("GET", "u", (), b""), TapedResponse(200, "OK", (("A", "b"),), body))
    save_tape(tmp_path / "tape.yaml", [call])
    assert load_tape(tmp_path / "tape.yaml") == [call]
    monkeypatch.setattr("nango_py.tapes.tape_file.SIZE_FACTOR", 1)
    with pytest.raises(TapeError, match="would have"):
        save_tape(tmp_path / "large.yaml", [call])
    assert not (tmp_path / "large.yaml").exists()


KEY = secret(1, "/Zürich+==")


def spelled(secret: str) -> dict[str, str]:
    """What an API may echo of a secret."""
    raw = secret.encode()
    return {
        "plain": secret,
        "quoted": quote(secret, safe=""),
        "json": json.dumps(secret),
        "base64": base64.b64encode(raw).decode(),
        "url64": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "pair": base64.b64encode(b"user:" + raw).decode(),
        "within": base64.b64encode(b"xx" + raw + b":yy").decode(),
    }


def test_planted_secrets_are_not_on_the_tape(tmp_path: Path) -> None:
    """The key is replaced in URLs, headers and bodies of both directions, in every spelling."""
    tape = tmp_path / "tape.yaml"
    settings = {
        **SHOP,
        "requests": {
            **SHOP["requests"],
            "headers": {"X-Key": "${api_key | base64}"},
            "params": {"key": "${api_key}"},
        },
    }
    with (
        Sandbox(settings, strict=False) as sandbox,
        a_nango(tmp_path, sandbox.base_url, settings) as nango,
    ):
        nango.register_connection("shop", "u0", {"api_key": KEY})

        @sandbox.handle("POST", "echo")
        def echo(request: SandboxRequest) -> SandboxResponse:
            cookie = f"session={secret(2)}; Path=/"
            headers = {"X-Echo": quote(KEY), "Set-Cookie": cookie, "X-Pair": spelled(KEY)["pair"]}
            return SandboxResponse.of({"sent": request.json(), **spelled(KEY)}, headers=headers)

        sandbox.respond("GET", "binary", SandboxResponse(200, (), b"\xff" + KEY.encode() + b"\xfe"))
        with nango.record(tape):
            shop = nango.executor("shop", "u0")
            shop.post("echo", json=spelled(KEY), headers={"X-Mine": f"Basic {spelled(KEY)['pair']}"})
            shop.post("echo", json={"quoted": quote(KEY, safe="")}, params={"again": KEY})
            shop.get("binary")
    written = tape.read_bytes()
    assert not PATTERN.search(written.decode())
    assert b"Path=/" in written
    assert all(PATTERN.search(form) for form in spelled(KEY).values())  # the control


def test_tokens_that_are_issued_during_the_recording_are_not_on_the_tape(tmp_path: Path) -> None:
    """Codes, verifiers, client secrets, tokens and refresh tokens are replaced, and the tape replays."""
    tape = tmp_path / "tape.yaml"
    with product(MAIL) as (nango, api):
        api.respond("GET", "echo", json={"ok": True})
        with nango.record(tape):
            assert log_in(nango, api).ok
            executor = nango.executor("it", "ada")
            executor.get("me")
            api.expire_tokens()
            executor.get("me")
        stored = nango.store.get("it", "ada").credentials
        secrets = [stored[name].reveal() for name in ("access_token", "refresh_token")]
        secrets.append(MAIL["oauth_client_secret"])
        written = tape.read_bytes()
        assert [each for each in secrets if each.encode() in written] == []
        for word in (b"access_", b"refresh_", b"code_", b"Bearer access"):
            assert word not in written.replace(b"access_token", b"").replace(b"refresh_token", b"").replace(
                b"code_verifier", b""
            )
        nango.register_connection("it", "ada", {"access_token": "a", "refresh_token": "r"}, replace=True)
        sent = len(api.ledger)
        with pytest.raises(TapeError, match="not made"), nango.replay(tape):
            nango.executor("it", "ada").get("me")
        assert len(api.ledger) == sent


@pytest.mark.parametrize("tail", ["", "+/=", "ä", '"', "%", " x", "\\", "\n"])
def test_redaction_finds_planted_secrets(tail: str) -> None:
    """In every spelling; a text without the secret stays as it is."""
    planted = secret(7, tail)
    for form in spelled(planted).values():
        assert PATTERN.search(form)
        assert not PATTERN.search(redact(f"a {form} b", (planted,)))
    plain = json.dumps(
        {"id": "01GDDKASAP8TKDDA2GRZDSVP4H", "url": "https://example.com/a?c=ZXhhbXBsZSB0ZXh0"}
    )
    assert redact(plain, (planted,)) == plain


def test_an_error_of_the_api_is_replayed(tmp_path: Path) -> None:
    """`raise_for_error` raises for a recorded response as for a real one."""
    tape = tmp_path / "tape.yaml"
    with a_product(tmp_path) as (nango, sandbox):
        sandbox.respond("GET", "gone", json={"message": "It is gone."}, status=404)
        for block in (nango.record(tape), nango.replay(tape)):
            with block, pytest.raises(ProviderError) as caught:
                nango.executor("shop", "u0").get("gone", raise_for_error=True)
            assert caught.value.status == 404
        with nango.replay(tape):
            response = nango.executor("shop", "u0").get("gone")
            assert isinstance(response, requests.Response)


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_refresh_that_is_not_on_the_tape_is_an_error(kind: str, tmp_path: Path) -> None:
    """Also though refreshes run in a thread of the library; nothing reaches the token endpoint."""
    (tmp_path / "tape.yaml").write_text("tape: 1\ncalls: []\n")
    with product(MAIL) as (nango, api):
        expired = {"access_token": "a", "refresh_token": "r", "expires_at": 1}
        nango.register_connection("it", "ada", expired)
        calls: dict[str, Callable[[], object]] = {
            "threads": lambda: nango.executor("it", "ada").get("me"),
            "asyncio": lambda: asyncio.run(nango.async_executor("it", "ada").get("me")),
        }
        with pytest.raises(TapeError, match="not on the tape"), nango.replay(tmp_path / "tape.yaml"):
            calls[kind]()
        assert len(api.login_ledger) == len(api.ledger) == 0


def test_a_tape_without_redaction_would_be_noticed(tmp_path: Path) -> None:
    """The control: what a recorder keeps in memory has the secret that the file has not."""
    recorder = Recorder()
    with a_product(tmp_path) as (nango, sandbox):
        sandbox.respond("GET", "echo", json=spelled(secret(3)))
        sandbox.accept("u1", {"api_key": secret(3)})
        nango.register_connection("shop", "u1", {"api_key": secret(3)})
        nango.services.use_tape(recorder)
        nango.executor("shop", "u1").get("echo")
        nango.services.use_tape(None)
    for name, calls in {"raw": recorder._calls, "redacted": recorder.calls()}.items():
        save_tape(tmp_path / name, calls)
    assert PATTERN.search((tmp_path / "raw").read_text())
    assert not PATTERN.search((tmp_path / "redacted").read_text())
    assert load_tape(tmp_path / "redacted") == recorder.calls()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\nb\r\nc\t",
        "\x00\x7f\x85\u2028\ufeff",
        "😀 ü",
        '"quoted" \\ ',
        "- : # & * !",
        "yes",
        "0123",
        "~",
    ],
)
def test_every_text_survives_the_file(text: str, tmp_path: Path) -> None:
    """URLs, headers, reasons and bodies are read as they were written."""
    headers = (("X-Text", text), ("X-Text", "again"))
    request = TapedRequest("POST", f"https://x.test/{text}", headers, text.encode())
    calls = [
        TapedCall(request, TapedResponse(200, text, headers, text.encode() + b"\xff" * bool(text))),
        TapedCall(TapedRequest("PUT", "u", (), None), Failure("timeout", sent=True, text=text)),
    ]
    save_tape(tmp_path / "tape.yaml", calls)
    assert load_tape(tmp_path / "tape.yaml") == calls
