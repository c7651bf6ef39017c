"""Logins of providers that deviate from RFC 6749, each against a provider on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from nango_py.errors import ConfigError
from tests.support.fake_clock import ManualClock
from tests.support.login_product import COOKIE, a_product, callback_of, log_in, stored
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.provider_server import ProviderRequest, ProviderResponse, query_of

if TYPE_CHECKING:
    from nango_py import Nango

HOST = {"type": "string", "format": "origin", "title": "Server"}


def config_of(nango: Nango) -> dict[str, Any]:
    """The additional_config of user-1."""
    found: dict[str, Any] = nango.connection("mail", "user-1")["additional_config"]
    return found


def finish(nango: Nango, **params: str) -> Any:
    """A login whose callback has more parameters."""
    return nango.logins.finish({**callback_of(nango), **params}, COOKIE)


def test_a_parameter_is_kept_under_another_name() -> None:
    """`keep_from_callback` as a mapping; a list keeps the provider's names."""
    with LoginProvider() as provider:
        for names, kept in ({"company": "realmId"}, "company"), (["realmId"], "realmId"):
            with a_product(provider.entry({"keep_from_callback": names})) as nango:
                assert finish(nango, realmId="123").ok
                assert config_of(nango) == {kept: "123"}


def test_the_callback_may_choose_the_token_endpoint_of_a_list() -> None:
    """As at Zoho: the code goes to the server that the callback names, if the file lists it."""
    with LoginProvider() as provider, LoginProvider() as evil:
        config = {
            "type": "object",
            "properties": {"server": {"type": "string", "enum": ["a", "b"], "title": "Server"}},
        }
        auth = {
            "token_url": f"{provider.url}/${{additional_config.server}}/token",
            "keep_from_callback": {"server": "location"},
        }
        provider.routes = {**LoginProvider.routes, "/a/token": "token"}
        with a_product(provider.entry(auth, connection_config=config)) as nango:
            assert finish(nango, location="a").ok
            outcome = finish(nango, location=f"{evil.url}/x")
            assert (outcome.ok, outcome.code) == (False, "exchange_failed")
        assert len(provider.exchanges()) == 1
        assert evil.token_calls == []


def test_the_client_secret_does_not_follow_a_callback_anywhere() -> None:
    """The control: a host without a list is refused when the file is loaded."""
    auth = {"token_url": "${additional_config.server}/token", "keep_from_callback": {"server": "s"}}
    config = {"type": "object", "properties": {"server": HOST}}
    with LoginProvider() as provider, pytest.raises(ConfigError, match="E322"):
        a_product(provider.entry(auth, connection_config=config)).configuration  # noqa: B018


class MovingProvider(LoginProvider):
    """Names the API's domain in each token response."""

    domain = "one"

    def token(self, incoming: ProviderRequest) -> ProviderResponse:
        """The token endpoint's response, with the domain."""
        response = super().token(incoming)
        if response.status == 200:
            response.body = {**response.body, "api_domain": self.domain}
        return response


@pytest.mark.parametrize(("on", "kept"), [("every", "two"), ("login", "one")])
def test_a_value_is_kept_again_at_each_refresh(on: str, kept: str) -> None:
    """`on: every` follows the provider; the default is the value of the login. An invalid one is not kept."""
    clock = ManualClock()
    with MovingProvider(now=clock.now) as provider:
        pattern = {"type": "string", "title": "Domain", "pattern": "^[a-z]+$"}
        config = {"type": "object", "properties": {"domain": pattern}}
        auth = {"keep_from_response": {"domain": {"path": "api_domain", "on": on}}}
        with a_product(provider.entry(auth, connection_config=config), clock=clock) as nango:
            log_in(nango)
            for provider.domain, wanted in (("two", kept), ("../evil", kept)):
                clock.advance(3700)
                assert nango.executor("mail", "user-1").get("me").status_code == 200
                assert config_of(nango) == {"domain": wanted}
            assert [outcome for _, outcome, _ in provider.token_calls] == ["granted"] * 3


def test_a_provider_may_rename_code_and_error() -> None:
    """`callback_params`: as at Amazon, whose code is spapi_oauth_code. A plain `code` is not used then."""
    auth = {"callback_params": {"code": "spapi_oauth_code", "error": "reason"}}
    with LoginProvider() as provider, a_product(provider.entry(auth)) as nango:
        callback = callback_of(nango)
        callback["spapi_oauth_code"] = callback.pop("code")
        assert nango.logins.finish(callback, COOKIE).ok
        assert nango.logins.finish(callback_of(nango), COOKIE).code == "provider_error"
        renamed = {**callback_of(nango), "reason": "access_denied"}
        assert nango.logins.finish(renamed, COOKIE).code == "access_denied"


class RenamedClient(LoginProvider):
    """Calls the client id client_key, as TikTok does."""

    def _renamed(self, incoming: ProviderRequest) -> ProviderRequest:
        parts = urlsplit(incoming.target)
        rename = {"client_key": "client_id", "client_id": "ignored"}
        query, form = (
            urlencode([(rename.get(name, name), value) for name, value in parse_qsl(text)])
            for text in (parts.query, incoming.body.decode())
        )
        target = f"{parts.path}?{query}"
        return ProviderRequest(incoming.method, target, incoming.headers, form.encode())

    def authorize(self, incoming: ProviderRequest) -> ProviderResponse:
        """The login page."""
        return super().authorize(self._renamed(incoming))

    def token(self, incoming: ProviderRequest) -> ProviderResponse:
        """The token endpoint."""
        return super().token(self._renamed(incoming))


@pytest.mark.parametrize(("auth", "ok"), [({"client_id_param": "client_key"}, True), ({}, False)])
def test_a_provider_may_rename_the_client_id(auth: dict[str, str], *, ok: bool) -> None:
    """`client_id_param`; without it the same provider does not know the client."""
    with RenamedClient() as provider, a_product(provider.entry(auth)) as nango:
        url = nango.logins.begin("mail", "user-1", browser=COOKIE)
        assert ("client_key" in query_of(url)) is ok
        if ok:
            assert nango.logins.finish(query_of(consent(url)), COOKIE).ok


def test_scopes_that_the_api_always_needs_are_added() -> None:
    """`default_scopes` come first and only once; offline_access is not reported as missing."""
    auth = {"default_scopes": ["offline_access", "things.read"]}
    with LoginProvider() as provider:
        entry = {**provider.entry(auth), "oauth_scopes": ["things.read", "things.write"]}
        with a_product(entry) as nango:
            outcome = log_in(nango)
            assert provider.authorizations[0]["scope"] == "offline_access things.read things.write"
            assert (outcome.ok, outcome.missing_scopes) == (True, ())


@pytest.mark.parametrize(
    ("pkce", "sent"),
    [("required", True), ("supported", True), ("unsupported", False), (True, True), (False, False)],
)
def test_pkce_is_used_unless_unsupported(pkce: Any, *, sent: bool) -> None:
    """The challenge in the login page and the verifier in the exchange; booleans mean what they did."""
    with (
        LoginProvider(requires_pkce=False) as provider,
        a_product(provider.entry({"pkce": pkce})) as nango,
    ):
        assert log_in(nango).ok
        assert ("code_challenge" in provider.authorizations[0]) is sent
        assert ("code_verifier" in provider.token_calls[0][2]) is sent


class PushedProvider(LoginProvider):
    """Takes the parameters of a login at /par only (RFC 9126)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.routes = {**LoginProvider.routes, "/par": "push"}
        self.pushed: dict[str, dict[str, str]] = {}
        self.push_response: ProviderResponse | None = None

    def push(self, incoming: ProviderRequest) -> ProviderResponse:
        """The pushed authorization request endpoint."""
        if self.push_response is not None:
            return self.push_response
        uri = f"urn:ietf:params:oauth:request_uri:{len(self.pushed)}"
        self.pushed[uri] = incoming.form
        return ProviderResponse(201, {"request_uri": uri, "expires_in": 60})

    def authorize(self, incoming: ProviderRequest) -> ProviderResponse:
        """The login page, with the parameters that were pushed."""
        given = incoming.query
        if incoming.method == "GET":
            assert given.keys() == {"client_id", "request_uri"}
        params = {
            name: value for name, value in self.pushed[given["request_uri"]].items() if "secret" not in name
        }
        target = f"/authorize?{urlencode({**params, 'request_uri': given['request_uri']})}"
        return super().authorize(ProviderRequest(incoming.method, target, incoming.headers, incoming.body))


def test_parameters_are_pushed() -> None:
    """The browser carries only the client id and the reference; the client says who it is at the push."""
    with PushedProvider() as provider:
        entry = provider.entry({"pushed_authorization_url": f"{provider.url}/par"})
        with a_product(entry) as nango:
            assert log_in(nango).ok
            (params,) = provider.pushed.values()
            assert {"state", "code_challenge", "redirect_uri", "scope", "client_secret"} <= params.keys()
            assert stored(nango)["access_token"]


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (ProviderResponse(400, {"error": "invalid_request"}), "exchange_failed"),
        (ProviderResponse(201, {"expires_in": 60}), "exchange_failed"),
        (ProviderResponse(201, {"request_uri": "a b\r\n"}), "exchange_failed"),
        (ProviderResponse(503, {}, {"Retry-After": "60"}), "unavailable"),
    ],
)
def test_a_refused_push_starts_no_login(response: ProviderResponse, code: str) -> None:
    """Nothing is stored, and the browser goes nowhere."""
    from nango_py import ConnectFailed

    with PushedProvider() as provider:
        provider.push_response = response
        entry = provider.entry({"pushed_authorization_url": f"{provider.url}/par"})
        with a_product(entry) as nango, pytest.raises(ConnectFailed) as caught:
            nango.logins.begin("mail", "user-1", browser=COOKIE)
        assert caught.value.code == code
