"""Where a host that a user named may lead: addresses of the public internet, and networks that files allow.

A name is resolved once, every address is checked, and the connection goes to a checked one, so there is no
second look-up that could answer otherwise. `ipaddress.is_global` is not asked: it takes 64:ff9b::7f00:1,
2002:7f00:1::, fec0::1 and 224.0.0.1 for global.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED = {
    "0.0.0.0/8": "this host, RFC 791",
    "10.0.0.0/8": "private use, RFC 1918",
    "100.64.0.0/10": "shared by carriers, RFC 6598",
    "127.0.0.0/8": "loopback, RFC 1122",
    "169.254.0.0/16": "link local, RFC 3927; metadata of clouds",
    "172.16.0.0/12": "private use, RFC 1918",
    "192.0.0.0/24": "protocol assignments, RFC 6890",
    "192.0.2.0/24": "documentation, RFC 5737",
    "192.31.196.0/24": "AS112, RFC 7535",
    "192.52.193.0/24": "AMT, RFC 7450",
    "192.88.99.0/24": "6to4 relays, deprecated, RFC 7526",
    "192.168.0.0/16": "private use, RFC 1918",
    "192.175.48.0/24": "AS112, RFC 7534",
    "198.18.0.0/15": "benchmarks, RFC 2544",
    "198.51.100.0/24": "documentation, RFC 5737",
    "203.0.113.0/24": "documentation, RFC 5737",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved, RFC 1112; the last one is broadcast, RFC 919",
    "::/3": "all that is not global unicast: loopback, IPv4 in IPv6, discard, RFC 4291",
    "4000::/2": "not assigned, RFC 4291",
    "8000::/1": "not assigned, unique local, link local, site local, multicast, RFC 4291 and RFC 4193",
    "2001::/23": "protocol assignments, Teredo among them, RFC 2928 and RFC 4380",
    "2001:db8::/32": "documentation, RFC 3849",
    "2002::/16": "6to4, RFC 3056",
    "2620:4f:8000::/48": "AS112, RFC 7534",
    "3fff::/20": "documentation, RFC 9637",
}
"""What is not of the public internet, and why.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry,
https://www.iana.org/assignments/ipv6-address-space
"""

TRANSLATED = ("64:ff9b::/96",)
"""NAT64 (RFC 6052): how a network without IPv4 writes the public IPv4 addresses."""

COMPATIBLE = ("::/96", "64:ff9b:1::/48")
"""IPv4 in IPv6 that is not of the public internet: a form that is gone, and NAT64 of one's own (RFC 8215)."""


class AddressRefusedError(Exception):
    """A name leads where it may not. Nothing was sent, and no socket was opened."""


@record
class Guard:
    """What the hosts of one connection may lead to.

    Attributes:
        networks: beside the public internet, as integrations.yaml lists them.
        place: "integration/user", for messages.
    """

    networks: tuple[str, ...]
    place: str


def refusal(guard: Guard | None, host: str) -> str:
    """What to say of a host that leads elsewhere. Where it leads is not told: that would map a network."""
    place = f" of {guard.place}" if guard is not None else ""
    return (
        f"[E318] the host {host}{place} is not of the public internet, so nothing was sent; "
        "if it may be called, list its network under requests.allowed_networks in integrations.yaml"
    )


def check_addresses(addresses: Iterable[str], networks: tuple[str, ...]) -> None:
    """Accept the addresses that a name has, each of them.

    Args:
        addresses: as getaddrinfo gives them.
        networks: what is allowed beside the public internet.

    Raises:
        AddressRefusedError: at least one leads elsewhere. A name with a good and a bad one is refused too.
    """
    if all(is_allowed(address, networks) for address in addresses):
        return
    raise AddressRefusedError


def is_allowed(text: str, networks: tuple[str, ...] = ()) -> bool:
    """Whether an address, and each that it stands for, is of the public internet or of the networks."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    allowed, denied = _parsed(networks), _parsed(tuple(DENIED))
    return all(_is_in(part, allowed) or not _is_in(part, denied) for part in _reached(address))


def _reached(address: Address) -> Iterator[Address]:
    """The addresses that a packet to this one may end at: itself, and those that are written in it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or _is_in(address, _parsed(TRANSLATED)):
        yield last  # no more than another spelling of it
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if _is_in(address, _parsed(COMPATIBLE)):
        yield last


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=256)
def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ip_network, networks))
