"""Which addresses a host that a user named may resolve to: the public internet and allowed networks.

A name is resolved once, all its addresses are checked, and the connection is made to a checked address, so no
second lookup can return another one. `ipaddress.is_global` is not used: for it, 64:ff9b::7f00:1,
2002:7f00:1::, fec0::1 and 224.0.0.1 are global.
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
    "0.0.0.0/8": "this network, RFC 791",
    "10.0.0.0/8": "private use, RFC 1918",
    "100.64.0.0/10": "carrier-grade NAT, RFC 6598",
    "127.0.0.0/8": "loopback, RFC 1122",
    "169.254.0.0/16": "link local, cloud metadata services, RFC 3927",
    "172.16.0.0/12": "private use, RFC 1918",
    "192.0.0.0/24": "protocol assignments, RFC 6890",
    "192.0.2.0/24": "documentation, RFC 5737",
    "192.31.196.0/24": "AS112, RFC 7535",
    "192.52.193.0/24": "AMT, RFC 7450",
    "192.88.99.0/24": "6to4 relays, deprecated, RFC 7526",
    "192.168.0.0/16": "private use, RFC 1918",
    "192.175.48.0/24": "AS112, RFC 7534",
    "198.18.0.0/15": "benchmarking, RFC 2544",
    "198.51.100.0/24": "documentation, RFC 5737",
    "203.0.113.0/24": "documentation, RFC 5737",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved, RFC 1112; broadcast, RFC 919",
    "::/3": "not global unicast: loopback, IPv4 in IPv6, discard, RFC 4291",
    "4000::/2": "unassigned, RFC 4291",
    "8000::/1": "unassigned, unique local, link local, site local, multicast, RFC 4291 and RFC 4193",
    "2001::/23": "protocol assignments including Teredo, RFC 2928 and RFC 4380",
    "2001:db8::/32": "documentation, RFC 3849",
    "2002::/16": "6to4, RFC 3056",
    "2620:4f:8000::/48": "AS112, RFC 7534",
    "3fff::/20": "documentation, RFC 9637",
}
"""Networks that do not belong to the public internet, and why.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry,
https://www.iana.org/assignments/ipv6-address-space
"""

NAT64 = ("64:ff9b::/96",)
"""How a network without IPv4 writes public IPv4 addresses (RFC 6052)."""

EMBEDDING_IPV4 = ("::/96", "64:ff9b:1::/48")
"""Non-public addresses that end in an IPv4 address: a deprecated notation, and local NAT64 (RFC 8215)."""


class AddressRefusedError(Exception):
    """The host resolves to a network that is not allowed. No socket was opened."""


@record
class Guard:
    """The networks that the hosts of one connection may resolve to.

    Attributes:
        networks: allowed besides the public internet, as listed in integrations.yaml.
        place: "integration/user", for messages.
    """

    networks: tuple[str, ...]
    place: str


def blocked_message(guard: Guard | None, host: str) -> str:
    """The message for a refused host. It does not name the address: that would map a network for its user."""
    place = "" if guard is None else f" of {guard.place}"
    return (
        f"[E318] the host {host}{place} is not on the public internet, so nothing was sent; "
        "to allow it, list its network under requests.allowed_networks in integrations.yaml"
    )


def check_addresses(addresses: Iterable[str], networks: tuple[str, ...]) -> None:
    """Check all addresses that a host resolves to.

    Args:
        addresses: as getaddrinfo returns them.
        networks: allowed besides the public internet.

    Raises:
        AddressRefusedError: at least one address is not allowed.
    """
    if not all(is_allowed(address, networks) for address in addresses):
        raise AddressRefusedError


def is_allowed(text: str, networks: tuple[str, ...] = ()) -> bool:
    """Whether an address and those embedded in it are on the public internet or in the given networks."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    allowed, denied = _parse_networks(networks), _parse_networks(tuple(DENIED))
    return all(_is_in(part, allowed) or not _is_in(part, denied) for part in _destinations(address))


def _destinations(address: Address) -> Iterator[Address]:
    """The addresses at which a packet to this one may arrive: itself, and those embedded in it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or _is_in(address, _parse_networks(NAT64)):
        yield embedded  # only another notation for it
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if _is_in(address, _parse_networks(EMBEDDING_IPV4)):
        yield embedded


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=256)
def _parse_networks(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ip_network, networks))
