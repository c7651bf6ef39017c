"""TOKEN_EXCHANGE (RFC 8693): a subject token is exchanged, again before it expires, on a real socket."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import CredentialsError, Nango
from tests.support.fake_clock import ManualClock
from tests.support.nango_at_server import QUICK, WIDE
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.provider_server import ProviderRequest, ProviderResponse, Served
from tests.support.sandbox_product import ENCRYPTION_KEY

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
APP = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


class Exchange(Served):
    """A security token service, and an API that takes its tokens."""

    routes = {"/token": "token", "/api": "api"}  # noqa: RUF012

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.forms: list[dict[str, str]] = []

    def token(self, incoming: ProviderRequest) -> ProviderResponse:
        """A token for each subject token."""
        self.forms.append(incoming.form)
        if self.error:
            return ProviderResponse(400, {"error": self.error})
        body = {
            "access_token": f"token_{len(self.forms)}",
            "issued_token_type": ACCESS,
            "token_type": "Bearer",
        }
        return ProviderResponse(200, {**body, "expires_in": 3600})

    def api(self, incoming: ProviderRequest) -> ProviderResponse:
        """What token was sent."""
        return ProviderResponse(200, {"token": incoming.headers.get("Authorization")})


def product(server: Exchange, clock: ManualClock, **auth: Any) -> Nango:
    """A product whose users have tokens of another system."""
    entry = {
        "auth": {"auth_mode": "TOKEN_EXCHANGE", "token_url": f"{server.url}/token", **auth},
        "oauth_client_id": CLIENT_ID,
        "oauth_client_secret": CLIENT_SECRET,
        "oauth_scopes": ["orders"],
        "requests": {
            "base_url": f"{server.url}/api/",
            "headers": {"Authorization": "Bearer ${access_token}"},
            "allow_http": True,
        },
        "retries": {"backoff": QUICK},
        "rate_limits": WIDE,
    }
    keys: dict[str, Any] = {"encryption_keys": ENCRYPTION_KEY, "environ": {}, "clock": clock}
    return Nango({"it": entry}, database_url="sqlite:///:memory:", **keys)


def test_a_subject_token_is_exchanged() -> None:
    """With the type of the token and the client's authentication; the call carries the new token."""
    clock = ManualClock()
    params = {"audience": "https://orders.example.test"}
    with Exchange() as server, product(server, clock, token_params=params) as nango:
        nango.register_connection("it", "user-1", {"subject_token": "subject_planted"})
        assert nango.executor("it", "user-1").get("me").json() == {"token": "Bearer token_1"}
        subject = {"subject_token": "subject_planted", "subject_token_type": ACCESS}
        assert server.forms == [{"grant_type": GRANT, "scope": "orders", **subject, **params, **APP}]
        clock.advance(3700)
        assert nango.executor("it", "user-1").get("me").json() == {"token": "Bearer token_2"}
        assert server.forms[0] == server.forms[1]


def test_the_application_may_act_for_the_user() -> None:
    """An actor token is sent with its own type."""
    types = {"subject_token_type": JWT, "actor_token_type": ACCESS}
    with Exchange() as server, product(server, ManualClock(), **types) as nango:
        given = {"subject_token": "a.b.c", "actor_token": "actor_planted"}
        nango.register_connection("it", "user-1", given)
        nango.executor("it", "user-1").get("me")
        assert (given | types).items() <= server.forms[0].items()


@pytest.mark.parametrize(
    ("error", "status"),
    [("invalid_request", "needs_reauth"), ("invalid_grant", "needs_reauth"), ("invalid_target", "active")],
)
def test_a_refused_subject_token_ends_the_connection(error: str, status: str) -> None:
    """RFC 8693 2.2.2 has invalid_request for it; a refused audience is the application's mistake."""
    with Exchange(error) as server, product(server, ManualClock()) as nango:
        nango.register_connection("it", "user-1", {"subject_token": "subject_planted"})
        with pytest.raises(CredentialsError) as caught:
            nango.executor("it", "user-1").get("me")
        assert "subject_planted" not in str(caught.value)
        assert nango.connection("it", "user-1")["status"] == status
        server.error = ""
        nango.update_connection_credentials("it", "user-1", {"subject_token": "another"})
        assert nango.executor("it", "user-1").get("me").status_code == 200
