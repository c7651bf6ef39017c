"""Where a walk over pages is, as JSON that another process can go on from, and what it has seen so far."""

from __future__ import annotations

import json
import marshal
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

from nango_py.engine.request_encoding import to_pairs
from nango_py.errors import InvalidRequest, printable
from nango_py.json_types import is_deeper_than
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.engine.call_arguments import Call
    from nango_py.json_types import JsonObject, JsonValue

VERSION = 1
MAX_KEPT_KEYS = 50
MAX_RECENT = 512
"""How many requests and pages are compared with the next one at once; longer loops take longer to find."""
MAX_SAVED = 16
"""How many of them are part of a state."""
MAX_DEPTH = 20
UNCHANGED = "pass `page.state` or `records.state` unchanged"


def digest(text: bytes) -> str:
    """A short fingerprint, the same in every process."""
    return blake2b(text, digest_size=8).hexdigest()


def digest_records(records: list[JsonValue]) -> str:
    """A fingerprint of the records of a page, directly after they were parsed; "" if there are none.

    `marshal` takes a seventh of the time of `repr`. Its form depends on the version of Python, and on which
    objects are in use elsewhere, so nothing may have been done with the records yet.
    """
    if not records:
        return ""
    try:
        form = marshal.dumps(records)
    except ValueError:  # nested more than 2,000 levels deep, or not JSON
        form = repr(records).encode("utf-8", "replace")
    return digest(form)


class Repeats:
    """Finds what comes again in a sequence of any length, with bounded memory.

    What is among the last 512 is found at once. A longer cycle is found by the one element that is kept for
    longer: it is replaced at every power of two (Brent's algorithm).

    Source: https://doi.org/10.1007/BF01933190
    """

    def __init__(self, saved: tuple[tuple[str, int], ...] = ()) -> None:
        self._recent: dict[str, int] = dict(saved)
        self._last = deque(saved[1:], MAX_SAVED)
        self._kept = saved[0] if saved else ("", 0)

    def find(self, fingerprint: str, number: int) -> int:
        """The number of the earlier element with this fingerprint, or 0; the element is remembered."""
        found = self._recent.get(fingerprint, 0)
        if not found and fingerprint == self._kept[0]:
            found = self._kept[1]
        self._recent.setdefault(fingerprint, number)
        self._last.append((fingerprint, number))
        if len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        if number & (number - 1) == 0:
            self._kept = (fingerprint, number)
        return found

    def snapshot(self) -> tuple[tuple[str, int], ...]:
        """The part that another process needs: the kept element first, then the last ones."""
        return self._kept, *self._last


@record
class Place:
    """A place in a list: before its first page, between two pages, or after the last one.

    Attributes:
        changes: what the request for the next page has and the first one has not; None after the last page.
        pages, records: how many were read before this place.
        largest_page: the number of records of the longest page.
        empty_pages: the number of empty pages directly before.
        keys: the keys of the first page.
        requests, contents: see `Repeats.snapshot`.
    """

    changes: JsonObject | None
    pages: int = 0
    records: int = 0
    largest_page: int = 0
    empty_pages: int = 0
    keys: frozenset[str] = frozenset()
    requests: tuple[tuple[str, int], ...] = ()
    contents: tuple[tuple[str, int], ...] = ()


@record
class ListId:
    """Which list a state belongs to.

    Attributes:
        call: a fingerprint of what the caller asks for.
    """

    integration: str
    user: str
    path: str
    kind: str
    call: str

    @classmethod
    def of(cls, integration: str, user: str, kind: str, call: Call) -> ListId:
        """The list that a call reads.

        Headers of the call are not part of it: they often hold ids of requests.
        """
        data = call.data if isinstance(call.data, str | bytes) else _form(call.data)
        asked: tuple[object, ...] = (
            call.method.upper(),
            sorted(to_pairs(call.params)),
            _json_text(call.json),
            data,
        )
        asked = (*asked, call.base) if call.base else asked
        return cls(integration, user, call.path, kind, digest(repr(asked).encode("utf-8", "replace")))


def _form(data: object) -> list[tuple[str, str]]:
    return sorted(to_pairs(data)) if isinstance(data, Mapping | list | tuple) else []


def _json_text(value: object) -> str:
    """JSON with the keys of its objects sorted; "" for a value that JSON cannot hold: no request has it."""
    for sort_keys in (True, False):  # numbers and texts as keys of one object cannot be sorted
        with suppress(TypeError, ValueError, RecursionError):
            return json.dumps(value, sort_keys=sort_keys)
    return ""


def to_state(place: Place, of: ListId, skip: int = 0) -> JsonObject:
    """A place as JSON. `skip` is the number of records of the next page that were read already."""
    return {
        "version": VERSION,
        "integration": of.integration,
        "user": of.user,
        "path": of.path,
        "kind": of.kind,
        "call": of.call,
        "done": place.changes is None,
        "next": place.changes,
        "skip": skip,
        "pages": place.pages,
        "records": place.records + skip,
        "largest_page": place.largest_page,
        "empty_pages": place.empty_pages,
        "keys": [*sorted(place.keys)[:MAX_KEPT_KEYS]],
        "requests": [list(one) for one in place.requests],
        "contents": [list(one) for one in place.contents],
    }


def from_state(state: Mapping[str, JsonValue], of: ListId) -> tuple[Place, int]:
    """The place of a saved state, and how many records of its page were read already.

    Raises:
        InvalidRequest: it is not such a state, or one of another list. Nothing was sent.
    """
    known = set(to_state(Place(None), of))
    if not isinstance(state, dict) or set(state) != known or is_deeper_than(dict(state), MAX_DEPTH):
        raise InvalidRequest(f"state is not the state of a page: {UNCHANGED}")
    if state["version"] != VERSION:
        raise InvalidRequest(f"state has version {printable(str(state['version']), 20)}; expected {VERSION}")
    for name, own in (
        ("integration", of.integration), ("user", of.user), ("path", of.path), ("kind", of.kind),
    ):  # fmt: skip
        if state[name] != own:
            theirs = printable(str(state[name]), 100)
            raise InvalidRequest(f'state is of {name} "{theirs}"; this call is of {name} "{printable(own)}"')
    if state["call"] != of.call:
        raise InvalidRequest("state is of a call with another method, base URL, params, json or data")
    place = Place(
        changes=_changes(state["next"]),
        pages=_count(state, "pages"),
        records=_records(state),
        largest_page=_count(state, "largest_page"),
        empty_pages=_count(state, "empty_pages"),
        keys=frozenset(_texts(state["keys"])),
        requests=_fingerprints(state, "requests"),
        contents=_fingerprints(state, "contents"),
    )
    return place, _count(state, "skip")


CHANGED = {
    "params": dict,
    "header": dict,
    "body": dict,
    "phrases": dict,
    "url": str,
    "path": str,
    "method": str,
}
"""The places of a request that a state may change."""


def _changes(value: JsonValue) -> JsonObject | None:
    if value is None:
        return None
    if not isinstance(value, dict) or any(
        not isinstance(part, CHANGED.get(name, ())) for name, part in value.items()
    ):
        raise _state_error("next")
    headers = value.get("header")
    if isinstance(headers, dict) and not all(isinstance(text, str) for text in headers.values()):
        raise _state_error("next")
    return value


def _count(state: Mapping[str, JsonValue], name: str) -> int:
    value = state[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _state_error(name)
    return value


def _records(state: Mapping[str, JsonValue]) -> int:
    before = _count(state, "records") - _count(state, "skip")
    if before < 0:
        raise _state_error("records")
    return before


def _texts(value: JsonValue) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _state_error("keys")
    return [text for text in value if isinstance(text, str)]


def _fingerprints(state: Mapping[str, JsonValue], name: str) -> tuple[tuple[str, int], ...]:
    found, value = [], state[name]
    for pair in value if isinstance(value, list) else (value,):
        if not isinstance(pair, list) or [type(part) for part in pair] != [str, int]:
            raise _state_error(name)
        found.append((str(pair[0]), int(str(pair[1]))))
    return tuple(found)


def _state_error(name: str) -> InvalidRequest:
    return InvalidRequest(f"state has a wrong value at {name}: {UNCHANGED}")
