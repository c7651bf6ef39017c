"""The steps of one call, driven by hand: no socket, no waiting, no store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.call import MAX_REDIRECTS, ApiCall
from nango_py.engine.interfaces import run_sync
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import DeadlineExceeded, RateLimited, TransportFailed
from nango_py.limits.limit_types import Granted, Refused
from nango_py.transport.sendable import Failure
from tests.support.fake_call_io import FakeCallIO
from tests.support.made_values import KEY, FakeResponse, a_plan, an_integration, bound_settings

if TYPE_CHECKING:
    from nango_py.engine.plan import Plan

RESET = Failure("reset", sent=True, text="api.example.test closed the connection")
REFUSED = Failure("connect", sent=False, text="no connection to api.example.test")


class World(FakeCallIO):
    """Makes calls; `last` is the last one."""

    def call(self, plan: Plan | None = None, *, settings: Any = None, **options: Any) -> Any:
        """The response of a call."""
        runtime = IntegrationRuntime(an_integration(retries=settings or {}), self.clock)
        self.last = ApiCall(plan or a_plan(), runtime, self, **options)
        return run_sync(self.last.run())


def test_a_good_call_books_sends_and_settles() -> None:
    """Nothing more happens for a response that comes at once."""
    world = World()
    assert world.call().status_code == 200
    assert world.names == ["acquire", "send", "settle"]
    assert world.steps[2] == ("settle", "ticket 1")


def test_a_booking_is_waited_for_and_confirmed_before_sending() -> None:
    """Order: acquire, wait, confirm, send, settle."""
    world = World(grants=[Granted(2.5, "place")])
    world.call()
    assert world.names == ["acquire", "wait", "confirm", "send", "settle"]
    assert world.values("wait") == [2.5]
    assert world.last.attempts[0].waited == 2.5


def test_a_booking_that_moved_is_waited_for_again() -> None:
    """If a gate closes during the wait, the call waits for it too before sending."""
    world = World(grants=[Granted(1.0, "place")], confirms=[4.0, 0.5, 0.0])
    world.call()
    assert world.names == ["acquire", *["wait", "confirm"] * 3, "send", "settle"]
    assert world.values("wait") == [1.0, 4.0, 0.5]
    assert world.last.attempts[0].waited == 5.5


def test_a_request_that_was_never_sent_releases_its_booking() -> None:
    """A refused connection spends no budget; a lost response spends one."""
    world = World([REFUSED, RESET, FakeResponse(200)])
    world.call()
    ends = [word for word in world.names if word in {"release", "settle"}]
    assert ends == ["release", "settle", "settle"]


def test_a_wait_beyond_the_deadline_is_refused_at_once() -> None:
    """RateLimited has the time and the window, and nothing is sent."""
    world = World(grants=[Refused(300.0, "150/minute")])
    with pytest.raises(RateLimited) as caught:
        world.call()
    assert world.names == ["acquire"]
    assert caught.value.window == "150/minute"
    assert caught.value.retry_at == world.clock.now() + 300.0
    assert caught.value.attempts == ()
    assert "150/minute" in str(caught.value)


def test_the_limiter_knows_how_long_the_call_may_wait() -> None:
    """The patience is the time left until the deadline."""
    world = World([FakeResponse(500), FakeResponse(200)], seconds=4.0)
    world.call(deadline_seconds=60.0)
    patience = world.values("acquire")
    assert patience[0] == 60.0
    assert 55.0 <= patience[1] <= 56.0


def test_a_booking_that_moves_beyond_the_deadline_is_released() -> None:
    """A call that gives up leaves no booking."""
    world = World(grants=[Granted(1.0, "place")], confirms=[500.0])
    with pytest.raises(RateLimited):
        world.call()
    assert world.names == ["acquire", "wait", "confirm", "release"]


@pytest.mark.parametrize(("stopped_at", "ending"), [("wait", "release"), ("send", "settle")])
def test_an_interrupted_call_ends_its_booking(stopped_at: str, ending: str) -> None:
    """Ctrl-C while waiting releases the booking; while sending it counts, because the API may count it."""

    def interrupt(step: str) -> None:
        if step == stopped_at:
            raise KeyboardInterrupt

    world = World(grants=[Granted(1.0, "place")], before=interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.call()
    assert world.steps[-1] == (ending, "place")


def test_a_429_closes_the_gate_for_exactly_the_requested_time() -> None:
    """The call waits at the gate like all others, without a second wait."""
    world = World([FakeResponse(429, {"Retry-After": "7"}), FakeResponse(200)])
    assert world.call().status_code == 200
    assert world.names == [
        "acquire", "send", "settle", "close_gate", "acquire", "wait", "confirm", "send", "settle",
    ]  # fmt: skip
    assert world.values("close_gate", "wait") == [7.0, 7.0]
    first, second = world.last.attempts
    assert (first.action, first.wait, second.waited) == ("wait", 7.0, 7.0)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "1.5"}, None, 1.5),
        (
            {"Retry-After": "Fri, 15 Jan 2027 08:00:09 GMT", "Date": "Fri, 15 Jan 2027 08:00:00 GMT"},
            None,
            9.0,
        ),
        ({}, {"detail": "Request was throttled. Expected available in 56.0 seconds."}, 56.0),
    ],
)
def test_every_kind_of_requested_wait_is_kept(headers: dict[str, str], body: Any, seconds: float) -> None:
    """Whole and decimal seconds, an HTTP date, and the sentence of Klaviyo's old body."""
    world = World([FakeResponse(429, headers, body), FakeResponse(200)])
    world.call()
    waited = world.values("wait")
    assert waited == [pytest.approx(seconds, abs=0.11)]
    assert waited[0] >= seconds - 1e-6 or "Date" in headers


def test_a_requested_wait_beyond_the_deadline_raises_at_once_and_closes_the_gate() -> None:
    """The call does not wait for days, and other calls are held by the gate."""
    world = World([FakeResponse(429, {"Retry-After": "999999"})])
    with pytest.raises(RateLimited) as caught:
        world.call()
    assert world.names == ["acquire", "send", "settle", "close_gate"]
    assert caught.value.response.status_code == 429
    assert caught.value.retry_at == pytest.approx(world.clock.now() + 999999)
    assert len(caught.value.attempts) == 1


def test_a_session_gets_a_final_429_as_a_response() -> None:
    """Third-party code expects a status, not an exception of this package."""
    world = World([FakeResponse(429, {"Retry-After": "999999"})])
    assert world.call(returns_limited=True).status_code == 429


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_an_api_that_is_down_gets_exactly_max_attempts_requests(limit: int) -> None:
    """The last response is returned; there is no second layer of retries."""
    world = World([FakeResponse(503)])
    assert world.call(settings={"max_attempts": limit}).status_code == 503
    assert len(world.plans) == limit
    assert [attempt.number for attempt in world.last.attempts] == list(range(1, limit + 1))
    assert world.last.attempts[-1].action == "fail"


def test_an_api_that_is_down_gets_five_requests_by_default() -> None:
    """The default number of attempts."""
    world = World([FakeResponse(503)])
    world.call()
    assert len(world.plans) == 5


def test_a_429_that_never_ends_is_rate_limited_after_the_last_attempt() -> None:
    """The error has the last response."""
    world = World([FakeResponse(429, {"Retry-After": "1"})])
    with pytest.raises(RateLimited) as caught:
        world.call()
    assert len(world.plans) == 5
    assert caught.value.response.status_code == 429


@pytest.mark.parametrize(
    "outcome", [RESET, Failure("timeout", sent=True, text="no response"), FakeResponse(500)]
)
def test_a_post_whose_response_is_lost_is_sent_once(outcome: Any) -> None:
    """The API may have executed it."""
    world = World([outcome])
    plan = a_plan("POST", json={"n": 1})
    if isinstance(outcome, Failure):
        with pytest.raises(TransportFailed) as caught:
            world.call(plan)
        assert caught.value.reason == outcome.reason
    else:
        assert world.call(plan).status_code == 500
    assert len(world.plans) == 1


def test_a_post_that_was_never_sent_is_retried() -> None:
    """Without a connection the API executed nothing."""
    world = World([REFUSED, FakeResponse(201)])
    assert world.call(a_plan("POST", json={})).status_code == 201


def test_a_post_with_an_idempotency_key_has_the_same_key_on_every_attempt() -> None:
    """The key makes the retry safe."""
    world = World([RESET, FakeResponse(500), FakeResponse(201)])
    world.call(a_plan("POST", json={}, idempotency_header="Idempotency-Key"))
    keys = {plan.headers["idempotency-key"] for plan in world.plans}
    assert len(world.plans) == 3
    assert len(keys) == 1


def test_two_calls_have_two_idempotency_keys() -> None:
    """A key identifies one call."""
    first, second = (a_plan("POST", json={}, idempotency_header="Idempotency-Key") for _ in range(2))
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_a_consumed_stream_is_not_retried() -> None:
    """One attempt, and the rule says why."""
    world = World([FakeResponse(503)])
    plan = a_plan("PUT", data=iter([b"part"]))
    assert world.call(plan).status_code == 503
    assert len(world.plans) == 1
    assert "the body cannot be sent again" in world.last.attempts[-1].rule


def test_a_stream_that_was_not_read_is_retried() -> None:
    """A refused connection reads nothing of it."""
    world = World([REFUSED, FakeResponse(200)])
    assert world.call(a_plan("PUT", data=iter([b"part"]))).status_code == 200


REDIRECTS = [
    (301, "GET", "GET", False),
    (302, "POST", "GET", False),
    (303, "POST", "GET", False),
    (303, "PUT", "GET", False),
    (303, "HEAD", "HEAD", False),
    (307, "POST", "POST", True),
    (308, "PUT", "PUT", True),
    (301, "PUT", "PUT", True),
]


@pytest.mark.parametrize(("status", "method", "then", "keeps_body"), REDIRECTS)
def test_a_redirect_to_the_same_origin_is_followed(
    status: int, method: str, then: str, *, keeps_body: bool
) -> None:
    """Method and body change as RFC 9110 section 15.4 says, and the credential is sent."""
    world = World([FakeResponse(status, {"Location": "/v1/moved?x=1"}), FakeResponse(200)])
    body = {"json": {"n": 1}} if method in {"POST", "PUT"} else {}
    assert world.call(a_plan(method, **body)).status_code == 200
    plan = world.plans[1]
    assert (plan.method, plan.url) == (then, "https://api.example.test/v1/moved?x=1")
    assert plan.endpoint == "moved"
    assert (plan.body is not None) is keeps_body
    assert ("content-type" in plan.headers) is keeps_body
    assert plan.headers["authorization"] == ("Authorization", f"Key {KEY}")
    assert [attempt.action for attempt in world.last.attempts] == ["redirect", "return"]


@pytest.mark.parametrize("redirects", [1, 5])
def test_a_redirect_of_the_first_call_is_followed_at_once(redirects: int) -> None:
    """Other calls wait for the first response of an API without written limits; the first call does not."""
    moved = FakeResponse(302, {"Location": "/v1/moved"})
    world = World([moved] * redirects + [FakeResponse(200)])
    runtime = IntegrationRuntime(an_integration(rate_limits={}), world.clock)
    call, other = (ApiCall(a_plan(), runtime, world) for _ in range(2))
    assert run_sync(call.run()).status_code == 200
    assert world.values("wait") == []
    assert run_sync(other.run()).status_code == 200
    assert world.values("wait") == []


ELSEWHERE = [
    "https://evil.test/v1/things",
    "//evil.test/v1/things",
    "http://api.example.test/v1/things",
    "https://api.example.test:8443/v1/things",
    "https://api.example.test@evil.test/",
    "https://user:pass@api.example.test/v1/",
    "https://api.example.test.evil.test/",
    "\\\\evil.test\\x",
    "ftp://api.example.test/",
    "javascript:alert(1)",
    "https:evil.test",
    "https://[::1/",
]


@pytest.mark.parametrize("location", ELSEWHERE)
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_origin_is_returned_and_not_followed(location: str, status: int) -> None:
    """Neither the credential nor the body reaches another origin."""
    world = World([FakeResponse(status, {"Location": location}), FakeResponse(200)])
    response = world.call(a_plan("POST", json={"n": 1}))
    assert all(plan.url.startswith("https://api.example.test/") for plan in world.plans)
    if len(world.plans) == 1:
        assert response.status_code == status


def test_the_redirect_test_notices_a_followed_redirect() -> None:
    """Control: a redirect to an allowed host is followed, so those above are refused for their origin."""
    bound = bound_settings(an_integration(allowed_hosts=("evil.test",)))
    world = World([FakeResponse(302, {"Location": ELSEWHERE[0]}), FakeResponse(200)])
    world.call(a_plan(settings=bound))
    assert world.plans[1].url == ELSEWHERE[0]


def test_a_redirect_loop_ends() -> None:
    """Five hops are followed, the sixth is an error; redirects do not use up attempts."""
    world = World([FakeResponse(302, {"Location": "/v1/again"})])
    with pytest.raises(TransportFailed) as caught:
        world.call()
    assert caught.value.reason == "redirects"
    assert len(world.plans) == MAX_REDIRECTS + 1


def test_redirects_do_not_count_as_attempts() -> None:
    """After a hop the same number of attempts is left."""
    world = World([FakeResponse(302, {"Location": "/v1/b"}), FakeResponse(503)])
    world.call(settings={"max_attempts": 3})
    assert len(world.plans) == 4


def test_a_redirect_without_a_location_is_returned() -> None:
    """There is nothing to follow."""
    assert World([FakeResponse(304)]).call().status_code == 304
    assert World([FakeResponse(302)]).call().status_code == 302


def test_a_redirect_that_needs_a_consumed_body_is_not_followed() -> None:
    """The stream is consumed, so the redirect is returned."""
    world = World([FakeResponse(307, {"Location": "/v1/b"})])
    assert world.call(a_plan("POST", data=iter([b"x"]))).status_code == 307
    assert len(world.plans) == 1


def test_one_deadline_covers_everything() -> None:
    """Attempts and waits share it, and each attempt may take only what is left."""
    world = World(
        [Failure("timeout", sent=True, text="no response from api.example.test in time")], seconds=25.0
    )
    with pytest.raises(DeadlineExceeded):
        world.call(deadline_seconds=60.0)
    assert [round(seconds) for _, seconds in world.values("send")][:1] == [30]
    assert world.values("send")[-1][1] < 30.0
    assert len(world.plans) <= 3


def test_a_deadline_that_passes_while_waiting_sends_nothing() -> None:
    """The booking is released."""
    world = World(grants=[Granted(1.0, "place")])
    world.before = lambda step: world.clock.advance(100) if step == "confirm" else None
    with pytest.raises(DeadlineExceeded):
        world.call(deadline_seconds=60.0)
    assert world.names == ["acquire", "wait", "confirm", "release"]


def test_a_response_that_cannot_be_retried_in_time_is_returned() -> None:
    """A 500 near the deadline is a response, not an exception."""
    world = World([FakeResponse(500)], seconds=59.9999)
    assert world.call(deadline_seconds=60.0, settings={"backoff": {"base_seconds": 60}}).status_code == 500


def test_errors_carry_the_plan_and_the_attempts() -> None:
    """The error says what failed, with the credential masked."""
    world = World([Failure("tls", sent=False, text="no trusted TLS connection to api.example.test")])
    with pytest.raises(TransportFailed) as caught:
        world.call()
    error = caught.value
    assert str(error).startswith("shop GET /things: no trusted TLS connection to api.example.test")
    assert error.plan.endpoint == "things"
    assert [attempt.reason for attempt in error.attempts] == ["tls"]
    assert KEY not in f"{error!r} {error} {error.plan} {error.plan!r} {error.attempts}"
    assert error.__cause__ is None
    assert error.__context__ is None


def test_an_attempt_records_what_happened() -> None:
    """It has number, status, duration, waits, bytes and the rule."""
    world = World([FakeResponse(500), FakeResponse(200, body={"ok": True})], seconds=0.25)
    world.call()
    first, second = world.last.attempts
    assert (first.number, first.status, first.action, first.seconds) == (1, 500, "retry", 0.25)
    assert first.rule == "built-in: 500"
    assert 0 <= first.wait <= 0.5
    assert (second.number, second.status, second.action, second.waited) == (2, 200, "return", first.wait)
    assert second.received == len(b'{"ok": true}')
    assert second.endpoint == "things"
