"""Hosts that users may try, the addresses behind them, and an eye on every socket that connects."""

from __future__ import annotations

import contextlib
import socket
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from nango_py.config.model import UserHosts
from tests.support.made_values import a_connection, a_plan, an_integration, bound_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.engine.plan import Plan

PUBLIC = "93.184.216.34"

NO_HOSTS = [
    # Addresses, in the spellings that resolvers take.
    "127.0.0.1", "127.1", "127.0.1", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1",
    "017700000001", "0", "0.0.0.0", "[::1]", "::1", "[::]", "[::ffff:127.0.0.1]",  # noqa: S104 - nothing is bound
    "[64:ff9b::7f00:1]",
    "[fe80::1%25eth0]", "169.254.169.254", "0xa9fea9fe", "2852039166", "10.0.0.1", "192.168.0.1:8080",
    "999.999.999.999", "a.b.1", "example.0x7f", "\u2460\u2461\u2466.0.0.1", "\uff11\uff12\uff17.0.0.1",
    "127.0.0.1.", "localhost.", "8.8.8.8",
    # What moves the host of a URL.
    "evil.com#", "evil.com/", "evil.com?", "evil.com\\", "x@evil.com", "u:p@evil.com", "x@evil.com/",
    "evil.com#@gitlab.com", "evil.com\\@gitlab.com", "evil.com:80@gitlab.com", "https://evil.com",
    "//evil.com", "evil.com/..", "evil.com;a", "evil.com,evil.org", "evil.com%2f", "evil%2ecom", "%00",
    # Invalid ports.
    "evil.com:", "evil.com:0", "evil.com:65536", "evil.com:0443", "evil.com:8x", "evil.com:-1", ":443",
    "evil.com:443:443", "evil.com:\u0661",
    # Invalid names.
    "", ".", "..", "a..b", ".a", "a.", "-a.com", "a-.com", "a_b.com", "*.evil.com", "a b.com", " evil.com",
    "evil.com ", "evil.com\n", "evil.com\r\nHost: x", "evil.com\t", "evil.com\x00", "\u00fc.com",
    "evil\u3002com", "\u212aevil.com", "evil\u00ad.com", f"{'a' * 64}.com", f"{'a.' * 127}com",
]  # fmt: skip

HOSTS = {
    "gitlab.com": "gitlab.com",
    "GitLab.Example.COM": "gitlab.example.com",
    "git.acme.co.uk:8443": "git.acme.co.uk:8443",
    "gitlab": "gitlab",
    "localhost:3000": "localhost:3000",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "3com.com": "3com.com",
    "a1.b2.c3.io:65535": "a1.b2.c3.io:65535",
    f"{'a' * 63}.com": f"{'a' * 63}.com",
}
"""What may be typed, and how it is kept."""

NOT_PUBLIC = [
    # The first, the last or a well-known one of each range.
    "0.0.0.0", "0.1.2.3",  # noqa: S104 - nothing is bound
    "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.64.0.1", "100.127.255.255",
    "127.0.0.1", "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.100.100.200",
    "::", "::1", "100::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%lo", "febf::1",
    "fec0::1", "ff02::1", "ff0e::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1",
    "5f00::1", "4000::1", "200::1",
    # IPv4 in IPv6: mapped, NAT64, 6to4, Teredo, compatible, translated.
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808",
    "64:ff9b:1:a00:0:100::", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1",
    "2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe", "::7f00:1", "::127.0.0.1", "::10.0.0.1",
    "::ffff:0:7f00:1",
]  # fmt: skip

ON_THE_INTERNET = [
    "1.1.1.1", "8.8.8.8", PUBLIC, "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:80e::200e", "2600::1", "2001:200::1",
    "2003::1", "64:ff9b::808:808", "::ffff:8.8.8.8",
]  # fmt: skip

REAL_HOSTS = [
    "a.klaviyo.com", "api.close.com", "slack.com", "harvest.greenhouse.io", "www.googleapis.com",
    "gmail.googleapis.com", "api.github.com", "api.hubapi.com", "api.atlassian.com",
    "acme.my.salesforce.com", "login.salesforce.com", "api.xero.com", "api.trello.com", "api.x.com",
    "api.stripe.com", "acme.myshopify.com", "acme.zendesk.com", "s3.eu-central-1.amazonaws.com",
    "1234567.suitetalk.api.netsuite.com", "gitlab.com", "jira.acme-corp.com", "acme.atlassian.net",
    "support.acme.io", "git.acme.co.uk:8443", "gitea.com", "codeberg.org", "gitlab.gnome.org",
    "gitlab.freedesktop.org", "invent.kde.org", "salsa.debian.org", "mastodon.social",
    "discourse.mozilla.org", "sentry.io", "acme.freshdesk.com", "acme.okta.com", "eu1.app.sysdig.com",
    "api.eu.mailgun.net", "acme.service-now.com", "acme.looker.com:19999", "acme.cloud.looker.com",
    "nextcloud.acme.de", "xn--bcher-kva.example", "graph.microsoft.com", "acme.sharepoint.com",
    "acme.crm4.dynamics.com", "acme.api.crm.dynamics.com", "confluence.acme.org", "bitbucket.acme.com:7443",
    "rocket.chat", "matrix.org", "acme.zammad.com", "help.acme.museum",
]  # fmt: skip


def addresses_of(*addresses: str) -> Any:
    """A look-up that gives these addresses for every name."""

    def look_up(_host: str, port: int) -> list[Any]:
        return [_information(address, port) for address in addresses]

    return look_up


def flipping(first: str, then: str) -> Any:
    """A look-up that gives one address the first time and another from then on; `asked` has the names."""

    def look_up(host: str, port: int) -> list[Any]:
        look_up.asked.append(host)  # type: ignore[attr-defined]  # a list on the function
        return [_information(first if len(look_up.asked) == 1 else then, port)]  # type: ignore[attr-defined]

    look_up.asked = []  # type: ignore[attr-defined]
    return look_up


def _information(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


def a_plan_to(
    host: str, *, networks: tuple[str, ...] = (), scheme: str = "https", guarded: bool = True, **call: Any
) -> Plan:
    """A plan whose host the user named; not guarded, it is one that the file named."""
    settings: dict[str, Any] = {"connect_seconds": 1.0, "read_seconds": 2.0, "total_seconds": 3.0}
    if not guarded:
        return a_plan(settings=bound_settings(an_integration(f"{scheme}://{host}/api/", **settings)), **call)
    hosts = UserHosts({"additional_config.host": "host"}, networks)
    url = scheme + "://${additional_config.host}/api/"
    bound = bound_settings(
        an_integration(url, user_hosts=hosts, **settings), a_connection(additional_config={"host": host})
    )
    return a_plan(settings=bound, **call)


def plain(address: str) -> str:
    """An address in the one spelling that comparisons need."""
    return str(ip_address(address))


_WATCHED: list[list[str]] = []


def _see(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not _WATCHED or not isinstance(arguments[1], tuple):
        return
    _WATCHED[-1].append(plain(arguments[1][0]))
    raise ConnectionRefusedError


sys.addaudithook(_see)


@contextlib.contextmanager
def no_network() -> Iterator[list[str]]:
    """The addresses to which this process tries to connect in this block; every attempt fails."""
    seen: list[str] = []
    _WATCHED.append(seen)
    try:
        yield seen
    finally:
        _WATCHED.remove(seen)
