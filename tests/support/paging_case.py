"""A paged server that lies or stumbles, and what a walk gives: the records, or a word of the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.made_values import FakeResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.scripted_executors import Request

BASE = "https://api.example.test/v1/things"
EVERYTHING = [{"id": number} for number in range(1, 8)]
PAGE_OF_3 = [EVERYTHING[:3], EVERYTHING[3:6], EVERYTHING[6:]]


class Case(NamedTuple):
    """One server.

    Attributes:
        pagination: the blueprint's block.
        serve: how the server responds.
        records: the records of the walk, if it ends well.
        error: a word of the error, if it does not.
        call: arguments of `paginate`.
        most: the most requests that a walk may need.
    """

    pagination: dict[str, Any]
    serve: Callable[[Request], Any]
    records: list[Any] | None = None
    error: str = ""
    call: dict[str, Any] = {}  # noqa: RUF012 - never changed
    most: int = 12


CASES: dict[str, Case] = {}


def add(
    name: str, pagination: Mapping[str, Any], serve: Callable[[Request], Any], expected: Any, **more: Any
) -> None:
    """Add a case; `expected` is the list of records, or a word of the error."""
    assert name not in CASES, name
    records, error = (None, expected) if isinstance(expected, str) else (expected, "")
    CASES[name] = Case(dict(pagination), serve, records, error, **more)


def script(*responses: Any) -> Callable[[Request], Any]:
    """A server with one response after the other; the last one is repeated."""
    return lambda request: responses[min(request.number, len(responses)) - 1]


def link(page: int, header: str) -> FakeResponse:
    """A page of three with a Link header."""
    return FakeResponse(headers={"Link": header}, body=PAGE_OF_3[page - 1])
