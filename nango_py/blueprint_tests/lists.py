"""Tests that the pages of a blueprint's lists are found, in its examples and in lists of its sandbox."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nango_py.blueprint_tests.bench import Bench
from nango_py.blueprint_tests.examples import DEADLINE_SECONDS, call_of
from nango_py.connections.connection import thaw
from nango_py.errors import NangoError, printable
from nango_py.json_path import search_json
from nango_py.sandbox import SandboxResponse
from nango_py.sandbox.responses import ApiResponses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.catalogue import Catalogue
    from nango_py.json_types import Settings
    from nango_py.transport.sendable import Sendable
    from nango_py.transport.sync_transport import Transport

RECORDS, PAGE_SIZE = 7, 3
SUCCESSES = range(200, 300)


def has_list(settings: Settings, example: Settings) -> bool:
    """Whether the response of an example has a list where `pagination.records` says."""
    response = example.get("response") or {}
    pagination = settings.get("pagination") or {}
    if not pagination or response.get("status") not in SUCCESSES or "json" not in response:
        return False
    body: Any = thaw(response["json"])
    records = pagination.get("records")
    return isinstance(search_json(records, body) if records else body, list)


def page_differences(bench: Bench, example: Settings) -> Iterator[str]:
    """What is wrong with the list of an example, and with the request for its next page."""
    expects = example.get("expects") or {}
    if "next_page" not in expects and not has_list(bench.settings, example):
        return
    method, path, options = call_of(example)
    if method != "GET":
        return
    caller = bench.caller(bench.declared, example)
    bench.script.replies = [ApiResponses(bench.settings).of_example(example), SandboxResponse.of({})]
    try:
        deque(caller.executor.pages(path, max_pages=2, **options), maxlen=0)
    except NangoError as error:
        if len(caller.sender.sent) == 1:
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
    else:
        changed = dict(parse_qsl(urlsplit(following.url).query, keep_blank_values=True))
        body = json.loads(following.body) if isinstance(following.body, bytes) else {}
        for name, value in thaw(expected).items():
            text = str(changed.get(name, body.get(name)))
            if text != str(value):
                yield f"the next page has {name} {printable(text)}; expected {printable(str(value))}"


def walk_differences(bench: Bench, catalogue: Catalogue, transport: Transport) -> Iterator[str]:
    """What is wrong with a walk over a list of several pages in the sandbox."""
    example = next((each for each in bench.examples if has_list(bench.settings, each)), None)
    if example is None or bench.settings["pagination"].get("kind") == "single":
        return
    method, path, options = call_of(example)
    if method != "GET":
        return
    with Bench(bench.blueprint, catalogue, transport) as paged:
        where = f"the walk over a list at {printable(path)}"
        try:
            served = paged.sandbox.paginate(path.partition("?")[0], RECORDS, page_size=PAGE_SIZE)
        except ValueError as error:
            yield f"{where} is not possible: {error}"
            return
        caller = paged.caller(paged.served, example)
        options |= {"max_pages": RECORDS, "deadline_seconds": DEADLINE_SECONDS}
        try:
            records = list(caller.executor.paginate(path, **options))
        except NangoError as error:
            yield f"{where} ends with an error: {error}"
            return
    if records != served:
        yield f"{where} brings {len(records)} of {len(served)} records"
