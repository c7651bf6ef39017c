"""Requests to sandboxes, without Nango."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from nango_py.sandbox import Sandbox

KLAVIYO: dict[str, Any] = {
    "name": "klaviyo",
    "version": "v1",
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://a.klaviyo.com/api/",
        "headers": {
            "Accept": "application/vnd.api+json",
            "Authorization": "Klaviyo-API-Key ${api_key}",
            "revision": '${additional_config.revision | default("2026-10-15")}',
        },
    },
    "rate_limits": {
        "counted_per": "connection",
        "budgets": [{"key": "${method} ${endpoint}", "otherwise": ["50/second", "400/minute"]}],
    },
    "pagination": {"kind": "next_url", "next": "links.next", "records": "data"},
    "errors": {"message": "errors[0].detail", "code": "errors[0].code"},
    "examples": [
        {
            "call": {"method": "GET", "path": "metrics/"},
            "response": {"status": 200, "json": {"data": [{"id": "m1"}], "links": {"next": None}}},
        },
        {
            "call": {"method": "GET", "path": "metrics/", "params": {"count": 50}},
            "response": {"status": 200, "json": {"data": []}},
        },
        {"call": {"method": "POST", "path": "events/"}, "response": {"status": 202}},
    ],
}
LEGACY: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "status": {"retires_on": "2024-06-30"},
    "requests": {"base_url": "https://a.klaviyo.com/api/", "params": {"api_key": "${api_key}"}},
}
OPEN: dict[str, Any] = {"requests": {"base_url": "https://example.test/v1/"}}
KEY = {"Authorization": "Klaviyo-API-Key pk_one"}


def get(sandbox: Sandbox, path: str = "metrics/", **arguments: Any) -> requests.Response:
    """Send one request with a new connection."""
    arguments.setdefault("headers", KEY)
    with requests.Session() as session:
        session.trust_env = False
        url = path if path.startswith("http") else sandbox.base_url + path
        method = arguments.pop("method", "GET")
        return session.request(method, url, timeout=10, allow_redirects=False, **arguments)


def raw(sandbox: Sandbox, data: bytes, timeout_seconds: float = 10.0) -> bytes:
    """Send bytes, and return everything received until the sandbox closes the connection."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=timeout_seconds) as client:
        client.sendall(data)
        received = b""
        while chunk := client.recv(65_536):
            received += chunk
        return received
