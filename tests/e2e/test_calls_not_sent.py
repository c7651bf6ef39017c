"""A call that fails before its first attempt ends like any other: with one log record, and an id."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import (
    ConfigError,
    ConnectionNotFound,
    CredentialsError,
    DeadlineExceeded,
    InvalidRequest,
    Nango,
    NangoError,
    RateLimited,
    TransportFailed,
)
from tests.support.oauth_token_server import Provider
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USER = "user-1"
KEY = "key_planted_0001"


@pytest.fixture
def provider() -> Iterator[Provider]:
    """An OAuth provider with an API."""
    with Provider() as provider:
        yield provider


@pytest.fixture
def nango(tmp_path: Path, provider: Provider) -> Iterator[Nango]:
    """An API with a key, and one with tokens."""
    base: dict[str, Any] = {
        "base_url": f"{provider.url}/api/",
        "headers": {"Authorization": "Bearer ${api_key}"},
    }
    key = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            **base,
            "headers": {**base["headers"], "X-Team": "${additional_config.team|default('')}"},
        },
        "rate_limits": {"budgets": [{"key": "all", "otherwise": ["1/hour"]}]},
        "retries": {"max_attempts": 1},
    }
    tokens = {
        "auth": {
            "auth_mode": "OAUTH2",
            "authorization_url": provider.url,
            "token_url": f"{provider.url}/token",
        },
        "oauth_client_id": CLIENT_ID,
        "oauth_client_secret": CLIENT_SECRET,
        "requests": {**base, "headers": {"Authorization": "Bearer ${access_token}"}},
        "verification": {"method": "GET", "path": "me"},
    }
    with Nango(
        {"shop": key, "mail": tokens},
        database_url=f"sqlite:///{tmp_path}/nango.db",
        encryption_keys=ENCRYPTION_KEY,
        environ={},
    ) as opened:
        opened.register_connection("shop", USER, {"api_key": KEY})
        yield opened


def spend_all(nango: Nango, _: Provider) -> None:
    """Use the only call of the hour."""
    nango.executor("shop", USER).get("x")


def break_settings(nango: Nango, _: Provider) -> None:
    """Settings that cannot be sent in a header; they fit the templates when the executor was made."""
    nango.store.update_config("shop", USER, {"team": "a\nb"})
    nango.services.cache.clear()


def delete(nango: Nango, _: Provider) -> None:
    """The user has disconnected."""
    nango.delete_connection("shop", USER)


def revoke(_: Nango, provider: Provider) -> None:
    """The user's grant has ended."""
    provider.faults.append("invalid_grant")


def stop_tokens(_: Nango, provider: Provider) -> None:
    """The token endpoint is down."""
    provider.faults.extend([500] * 9)


def nothing(*_: object) -> None:
    """Everything is as it should be."""


CASES: dict[str, tuple[str, Any, Any, type[Exception]]] = {
    "unknown option": ("shop", nothing, lambda api: api.get("x", parms={}), TypeError),
    "path outside": ("shop", nothing, lambda api: api.get("../x"), InvalidRequest),
    "another host": ("shop", nothing, lambda api: api.get("//elsewhere.test/x"), InvalidRequest),
    "key in the path": ("shop", nothing, lambda api: api.get(f"a/../../{KEY}?key={KEY}"), InvalidRequest),
    "method": ("shop", nothing, lambda api: api.request("G T", "x"), InvalidRequest),
    "header": ("shop", nothing, lambda api: api.get("x", headers={"a": "b\nc"}), InvalidRequest),
    "body": ("shop", nothing, lambda api: api.post("x", json={1, 2}), InvalidRequest),
    "deadline": ("shop", nothing, lambda api: api.get("x", deadline_seconds="1"), InvalidRequest),
    "no deadline": ("shop", nothing, lambda api: api.get("x", deadline_seconds=0), DeadlineExceeded),
    "spent": ("shop", spend_all, lambda api: api.get("x", deadline_seconds=1), RateLimited),
    "settings": ("shop", break_settings, lambda api: api.get("x"), ConfigError),
    "deleted": ("shop", delete, lambda api: api.get("x"), ConnectionNotFound),
    "no pages": ("shop", nothing, lambda api: first(api.paginate("x")), ConfigError),
    "page": ("shop", nothing, lambda api: first(api.pages("x")), ConfigError),
    "download": ("shop", nothing, lambda api: api.download("../x", "file"), InvalidRequest),
    "library": ("shop", nothing, lambda api: api.send_url("GET", "http://elsewhere.test/"), InvalidRequest),
    "dead grant": ("mail", revoke, lambda api: api.get("x"), CredentialsError),
    "no token": ("mail", stop_tokens, lambda api: api.get("x", deadline_seconds=1), TransportFailed),
}


def first(records: Any) -> Any:
    """The first record, in either kind of executor."""
    return anext(records) if hasattr(records, "__anext__") else next(records)


def failure_of(nango: Nango, kind: str, integration: str, prepare: Callable[[], None], act: Any) -> Any:
    """What the call raises, and what explain() says afterwards."""

    async def work() -> Any:
        async with nango:
            executor = nango.async_executor(integration, USER)
            await asyncio.to_thread(prepare)
            try:
                await act(executor)
            except (NangoError, TypeError) as error:
                return error, executor.explain()
            raise AssertionError("the call succeeded")

    if kind == "async":
        return asyncio.run(work())
    executor = nango.executor(integration, USER)
    prepare()
    try:
        act(executor)
    except (NangoError, TypeError) as error:
        return error, executor.explain()
    raise AssertionError("the call succeeded")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("case", CASES)
def test_a_call_that_is_not_sent_ends_with_one_record(
    nango: Nango, provider: Provider, case: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The record has no attempts, the level ERROR, the id of the error and of explain(), and no secret."""
    integration, prepare, act, expected = CASES[case]
    nango.register_connection("mail", USER, provider.grant(USER, expired=True))

    def begin() -> None:
        prepare(nango, provider)
        caplog.clear()

    with caplog.at_level(logging.INFO, "nango_py.integrations"):
        error, story = failure_of(nango, kind, integration, begin, act)
    assert type(error) is expected
    ends = [record for record in caplog.records if "attempts" in getattr(record, "nango", {})]
    assert len(ends) == 1
    fields = ends[0].nango  # type: ignore[attr-defined]
    assert (ends[0].levelname, fields["attempts"]) == ("ERROR", 0)
    assert (fields["integration"], fields["user_id"]) == (integration, USER)
    assert type(error).__name__ in fields["outcome"]
    assert len(fields["call"]) == 12
    assert story.splitlines()[-1].startswith(f"call {fields['call']}: ")
    assert isinstance(error, TypeError) or error.call_id == fields["call"]
    assert KEY not in caplog.text


def test_a_verification_without_a_token_has_a_record(
    nango: Nango, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """verify() returns a verdict; the log says how its call ended."""
    nango.register_connection("mail", USER, provider.grant(USER, expired=True))
    executor = nango.executor("mail", USER)
    provider.faults.append("invalid_grant")
    with caplog.at_level(logging.INFO, "nango_py.integrations"):
        assert executor.verify().outcome == "refused"
    ends = [record.nango for record in caplog.records if "attempts" in getattr(record, "nango", {})]
    assert [(end["method"], end["endpoint"], end["attempts"]) for end in ends] == [("GET", "me", 0)]


def test_a_good_call_still_has_one_record(nango: Nango, caplog: pytest.LogCaptureFixture) -> None:
    """The control: one record, not two."""
    with caplog.at_level(logging.INFO, "nango_py.integrations"):
        nango.executor("shop", USER).get("x")
    assert ["attempts" in record.nango for record in caplog.records] == [False, True]  # type: ignore[attr-defined]
