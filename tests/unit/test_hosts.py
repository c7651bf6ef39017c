"""Fields of a connection that may be the whole host of a URL: where, and with which values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py import ConfigError, Nango
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.urls.base_url import check_base_url, render_url
from nango_py.config.urls.hosts import normalize_host
from nango_py.engine.bound_settings import origin_of
from tests.support.host_names import HOSTS, NO_HOSTS, REAL_HOSTS
from tests.support.sandbox_product import ENCRYPTION_KEY

FIELDS = {"additional_config.host": "host", "additional_config.url": "origin"}
HOST = "https://${additional_config.host}/api/v4/"
URL = "${additional_config.url}/services/data/"
PROPERTIES: dict[str, Any] = {
    "host": {"type": "string", "format": "host"},
    "url": {"type": "string", "format": "origin"},
}


def rendered(template: str, **values: str) -> str:
    """The URL of a connection with these values."""
    return render_url(compile_template(template), {"additional_config": values}, FIELDS)


@pytest.mark.parametrize("value", NO_HOSTS, ids=range(len(NO_HOSTS)))
def test_what_is_no_host_is_refused_twice(value: str) -> None:
    """At registration and when the URL is made: addresses, paths, users, and malformed names."""
    with pytest.raises(ConfigError, match=r"E317.*additional_config\.host (is not a host|contains)"):
        check_additional_config({"properties": PROPERTIES}, {"host": value}, "gitlab/user-1")
    with pytest.raises(TemplateProblem) as caught:
        rendered(HOST, host=value)
    assert caught.value.code in {"E305", "E314"}
    assert caught.value.__context__ is None
    assert len(value) < 4 or value not in str(caught.value)
    assert normalize_host(f"https://{value}", "origin") in {"", f"https://{value.lower().removesuffix('/')}"}


@pytest.mark.parametrize(("value", "kept"), HOSTS.items(), ids=range(len(HOSTS)))
def test_a_host_is_kept_in_its_usual_form(value: str, kept: str) -> None:
    """Lower case, with its port; an origin also loses the slash behind it."""
    given = {"host": value, "url": f"HTTPS://{value}/"}
    found = check_additional_config({"properties": PROPERTIES}, given, "gitlab/user-1")
    assert found == {"host": kept, "url": f"https://{kept}"}
    assert rendered(HOST, host=value) == f"https://{kept}/api/v4/"
    assert rendered(URL, url=f"https://{value}") == f"https://{kept}/services/data/"


@pytest.mark.parametrize("host", REAL_HOSTS)
def test_real_hosts_are_hosts(host: str) -> None:
    """None of those that people really use is refused."""
    assert normalize_host(host, "host") == host
    assert normalize_host(f"https://{host}/", "origin") == f"https://{host}"


@pytest.mark.parametrize(
    "value",
    [
        "http://a.example",
        "https://",
        "https:///a.example",
        "https://a.example/x",
        "https://a.example//",
        "https://a.example?x",
        "https://a.example#",
        "https://u@a.example",
        "a.example",
        "ftp://a.example",
        "https://127.0.0.1",
        "https://[::1]",
        "https:/a.example",
        "https:\\\\a.example",
        " https://a.example",
    ],
)
def test_what_is_no_origin_is_refused(value: str) -> None:
    """https, a name and perhaps a port, and nothing else."""
    with pytest.raises(ConfigError, match=r"additional_config\.url is not an origin; expected https://"):
        check_additional_config({"properties": PROPERTIES}, {"url": value}, "gitlab/user-1")
    with pytest.raises(TemplateProblem):
        rendered(URL, url=value)


@given(st.text(max_size=40))
def test_whatever_the_value_the_path_stays_the_files(value: str) -> None:
    """A URL is refused, or its origin is the value and its path is the file's."""
    try:
        url = rendered(HOST, host=value)
    except TemplateProblem:
        return
    assert url == f"https://{value.lower()}/api/v4/"
    assert origin_of(url)[1] == value.lower().partition(":")[0]


@pytest.mark.parametrize(
    "template",
    [
        HOST,
        URL,
        "https://${additional_config.host}",
        "https://${additional_config.host}:8443/x",
        "${additional_config.url}",
        "HTTPS://${additional_config.host}/",
        "https://${additional_config.host | default('gitlab.com')}/api/",
    ],
)
def test_a_declared_field_may_be_the_whole_host(template: str) -> None:
    """Alone behind https://, or in the place of the whole origin."""
    check_base_url(compile_template(template), fields=FIELDS)


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("https://${additional_config.other}/", "E304"),
        ("https://${user_id}/", "E304"),
        ("https://${additional_config.host or user_id}/", "E304"),
        ("https://${additional_config.host}${additional_config.host}/", "E304"),
        ("https://x${additional_config.host}/", "E304"),
        ("https://${additional_config.host}.com/", "E304"),
        ("https://${additional_config.host}@gitlab.com/", "E303"),
        ("https://u@${additional_config.host}/", "E303"),
        ("https://${additional_config.host}:${additional_config.port}/", "E304"),
        ("http://${additional_config.host}/", "E302"),
        ("https://${additional_config.url}/", "E304"),
        ("${additional_config.host}/", "E304"),
        ("${additional_config.url}.example.com/", "E304"),
        ("${additional_config.url}:443/", "E304"),
        ("${additional_config.url}${user_id}/", "E304"),
        ("${additional_config.other}/", "E304"),
        ("x${additional_config.url}/", "E301"),
        ("https://${additional_config.host}/../x", "E316"),
        ("https://${additional_config.host}?x=1", "E301"),
    ],
)
def test_every_other_place_stays_closed(template: str, code: str) -> None:
    """What is not declared, or not the whole host, is refused when the file is read."""
    with pytest.raises(TemplateProblem) as caught:
        check_base_url(compile_template(template), fields=FIELDS)
    assert caught.value.code == code


def test_without_the_declaration_nothing_is_open() -> None:
    """The control: the same templates are refused at load, and the same values at rendering."""
    for template in (HOST, URL):
        with pytest.raises(TemplateProblem, match="a variable may not be the whole host"):
            check_base_url(compile_template(template))
    with pytest.raises(TemplateProblem, match="not one DNS label"):
        render_url(compile_template(HOST), {"additional_config": {"host": "gitlab.com"}})


def test_a_port_of_the_file_leaves_none_to_the_user() -> None:
    """Two ports make no host."""
    template = "https://${additional_config.host}:8443/x"
    assert rendered(template, host="a.example") == "https://a.example:8443/x"
    with pytest.raises(TemplateProblem, match="do not form a host"):
        rendered(template, host="a.example:443")


def entry(**changes: Any) -> dict[str, Any]:
    """An integration whose users name the host."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": "https://${additional_config.host}/api/",
            "headers": {"Authorization": "${api_key}"},
            **changes.pop("requests", {}),
        },
        "connection_config": {"properties": {"host": {"type": "string", "format": "host", **changes}}},
    }


def a_nango(settings: dict[str, Any], **more: Any) -> Nango:
    """A product with the integration `git`."""
    return Nango(
        {"git": settings},
        database_url="sqlite:///:memory:",
        encryption_keys=ENCRYPTION_KEY,
        environ={},
        **more,
    )


def test_the_host_of_a_connection_is_stored_in_its_usual_form() -> None:
    """Registered, replaced or changed: what is stored is what calls go to."""
    with a_nango(entry()) as nango:
        nango.register_connection("git", "u", {"api_key": "k"}, {"host": "Git.Example.COM:8443"})
        assert nango.connection("git", "u")["additional_config"] == {"host": "git.example.com:8443"}
        assert nango.executor("git", "u").base_url == "https://git.example.com:8443/api/"
        nango.update_connection_config("git", "u", {"host": "OTHER.example.com"})
        assert nango.executor("git", "u").base_url == "https://other.example.com/api/"
        with pytest.raises(ConfigError, match="is not a host"):
            nango.update_connection_config("git", "u", {"host": "127.0.0.1"})


def test_a_value_of_other_times_is_looked_at_again() -> None:
    """A connection that was stored before the field was a host is refused when it is used."""
    with a_nango(entry()) as nango:
        nango.store.create("git", "u", {"api_key": "k"}, {"host": "evil.com#"})
        with pytest.raises(ConfigError, match=r'git/u: error\[E305\]: requests.base_url: "additional_config'):
            nango.executor("git", "u")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (entry(format="url"), "E204"),
        (entry(type="integer"), r"E204.*a host must be"),
        (entry(default="https://gitlab.com"), r"E204.*not a host"),
        (entry(requests={"allowed_networks": ["10.0.0.1/8"]}), r'E204.*"10.0.0.1/8" is not a network'),
        (entry(requests={"allowed_networks": ["10.0.0.0"]}), "a network such as 10.0.0.0/8"),
        (entry(requests={"allowed_networks": "10.0.0.0/8"}), "E20[15]"),
        (entry(requests={"allowed_networks": ["fd00::/200"]}), "network"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_a_wrong_declaration_is_named(settings: dict[str, Any], says: str) -> None:
    """An unknown format, a number as a host, an invalid default, and an invalid network."""
    with pytest.raises(ConfigError, match=says):
        _ = a_nango(settings).configuration


def test_a_blueprint_may_not_open_networks(tmp_path: Any) -> None:
    """Which private networks may be called is not for a file from elsewhere to say."""
    text = (
        "name: git\nversion: v1\nauth: {auth_mode: API_KEY}\nrequests:\n"
        "  base_url: https://git.example.com/\n  allowed_networks: [10.0.0.0/8]\n"
    )
    (tmp_path / "git.v1.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"6:3: error\[E320\]: a blueprint may not open networks"):
        _ = a_nango({"extends_blueprint": "git:v1"}, blueprints=tmp_path).configuration


def test_the_versions_of_a_blueprint_may_not_either(tmp_path: Any) -> None:
    """The original's form is looked through as well."""
    text = (
        "name: git\nversions:\n  v1:\n    auth: {auth_mode: API_KEY}\n    requests:\n"
        "      base_url: https://git.example.com/\n      allowed_networks: [10.0.0.0/8]\n"
    )
    (tmp_path / "git.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"7:7: error\[E320\]"):
        _ = a_nango({"extends_blueprint": "git:v1"}, blueprints=tmp_path).configuration
