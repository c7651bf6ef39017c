"""Deleting a connection at providers with special revocation requests, each checked on a real socket."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import ConfigError
from tests.support.oauth_product import a_nango
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.provider_server import ProviderRequest, ProviderResponse, Served

if TYPE_CHECKING:
    from nango_py import Event

TOKEN = "access_planted_0001"
BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
JSON = {"Content-Type": "application/json"}


class Api(Served):
    """Records revocation requests, and responds as it is said to."""

    def __init__(self, response: ProviderResponse) -> None:
        self.reply = response
        self.requests: list[ProviderRequest] = []

    def response(self, incoming: ProviderRequest) -> ProviderResponse:
        """The response to any request."""
        self.requests.append(incoming)
        return self.reply


# By provider: `revocation`, its method, target, headers and body, and a response of success.
# Read on 30 November 2026: docs.github.com/en/rest/apps/oauth-applications,
# docs.slack.dev/reference/methods/auth.revoke, shopify.dev/tutorials/uninstall-an-app-with-an-api-call,
# developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/oauth-2.0,
# developers.facebook.com/docs/graph-api/reference/user/permissions.
PROVIDERS: dict[str, tuple[dict[str, Any], str, str, dict[str, str], Any, ProviderResponse]] = {
    "github": (
        {
            "method": "DELETE",
            "url": "/applications/${oauth_client_id}/grant",
            "authorization_method": "header",
            "body": {"access_token": "${access_token}"},
            "body_format": "json",
        },
        "DELETE",
        f"/applications/{CLIENT_ID}/grant",
        {"Authorization": BASIC, **JSON},
        {"access_token": TOKEN},
        ProviderResponse(204),
    ),
    "slack": (
        {"url": "/api/auth.revoke", "headers": {"Authorization": "Bearer ${access_token}"}},
        "POST",
        "/api/auth.revoke",
        {"Authorization": f"Bearer {TOKEN}"},
        None,
        ProviderResponse(200, {"ok": True, "revoked": True}),
    ),
    "intuit": (
        {
            "url": "/v2/oauth2/tokens/revoke",
            "authorization_method": "header",
            "body": {"token": "${access_token}"},
            "body_format": "json",
        },
        "POST",
        "/v2/oauth2/tokens/revoke",
        {"Authorization": BASIC, **JSON},
        {"token": TOKEN},
        ProviderResponse(200),
    ),
    "facebook": (
        {
            "method": "DELETE",
            "url": "/me/permissions",
            "headers": {"Authorization": "Bearer ${access_token}"},
        },
        "DELETE",
        "/me/permissions",
        {"Authorization": f"Bearer {TOKEN}"},
        None,
        ProviderResponse(200, {"success": True}),
    ),
    "shopify": (
        {
            "method": "DELETE",
            "url": "/admin/api_permissions/current.json",
            "headers": {"X-Shopify-Access-Token": "${access_token}"},
        },
        "DELETE",
        "/admin/api_permissions/current.json",
        {"X-Shopify-Access-Token": TOKEN},
        None,
        ProviderResponse(200, {}),
    ),
}


def delete(revocation: dict[str, Any], reply: ProviderResponse) -> tuple[list[ProviderRequest], list[Event]]:
    """Delete a connection; the requests and the failures."""
    failures: list[Event] = []
    with Api(reply) as api:
        auth = {"revocation": {**revocation, "url": f"{api.url}{revocation['url']}"}}
        with a_nango(api.url, auth=auth) as nango:
            nango.on("not_revoked", failures.append)
            nango.register_connection("mail", "user-1", {"access_token": TOKEN, "refresh_token": "r"})
            nango.delete_connection("mail", "user-1")
            assert nango.connections_for_integration("mail") == []
    return api.requests, failures


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_grant_is_revoked_as_the_provider_wants_it(name: str) -> None:
    """One request with method, headers and body as documented."""
    revocation, method, target, headers, body, reply = PROVIDERS[name]
    (request,), failures = delete(revocation, reply)
    assert (request.method, request.target) == (method, target)
    assert headers.items() <= request.headers.items()
    assert (json.loads(request.body) if request.body else None) == body
    assert failures == []


@pytest.mark.parametrize(
    "reply",
    [
        ProviderResponse(404, {"message": "Not Found"}),
        ProviderResponse(200, {"ok": False, "error": "invalid_auth"}),
        ProviderResponse(302, "", {"Location": "https://evil.example.test/"}),
    ],
)
def test_a_refusal_is_reported(reply: ProviderResponse) -> None:
    """Also one with the status 200, as Slack sends it; no redirect is followed, and no secret is shown."""
    requests, failures = delete(PROVIDERS["slack"][0], reply)
    assert (len(requests), len(failures)) == (1, 1)
    assert not {TOKEN, CLIENT_SECRET} & set(failures[0].reason.split())


def test_an_unknown_variable_is_refused() -> None:
    """When the file is loaded, not when a connection is deleted."""
    auth = {"revocation": {"url": "https://id.example.test/", "headers": {"X": "${refresh_tokn}"}}}
    with pytest.raises(ConfigError, match="E306"):
        a_nango("http://127.0.0.1:9", auth=auth).configuration  # noqa: B018
