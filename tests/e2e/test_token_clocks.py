"""Tokens under clocks that jump, or that differ from the provider's."""

from __future__ import annotations

import pytest

from tests.support.fake_clock import ManualClock
from tests.support.oauth_product import a_nango
from tests.support.oauth_token_server import Provider


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 10 * 365 * 86400.0])
def test_a_clock_that_jumps(jump: float) -> None:
    """No expired token is sent, and no jump of the clock causes more than one refresh."""
    real, ours = ManualClock(), ManualClock()
    with Provider("strict", now=real.now, life=7200) as provider, a_nango(provider.url, clock=ours) as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1"))
        mail = nango.executor("mail", "user-1")
        for move in (jump, -jump):
            ours.set_now(ours.now() + move)
            before = len(provider.token_calls)
            for _ in range(20):
                assert mail.get("things").status_code == 200
                assert nango.executor("mail", "user-1").get("things").status_code == 200
            assert len(provider.token_calls) - before <= 1
            for _ in range(150):  # more than a life passes
                real.advance(60)
                ours.advance(60)
                assert mail.get("things").status_code == 200
        assert provider.expired_sent == []
        assert len(provider.token_calls) <= 2 + 4


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 5.0])
def test_a_provider_whose_clock_is_wrong(clock: ManualClock, ahead: float) -> None:
    """An absolute expiry is compared with the provider's clock, known from its Date header."""
    with (
        Provider(now=clock.now, expiry="expires_at", clock_ahead=ahead) as provider,
        a_nango(provider.url, clock=clock) as nango,
    ):
        nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        mail = nango.executor("mail", "user-1")
        for _ in range(130):
            assert mail.get("things").status_code == 200
            clock.advance(30)
        assert provider.expired_sent == []
        assert provider.calls_of("user-1") == ["granted"] * 2
