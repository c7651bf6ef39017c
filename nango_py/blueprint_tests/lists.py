"""Tests that the pages of a blueprint's lists are found, in its examples and in lists of its sandbox."""

from __future__ import annotations

import json
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nango_py.blueprint_tests.examples import DEADLINE_SECONDS, call_of
from nango_py.config.request_match import value_at
from nango_py.connections.connection import thaw
from nango_py.errors import NangoError, printable
from nango_py.json_path import search_json
from nango_py.sandbox import SandboxResponse
from nango_py.sandbox.lists import find_pagination
from nango_py.sandbox.responses import ApiResponses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.json_types import JsonValue, Settings
    from nango_py.transport.sendable import Sendable

RECORDS, PAGE_SIZE = 7, 3
DAYS_BETWEEN_WALKS = 40
"""After them, no limit counts the calls of the walk before."""

SUCCESSES = range(200, 300)


def has_list(settings: Settings, example: Settings) -> bool:
    """Whether the response of an example has a list where the pagination of its call expects it."""
    response, call = example.get("response") or {}, example["call"]
    pagination = find_pagination(settings, str(call.get("method", "GET")), _path_of(call))
    if not pagination or response.get("status") not in SUCCESSES or "json" not in response:
        return False
    body: Any = thaw(response["json"])
    records = pagination.get("records")
    return isinstance(search_json(records, body) if records else body, list)


def _path_of(call: Settings) -> str:
    return str(call["path"]).partition("?")[0].strip("/")


def page_differences(bench: Bench, example: Settings) -> Iterator[str]:
    """What is wrong with the list of an example, and with the request for its next page."""
    expects = example.get("expects") or {}
    if "next_page" not in expects and not has_list(bench.settings, example):
        return
    method, path, options = call_of(example)
    caller = bench.caller(bench.declared, example)
    bench.script.replies = [ApiResponses(bench.settings).of_example(example), SandboxResponse.of({})]
    try:
        deque(caller.executor.pages(path, method=method, max_pages=2, **options), maxlen=0)
    except NangoError as error:
        if len(caller.sender.sent) < 2:  # noqa: PLR2004 - the second page is made up
            yield f"the page cannot be read: {error}"
            return
    finally:
        bench.script.replies = []
    if "next_page" in expects:
        following = caller.sender.sent[1] if len(caller.sender.sent) > 1 else None
        yield from _next_page_differences(expects["next_page"], following)


def _next_page_differences(expected: object, following: Sendable | None) -> Iterator[str]:
    """The differences between `expects.next_page` and the request for the next page, if there is one."""
    found = "none" if following is None else following.url
    if isinstance(expected, str) or following is None:
        if found != expected:
            yield f"the next page is {printable(found)}; expected {printable(str(thaw(expected)))}"
        return
    params = dict(parse_qsl(urlsplit(following.url).query, keep_blank_values=True))
    headers = {name: value for name, (_, value) in following.headers.items()}
    for name, value in thaw(expected).items():
        known = params.get(name, headers.get(name.lower()))
        text = str(_body_value(following, name) if known is None else known)
        if text != str(value):
            yield f"the next page has {name} {printable(text)}; expected {printable(str(value))}"


def _body_value(request: Sendable, name: str) -> object:
    """The value of a field of a JSON body or a form, by its dotted path."""
    body = request.body if isinstance(request.body, bytes) else b""
    try:
        return value_at(json.loads(body), name)
    except ValueError:
        return dict(parse_qsl(body.decode("utf-8", "replace"))).get(name)


def walk_differences(bench: Bench) -> Iterator[str]:
    """What is wrong with walks over the lists of the examples, in several pages of the sandbox."""
    walked: set[tuple[str, str]] = set()
    for example in bench.examples:
        place = str(example["call"].get("method", "GET")), _path_of(example["call"])
        kind = find_pagination(bench.settings, *place).get("kind")
        if place in walked or kind == "single" or not has_list(bench.settings, example):
            continue
        if not walked:
            bench.open_sandbox()
        walked.add(place)
        bench.clock.advance(days=DAYS_BETWEEN_WALKS)
        yield from _walk(bench, example)


def _walk(bench: Bench, example: Settings) -> Iterator[str]:
    method, path, options = call_of(example)
    where = f"the walk over a list at {method} {printable(path)}"
    paginate = partial(bench.sandbox.paginate, path.partition("?")[0], method=method, page_size=PAGE_SIZE)
    try:
        served = paginate(RECORDS)
        if len({json.dumps(record) for record in served}) < RECORDS:  # the example's record has no id
            numbered: list[JsonValue] = [{"id": number} for number in range(RECORDS)]
            served = paginate(numbered)
    except ValueError as error:
        yield f"{where} is not possible: {error}"
        return
    caller = bench.caller(bench.served, example)
    options |= {"method": method, "max_pages": RECORDS, "deadline_seconds": DEADLINE_SECONDS}
    try:
        records = list(caller.executor.paginate(path, **options))
    except NangoError as error:
        yield f"{where} ends with an error: {error}"
        return
    if records != served:
        yield f"{where} brings {len(records)} of {len(served)} records"
