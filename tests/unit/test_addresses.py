"""Which addresses a host that a user named may lead to."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.transport.addresses import DENIED, AddressRefusedError, check_addresses, is_allowed
from tests.support.host_names import NOT_PUBLIC, ON_THE_INTERNET


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_of_the_internet_is_refused(address: str) -> None:
    """Private, local, reserved and documentation ranges, and IPv6 that means an IPv4 address of one."""
    assert not is_allowed(address)
    with pytest.raises(AddressRefusedError):
        check_addresses([address], ())


@pytest.mark.parametrize("address", ON_THE_INTERNET)
def test_what_is_of_the_internet_is_accepted(address: str) -> None:
    """The neighbours of every range are not blocked with it."""
    assert is_allowed(address)
    check_addresses([address], ())


def test_the_standard_library_alone_would_let_some_through() -> None:
    """The control: `is_global` takes addresses for global that lead to loopback or to a local network."""
    passed = [address for address in NOT_PUBLIC if ipaddress.ip_address(address.partition("%")[0]).is_global]
    assert {"64:ff9b::7f00:1", "2002:7f00:1::", "fec0::1", "224.0.0.1"} <= set(passed)


def test_one_bad_address_refuses_the_name() -> None:
    """A name with a public and a private address is refused whole: nobody chooses which is taken."""
    with pytest.raises(AddressRefusedError):
        check_addresses(["8.8.8.8", "10.0.0.1"], ())


@pytest.mark.parametrize(
    ("address", "networks", "is_ok"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("64:ff9b::10.1.2.3", ("10.0.0.0/8",), True),
        ("192.168.0.1", ("10.0.0.0/8",), False),
        ("127.0.0.1", ("10.0.0.0/8", "127.0.0.0/8"), True),
        ("fd00::1", ("fd00::/8",), True),
        ("8.8.8.8", ("10.0.0.0/8",), True),
        # A tunnel leads to two addresses, and both must be allowed.
        ("2002:a00:1::1", ("10.0.0.0/8",), False),
        ("2002:a00:1::1", ("2002::/16",), False),
        ("2002:a00:1::1", ("2002::/16", "10.0.0.0/8"), True),
        ("2002:808:808::1", ("2002::/16",), True),
        ("64:ff9b:1::7f00:1", ("64:ff9b:1::/48",), False),
        ("64:ff9b:1::808:808", ("64:ff9b:1::/48",), True),
        ("::127.0.0.1", ("::/96",), False),
        ("2001:0:808:808:0:0:80ff:fffe", ("2001::/32",), False),
    ],
)
def test_networks_that_are_listed_are_open(address: str, networks: tuple[str, ...], is_ok: bool) -> None:  # noqa: FBT001 - a column of the table
    """What integrations.yaml lists is allowed beside the internet, in whatever form an address comes."""
    assert is_allowed(address, networks) is is_ok


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_alike_in_every_form(number: int) -> None:
    """Mapped and translated spellings are judged as the address itself; tunnels to it are never open."""
    address = ipaddress.IPv4Address(number)
    plain = is_allowed(str(address))
    assert is_allowed(f"::ffff:{address}") is plain
    assert is_allowed(f"64:ff9b::{address}") is plain
    assert not is_allowed(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80)))
    assert not is_allowed(f"::{address}")


@given(st.integers(0, 2**128 - 1))
def test_nothing_that_the_standard_library_calls_private_is_open(number: int) -> None:
    """Where `ipaddress` sees a private, local or reserved address, so do we."""
    address = ipaddress.IPv6Address(number)
    if address.ipv4_mapped is None and not address.is_global:
        assert not is_allowed(str(address))


def test_every_range_has_its_reason() -> None:
    """The table is of networks without stray bits, each with an RFC."""
    for network, reason in DENIED.items():
        ipaddress.ip_network(network)
        assert "RFC" in reason


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.2.3", "::g"])
def test_what_is_no_address_is_not_allowed(text: str) -> None:
    """A look-up that gives something else than addresses opens nothing."""
    assert not is_allowed(text)
