"""The limits and waits of docs/rate-limits.md, checked against the code that reads them."""

from __future__ import annotations

import ast
import re
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from nango_py.config.request_match import RequestFacts
from nango_py.config.yaml.document import parse_document
from nango_py.limits.headers.response_limits import parse_wait
from nango_py.limits.notation import parse_limit
from nango_py.limits.rules import RateLimits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rate-limits.md"
NOW = 1_790_000_000.0


def example() -> dict[str, Any]:
    """The rate limits of the page's blueprint."""
    blocks = re.findall(r"^```yaml[^\n]*\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    data = parse_document(next(block for block in blocks if "name: example" in block), "example").data
    limits: dict[str, Any] = data["rate_limits"]
    return limits


def labels(method: str, path: str, **params: str) -> list[list[str]]:
    """The limits of a call under the page's blueprint, by budget."""
    facts, who = RequestFacts(method, path, params), {"integration": "it", "user_id": "user-1"}
    spends, _ = RateLimits.from_settings(example()).spends_and_gates(facts, who)
    return [[limit.label for limit in spend.limits] for spend in spends]


@pytest.mark.parametrize(
    ("method", "path", "params", "second"),
    [
        ("GET", "reports/1", {"detail": "full"}, ["1/second", "15/minute"]),
        ("GET", "reports/1/", {"detail": "none,full"}, ["1/second", "15/minute"]),
        ("GET", "reports/1", {"detail": "none"}, ["10/second", "150/minute"]),
        ("POST", "reports/1", {}, ["10/second", "150/minute"]),
        ("POST", "reports", {}, ["1/second", "100/day"]),
        ("GET", "elsewhere", {}, ["75/second", "700/minute"]),
    ],
)
def test_the_example_counts_as_the_page_explains(
    method: str, path: str, params: dict[str, str], second: list[str]
) -> None:
    """Every call counts in the first budget; in the second, the first matching case sets the windows."""
    first, found = labels(method, path, **params)
    assert len(first) == 1
    assert found == second


def test_every_form_of_a_limit_is_read() -> None:
    """Every form of a limit in the table can be parsed."""
    (table,) = re.findall(r"^\| a limit \|.*?\n\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    forms = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    read = [re.findall(r"`([^`]+)`", form) for form in forms]
    for words in read:
        written = words[0]
        if written.startswith("{"):
            written = ast.literal_eval(re.sub(r"([A-Za-z_/]+)", r"'\1'", written))
        assert parse_limit(written)
        for unit in words[1:]:
            assert parse_limit(f"10/{unit}")


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        pytest.param({"Retry-After": "7"}, "", 7.0, id="seconds"),
        pytest.param({"Retry-After": "1.5"}, "", 1.5, id="decimals"),
        pytest.param({"Retry-After": formatdate(NOW + 30, usegmt=True)}, "", 30.0, id="date"),
        pytest.param({"Retry-After-Ms": "250"}, "", 0.25, id="milliseconds"),
        pytest.param({"RateLimit-Remaining": "0", "RateLimit-Reset": "9"}, "", 9.0, id="RateLimit"),
        pytest.param(
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{NOW + 9:.0f}"}, "", 9.0, id="X-RateLimit"
        ),
        pytest.param(
            {"X-Rate-Limit-Remaining-Minute": "0", "X-Rate-Limit-Reset-Minute": "9"}, "", 9.0, id="an ending"
        ),
        pytest.param({"RateLimit": '"day";r=0;t=42'}, "", 42.0, id="the IETF's field"),
        pytest.param({}, "Expected available in 56.0 seconds", 56.0, id="a sentence"),
        pytest.param({}, '{"retry_after": 2}', 2.0, id="a field"),
        pytest.param(
            {"Retry-After": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": "9"}, "", 3.0, id="first"
        ),
        pytest.param(
            {
                "X-RateLimit-Remaining-Second": "0",
                "X-RateLimit-Reset-Second": "1",
                "X-RateLimit-Remaining-Day": "0",
                "X-RateLimit-Reset-Day": "600",
            },
            "again in 2 seconds",
            600.0,
            id="the longest",
        ),
        pytest.param({"RateLimit-Remaining": "5", "RateLimit-Reset": "9"}, "", None, id="something is left"),
    ],
)
def test_a_wait_is_read_where_the_page_says(
    headers: dict[str, str], text: str, seconds: float | None
) -> None:
    """Retry-After comes first, then exhausted limits, then the body."""
    assert parse_wait(headers, text, NOW) == (seconds if seconds is None else pytest.approx(seconds))


def test_a_date_is_compared_with_the_date_of_the_response() -> None:
    """A clock that is an hour slow does not add an hour to the wait."""
    headers = {"Retry-After": formatdate(NOW + 30, usegmt=True), "Date": formatdate(NOW, usegmt=True)}
    assert parse_wait(headers, "", NOW - 3600) == pytest.approx(30.0)
