"""What the sandbox reads from requests as the blueprint says: fields of bodies, and idempotency keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from nango_py.config.idempotency import BODY, HEADER, Idempotency, idempotency_of
from nango_py.config.request_match import MatchTable, RequestFacts, RequestMatch, value_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nango_py.json_types import Settings
    from nango_py.sandbox.http_socket import Request

_FORM = "application/x-www-form-urlencoded"


def body_content(request: Request) -> object:
    """The JSON value or the form of a request; None if it has neither."""
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind == _FORM:
        return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return json.loads(request.body) if request.body else None
    except ValueError:
        return None


def field_of(content: object, path: str) -> str | None:
    """The text of a field of a body by its dotted path, which forms may write with brackets."""
    found = value_at(content, path)
    if found is None and isinstance(content, dict):
        first, *rest = path.split(".")
        found = content.get(path, content.get(first + "".join(f"[{key}]" for key in rest)))
    return found if isinstance(found, str) else None


class KeyReader:
    """Reads idempotency keys.

    Args:
        settings: the merged settings of a blueprint.
        header: the header to read instead of what the settings say; "" for no keys; None for theirs.
    """

    def __init__(self, settings: Settings, header: str | None) -> None:
        own = idempotency_of(settings.get("retries"))
        self._own = own if header is None else Idempotency(HEADER, header) if header else None
        entries = () if header is not None else settings.get("endpoints") or ()
        keyed = [(entry, found) for entry in entries if (found := idempotency_of(entry)) is not None]
        self._table = MatchTable(RequestMatch.from_settings(entry["match"]) for entry, _ in keyed)
        self._keys = [found for _, found in keyed]

    @property
    def header(self) -> str:
        """The lower-case name of the header that holds keys, or ""."""
        return self._own.name.lower() if self._own is not None and self._own.place == HEADER else ""

    def read(self, request: Request, endpoint: str, params: Mapping[str, str]) -> str | None:
        """The key of a request, or None."""
        number = self._table.first(facts_of(request, endpoint, params)) if self._keys else None
        where = self._own if number is None else self._keys[number]
        if where is None:
            return None
        if where.place == HEADER:
            return request.header(where.name.lower())
        return field_of(body_content(request), where.name) if where.place == BODY else params.get(where.name)


def facts_of(request: Request, endpoint: str, params: Mapping[str, str]) -> RequestFacts:
    """What a `match` looks at; the settings of the connection are not known."""
    return RequestFacts(request.method, endpoint, params, body_content(request))


class EndpointCredentials:
    """The headers and parameters that `endpoints` set, so that other credentials are in them.

    Args:
        settings: the merged settings of a blueprint.
    """

    def __init__(self, settings: Settings) -> None:
        entries: Sequence[Settings] = [
            entry for entry in settings.get("endpoints") or () if entry.get("headers") or entry.get("params")
        ]
        self._table = MatchTable(RequestMatch.from_settings(entry["match"]) for entry in entries)
        self._places = [
            frozenset(
                [("header", name.lower()) for name in entry.get("headers") or ()]
                + [("param", name) for name in entry.get("params") or ()]
            )
            for entry in entries
        ]

    def places(
        self, request: Request, endpoint: str, params: Mapping[str, str]
    ) -> frozenset[tuple[str, str]]:
        """The places that entries set for a request, as ("header" or "param", name)."""
        if not self._places:
            return frozenset()
        numbers = self._table.all(facts_of(request, endpoint, params))
        return frozenset().union(*(self._places[number] for number in numbers))
