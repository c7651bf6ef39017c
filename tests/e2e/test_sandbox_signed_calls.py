"""Signed calls are verified by the sandbox: AWS Signature Version 4, HMAC, WSSE and Digest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.fake_clock import ManualClock
from tests.support.sandbox_calls import get
from tests.support.sandbox_logins import product

BASE = {"base_url": "https://api.signed.test/v1/", "headers": {"Content-Type": "application/json"}}
AWS = {"access_key_id": "AKIDTEST", "secret_access_key": "aws/secret+test", "session_token": "session_test"}
HMAC = {"api_key": "key_test", "api_secret": "secret_test"}
ADA = {"username": 'ad"a', "password": "pass:word"}
PLAIN = {
    "parts": ["timestamp", "method", "target", "body_sha256"],
    "joined_by": "\n",
    "encoding": "base64",
    "headers": {"X-Key": ["api_key"], "X-Time": ["timestamp"], "X-Sign": [{"text": "v1="}, "signature"]},
}
WITH_NONCE = {
    "algorithm": "sha512",
    "key_encoding": "hex",
    "parts": ["nonce", "api_key", "path", "body", "iso_time"],
    "headers": {
        "Authorization": [{"text": "HMAC "}, "api_key", {"text": ":"}, "nonce", {"text": ":"}, "signature"],
        "X-Date": ["iso_time"],
    },
}
WSSE = {"protocol": "WSSE"}
HEX = {"api_key": "key_test", "api_secret": "00ff11ee"}
S3 = {"auth_mode": "AWS_SIGV4", "region": "eu-central-1", "service": "s3"}
GATEWAY = {"auth_mode": "AWS_SIGV4", "region": "us-east-1", "service": "execute-api"}
MODES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "aws of s3": (S3, AWS, "secret_access_key"),
    "aws": (GATEWAY, AWS, "secret_access_key"),
    "hmac": ({"auth_mode": "SIGNATURE", "signature": PLAIN}, HMAC, "api_secret"),
    "hmac with a nonce": ({"auth_mode": "SIGNATURE", "signature": WITH_NONCE}, HEX, "api_secret"),
    "wsse": ({"auth_mode": "SIGNATURE", "signature": WSSE}, HMAC, "api_secret"),
    "wsse in hex": ({"auth_mode": "SIGNATURE", "signature": {**WSSE, "encoding": "hex"}}, HMAC, "api_secret"),
    "digest": ({"auth_mode": "DIGEST"}, ADA, "password"),
}


@pytest.mark.parametrize("name", MODES)
def test_the_signature_names_the_sender(name: str) -> None:
    """Calls of threads and asyncio are accepted and named; another secret, or none, is refused."""
    auth, right, secret = MODES[name]
    settings = {"auth": auth, "requests": BASE}
    other = {key: f"{value}x" if key != "api_secret" else "aabb" for key, value in right.items()}
    users = {"bob": other, "ada": right}
    with product(settings, sandbox={"credentials": users}) as (nango, api):
        for user, given in {**users, "eve": {**right, secret: "ccdd"}}.items():
            nango.register_connection("it", user, given)
        executor = nango.executor("it", "ada")
        assert executor.get("a b/c~d", params={"x": "1 ä+&=", "a": ""}).status_code == 200
        assert executor.post("things", json={"n": "é"}).status_code == 200
        assert nango.executor("it", "bob").get("things").status_code == 200

        assert nango.executor("it", "eve").get("things").status_code == 401
        assert get(api, "things", headers={}).status_code == 401

        async def call() -> int:
            response = await nango.async_executor("it", "ada").put("things/1", data=b"bytes")
            await nango.aclose()
            return response.status_code

        assert asyncio.run(call()) == 200
        found = [received.user for received in api.ledger.received if received.status == 200]
        assert found == ["ada", "ada", "bob", "ada"]


@pytest.mark.parametrize("name", MODES)
def test_any_complete_signature_is_accepted_without_users(name: str) -> None:
    """As for other modes, only the form is checked then."""
    auth, right, _ = MODES[name]
    with product({"auth": auth, "requests": BASE}) as (nango, api):
        nango.register_connection("it", "ada", right)
        assert nango.executor("it", "ada").get("things").status_code == 200
        assert get(api, "things", headers={}).status_code == 401


@pytest.mark.parametrize("name", ["aws", "hmac", "wsse"])
def test_old_signatures_are_refused(name: str) -> None:
    """A signature is valid for fifteen minutes of the sandbox's clock."""
    auth, right, _ = MODES[name]
    clock = ManualClock()
    with product({"auth": auth, "requests": BASE}, sandbox={"credentials": {"ada": right}}, clock=clock) as (
        nango,
        api,
    ):
        nango.register_connection("it", "ada", right)
        assert nango.executor("it", "ada").get("things").status_code == 200
        headers = dict(api.ledger.received[-1].headers)
        assert get(api, "things", headers=headers).status_code == 200
        clock.sleep(1000)
        assert get(api, "things", headers=headers).status_code == 401
