"""Which addresses a host that a user named may resolve to."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.transport.addresses import DENIED, AddressRefusedError, check_addresses, is_allowed
from tests.support.host_names import NOT_PUBLIC, ON_THE_INTERNET


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_outside_the_public_internet_is_refused(address: str) -> None:
    """Private, local, reserved and documentation ranges, and IPv6 addresses that embed one of those."""
    assert not is_allowed(address)
    with pytest.raises(AddressRefusedError):
        check_addresses([address], ())


@pytest.mark.parametrize("address", ON_THE_INTERNET)
def test_a_public_address_is_accepted(address: str) -> None:
    """The neighbours of every range are not blocked with it."""
    assert is_allowed(address)
    check_addresses([address], ())


def test_the_standard_library_alone_would_let_some_through() -> None:
    """The control: for `is_global`, some addresses are global that lead to loopback or to a local network."""
    passed = [address for address in NOT_PUBLIC if ipaddress.ip_address(address.partition("%")[0]).is_global]
    assert {"64:ff9b::7f00:1", "224.0.0.1"} <= set(passed)


def test_one_bad_address_refuses_the_name() -> None:
    """A name with a public and a private address is refused, because either could be connected to."""
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
def test_listed_networks_are_allowed(address: str, networks: tuple[str, ...], is_ok: bool) -> None:  # noqa: FBT001 - a column of the table
    """Networks of integrations.yaml are allowed besides the internet, in every notation of an address."""
    assert is_allowed(address, networks) is is_ok


@given(st.integers(0, 2**32 - 1))
def test_every_notation_of_an_ipv4_address_is_judged_alike(number: int) -> None:
    """Mapped and translated addresses are judged as the address itself; tunnels to it are never allowed."""
    address = ipaddress.IPv4Address(number)
    plain = is_allowed(str(address))
    assert is_allowed(f"::ffff:{address}") is plain
    assert is_allowed(f"64:ff9b::{address}") is plain
    assert not is_allowed(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80)))
    assert not is_allowed(f"::{address}")


@given(st.integers(0, 2**128 - 1))
def test_no_address_that_the_standard_library_calls_private_is_allowed(number: int) -> None:
    """Private, local and reserved addresses according to `ipaddress` are refused."""
    address = ipaddress.IPv6Address(number)
    if address.ipv4_mapped is None and not address.is_global:
        assert not is_allowed(str(address))


def test_every_range_has_its_reason() -> None:
    """The keys are valid networks, and each reason names an RFC."""
    for network, reason in DENIED.items():
        ipaddress.ip_network(network)
        assert "RFC" in reason


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.2.3", "::g"])
def test_an_invalid_address_is_not_allowed(text: str) -> None:
    """A lookup that returns something else than addresses allows nothing."""
    assert not is_allowed(text)
