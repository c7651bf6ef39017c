"""Proxies in files: what is one, who may name it, and that its password shows nowhere."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from nango_py import ConfigError, Nango
from nango_py.config.urls.proxy import parse_proxy
from nango_py.transport.proxy_tunnel import Proxy, is_local
from tests.support.sandbox_product import ENCRYPTION_KEY

PASSWORD = "planted-proxy-password"
PROXY = f"http://user:{PASSWORD}@proxy.example.test:3128"


def a_nango(config: dict[str, Any] | None = None, environ: Any = None, **requests: Any) -> Nango:
    """A product with the integration `shop`."""
    entry = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": "https://api.example.test/",
            "headers": {"Authorization": "Key ${api_key}"},
            **requests,
        },
    }
    return Nango(
        {"integrations": {"shop": entry}, "config": config or {}},
        database_url="sqlite:///:memory:",
        encryption_keys=ENCRYPTION_KEY,
        environ=environ or {},
    )


def proxy_in(nango: Nango) -> str:
    """The address of the proxy that the integration uses, "" for none."""
    found = nango.configuration.integrations["shop"].requests.proxy
    return found.reveal() if found is not None else ""


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://proxy.example.test:3128", ("proxy.example.test", 3128, "", "")),
        ("http://proxy/", ("proxy", 80, "", "")),
        ("HTTP://10.0.0.1:8080", ("10.0.0.1", 8080, "", "")),
        ("http://[fd00::1]:3128", ("fd00::1", 3128, "", "")),
        ("http://user@proxy:1", ("proxy", 1, "user", "")),
        ("http://us%40er:p%3Aw%2F@proxy:1", ("proxy", 1, "us@er", "p:w/")),
        ("https://proxy:3128", None),
        ("socks5://proxy:1080", None),
        ("proxy:3128", None),
        ("http://proxy:99999", None),
        ("http://proxy:0", None),
        ("http://proxy:3128/path", None),
        ("http://user:a%0d%0ab@proxy", None),
        ("http://a@b@proxy", None),
        ("http://", None),
        ("", None),
    ],
)
def test_the_address_of_a_proxy_is_read(url: str, parts: tuple[Any, ...] | None) -> None:
    """A plain http proxy with or without a login is accepted, everything else refused."""
    assert parse_proxy(url) == parts


def test_the_entry_counts_more_than_the_file() -> None:
    """An integration takes its own proxy, the general one, or none."""
    general = {"proxy_url": "http://general:3128"}
    assert proxy_in(a_nango()) == ""
    assert proxy_in(a_nango(general)) == "http://general:3128"
    assert proxy_in(a_nango(general, proxy_url="http://own:3128")) == "http://own:3128"
    assert proxy_in(a_nango(general, proxy_url="direct")) == ""


def test_the_environment_names_a_proxy_only_where_the_file_says_so() -> None:
    """`HTTPS_PROXY` alone does nothing; `${HTTPS_PROXY}` in the file takes it."""
    environ = {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}
    assert proxy_in(a_nango(environ=environ)) == ""
    assert proxy_in(a_nango(environ=environ, proxy_url="${HTTPS_PROXY}")) == PROXY
    assert proxy_in(a_nango({"proxy_url": "${HTTPS_PROXY}"}, environ)) == PROXY


@pytest.mark.parametrize("place", ["config", "requests"])
def test_what_is_no_proxy_is_refused_without_its_text(place: str) -> None:
    """The message says what is expected, and not the password that stands in the wrong address."""
    wrong = PROXY.replace("http:", "socks5:")
    with pytest.raises(ConfigError, match=r"E204.*not a proxy URL; expected http://") as caught:
        _ = (a_nango({"proxy_url": wrong}) if place == "config" else a_nango(proxy_url=wrong)).configuration
    assert PASSWORD not in str(caught.value)


def test_a_proxy_and_hosts_of_users_do_not_go_together() -> None:
    """The proxy would look the name up, and nothing could be checked; `direct` is the way out."""
    fields = {"properties": {"host": {"type": "string", "format": "host"}}}
    entry = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://${additional_config.host}/", "headers": {"X": "${api_key}"}},
        "connection_config": fields,
    }
    direct = copy.deepcopy(entry)
    direct["requests"]["proxy_url"] = "direct"  # type: ignore[index]  # a mapping, as above
    config = {"proxy_url": PROXY}
    with pytest.raises(ConfigError, match=r"E321.*requests\.proxy_url: direct") as caught:
        _ = Nango({"integrations": {"git": entry}, "config": config}, environ={}).configuration
    assert PASSWORD not in str(caught.value)
    assert Nango({"integrations": {"git": direct}, "config": config}, environ={}).configuration


def test_a_blueprint_may_not_name_a_proxy(tmp_path: Any) -> None:
    """A file from elsewhere cannot send calls by way of a machine of its choice."""
    text = (
        "name: shop\nversion: v1\nauth: {auth_mode: API_KEY}\nrequests:\n"
        f"  base_url: https://api.example.com/\n  proxy_url: {PROXY}\n"
    )
    (tmp_path / "shop.v1.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"6:3: error\[E320\]: a blueprint may not name a proxy") as caught:
        _ = Nango({"shop": {"extends_blueprint": "shop:v1"}}, blueprints=tmp_path, environ={}).configuration
    assert PASSWORD not in str(caught.value)


def test_the_password_shows_nowhere() -> None:
    """Neither in settings that are printed, nor in reprs, nor in plans."""
    nango = a_nango({"proxy_url": PROXY}, proxy_url=PROXY)
    with nango:
        nango.register_connection("shop", "user-1", {"api_key": "k"})
        integration = nango.configuration.integrations["shop"]
        plan = nango.executor("shop", "user-1").plan("GET", "x")
        seen = [
            repr(nango.configuration),
            repr(integration),
            str(integration.settings["requests"]["proxy_url"]),
        ]
        seen += [
            repr(integration.requests),
            repr(plan),
            str(plan),
            repr(plan.settings),
            repr(plan.settings.proxy),
        ]
        assert not [text for text in seen if PASSWORD in text]
        assert PASSWORD in plan.settings.secrets
    with pytest.raises(TypeError):
        pickle.dumps(Proxy(PROXY))


def test_a_proxy_is_known_by_address_and_login() -> None:
    """Two logins at one proxy are two proxies, whose connections are kept apart."""
    assert Proxy(PROXY) == Proxy(PROXY) != Proxy(PROXY.replace("user", "other"))
    assert hash(Proxy(PROXY)) == hash(Proxy(PROXY))
    assert Proxy("http://proxy:1").headers() == {}
    assert Proxy("http://a:b@proxy:1").headers() == {"Proxy-Authorization": "Basic YTpi"}


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("api.example.com", False),
        ("127.example.com", False),
        ("10.0.0.1", False),
    ],
)
def test_this_machine_is_reached_without_a_proxy(host: str, is_so: bool) -> None:  # noqa: FBT001 - a column of the table
    """Sandboxes and local servers are not the proxy's."""
    assert is_local(host) is is_so
