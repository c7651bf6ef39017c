"""The product's own secrets and hosts that users name: which settings would bring them together."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import Nango
from nango_py.errors import ConfigError

HOST = "https://${additional_config.host}"
FIXED = "https://login.example.com"
APP = {"oauth_client_id": "id", "oauth_client_secret": "PLANTED_SECRET"}


def configured(
    auth: dict[str, Any], requests: dict[str, Any] | None = None, field: Any = None, **more: Any
) -> Nango:
    """A product with one integration, whose users name a host."""
    found = {"type": "string", "format": "host", **(field or {})}
    entry = {
        "auth": auth,
        "requests": {"base_url": f"{HOST}/api/", "headers": {}, **(requests or {})},
        "connection_config": {"type": "object", "properties": {"host": found}},
        **more,
    }
    return Nango({"integrations": {"own": entry}}, environ={})


def oauth2(place: str = FIXED, **more: Any) -> dict[str, Any]:
    """The auth block of a login by browser."""
    return {"auth_mode": "OAUTH2", "authorization_url": f"{HOST}/a", "token_url": f"{place}/t", **more}


def oauth1(**more: Any) -> dict[str, Any]:
    """The same with signatures."""
    urls = {"request_url": f"{HOST}/r", "authorization_url": f"{HOST}/a", "token_url": f"{HOST}/t"}
    return {"auth_mode": "OAUTH1", **urls, **more}


KEY = {"auth_mode": "API_KEY"}
LEAKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "token_url": (oauth2(HOST), APP),
    "in the header": (oauth2(HOST, authorization_method="header"), APP),
    "refresh_url": (oauth2(refresh_url=f"{HOST}/r"), APP),
    "revocation_url": (oauth2(revocation_url=f"{HOST}/r"), APP),
    "client credentials": ({"auth_mode": "OAUTH2_CC", "token_url": f"{HOST}/t"}, APP),
    "plaintext": (oauth1(signature_method="PLAINTEXT"), APP),
    "token_params": (
        oauth2(HOST, authorization_method="none", token_params={"key": "${app_api_key}"}),
        {**APP, "app_api_key": "PLANTED_KEY"},
    ),
    "headers": (
        KEY,
        {"app_api_key": "PLANTED_KEY", "requests": {"headers": {"X-App": "${app_api_key}"}}},
    ),
    "params": (KEY, {"app_api_key": "PLANTED_KEY", "requests": {"params": {"app": "${app_api_key}"}}}),
}
FINE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "at a host of the file": (oauth2(), APP),
    "a public client": (oauth2(HOST, authorization_method="none"), {"oauth_client_id": "id"}),
    "an assertion": (oauth2(HOST, authorization_method="private_key_jwt"), APP),
    "signatures": (oauth1(), APP),
    "credentials of the user": ({"auth_mode": "OAUTH2_CC", "token_url": f"{HOST}/t"}, {}),
    "a key of the user": (KEY, {"requests": {"headers": {"X-Key": "${api_key}"}}}),
    "listed hosts": (oauth2(HOST), {**APP, "field": {"enum": ["a.example.com", "b.example.com"]}}),
    "in a path": (oauth2(f"{FIXED}/${{additional_config.host}}"), APP),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_secret_that_would_go_anywhere_is_an_error(case: str) -> None:
    """Files by which a user's host would get a secret of the product are refused; the secret is not shown."""
    auth, more = LEAKS[case]
    with pytest.raises(ConfigError, match=r"E322.*would be sent to a host that the user names") as caught:
        _ = configured(auth, **more).configuration
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize("case", FINE)
def test_what_stays_with_us_is_no_error(case: str) -> None:
    """A user's own credentials, proofs without the secret, and hosts that the file lists are accepted."""
    auth, more = FINE[case]
    assert configured(auth, **more).configuration.integrations["own"].auth_mode == auth["auth_mode"]
