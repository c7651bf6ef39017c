"""One record for each attempt, at the right level, without a secret."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from nango_py.attempt import Attempt
from nango_py.engine.log import get_logger, log_attempt
from tests.support.made_values import KEY, a_connection, a_plan, an_integration, bound_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "nango_py.integrations.shop"


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    logger = logging.getLogger(NAME)
    before = logger.level
    logger.setLevel(logging.NOTSET)
    yield
    logger.setLevel(before)


LEVELS = [
    (Attempt(1, status=200, action="return"), "INFO"),
    (Attempt(1, status=302, action="redirect"), "INFO"),
    (Attempt(1, status=404, action="fail"), "INFO"),
    (Attempt(1, status=500, action="fail"), "WARNING"),
    (Attempt(1, status=500, action="retry"), "WARNING"),
    (Attempt(1, status=429, action="wait"), "WARNING"),
    (Attempt(1, reason="reset", action="retry"), "WARNING"),
    (Attempt(1, reason="tls", action="fail"), "WARNING"),
]


@pytest.mark.parametrize(("attempt", "level"), LEVELS)
def test_an_attempt_is_logged_at_the_level_of_its_outcome(
    attempt: Attempt, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """INFO if it brought the caller's response, else WARNING."""
    with caplog.at_level(logging.DEBUG, NAME):
        log_attempt(get_logger("shop", None), a_plan(), attempt)
    assert [record.levelname for record in caplog.records] == [level]


def test_the_record_is_for_people_and_machines(caplog: pytest.LogCaptureFixture) -> None:
    """It has a sentence, and the same fields as a dict for JSON."""
    attempt = Attempt(
        2, status=200, seconds=0.25, waited=1.5, received=12, rule="built-in: 200", action="return"
    )
    with caplog.at_level(logging.INFO, NAME):
        log_attempt(get_logger("shop", None), a_plan(path="v1/metrics?count=1"), attempt)
    (record,) = caplog.records
    assert record.getMessage() == (
        "shop user-1 GET /v1/metrics -> 200 in 250 ms "
        "(attempt 2, waited 1.500 s, 12 bytes; return by built-in: 200)"
    )
    facts = record.nango  # type: ignore[attr-defined]
    assert facts["user_id"] == "user-1"
    assert facts["endpoint"] == "v1/metrics"
    assert json.loads(json.dumps(facts)) == facts


IN_QUERY = an_integration(params={"api_key": "${api_key}"})


def test_a_record_names_the_endpoint_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    """The caller's parameters and the plan are not in the record."""
    with caplog.at_level(logging.INFO, NAME):
        plan = a_plan(params={"q": "private"}, settings=bound_settings(IN_QUERY))
        log_attempt(get_logger("shop", None), plan, Attempt(1, status=200))
    text = f"{caplog.text}{[vars(record) for record in caplog.records]}"
    assert KEY not in text
    assert "private" not in text


@pytest.mark.parametrize("key", [KEY, "k"])
def test_at_debug_the_record_shows_the_url_with_the_credential_masked(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The query is shown; the credential is masked by its place, however short it is."""
    bound = bound_settings(IN_QUERY, a_connection({"api_key": key}))
    with caplog.at_level(logging.DEBUG, NAME):
        log_attempt(
            get_logger("shop", None), a_plan(params={"q": "1"}, settings=bound), Attempt(1, status=200)
        )
    assert "GET https://api.example.test/v1/things?api_key=***&q=1 -> 200" in caplog.text


def test_a_user_id_cannot_add_a_line_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks and terminal codes are escaped."""
    bound = bound_settings(connection=a_connection(user_id="x\n2026 INFO fake \x1b[31m"))
    with caplog.at_level(logging.DEBUG, NAME):
        log_attempt(get_logger("shop", None), a_plan(settings=bound), Attempt(1, status=200))
    message = caplog.records[0].getMessage()
    assert "\n" not in message
    assert "\x1b" not in message


@pytest.mark.parametrize(("log_level", "count"), [("debug", 2), ("info", 2), ("warn", 1), ("error", 0)])
def test_the_integrations_level_decides_what_is_written(
    log_level: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """`log_level` of integrations.yaml is the level of that integration's logger."""
    with caplog.at_level(logging.DEBUG):
        logger = get_logger("shop", log_level)
        log_attempt(logger, a_plan(), Attempt(1, status=200, action="return"))
        log_attempt(logger, a_plan(), Attempt(1, status=500, action="retry"))
    assert len(caplog.records) == count


def test_without_a_level_the_host_decides() -> None:
    """A library does not decide what its host prints."""
    assert get_logger("shop", None).level == logging.NOTSET
    assert get_logger("shop", "warn").level == logging.WARNING
