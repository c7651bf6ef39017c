"""`endpoints`: what a blueprint says of some requests, merged over its own blocks."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from nango_py.config.idempotency import idempotency_of
from nango_py.config.request_match import MatchTable, RequestMatch
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nango_py.config.idempotency import Idempotency
    from nango_py.config.request_match import RequestFacts
    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.json_types import Settings

Named = tuple[tuple[str, "Template"], ...]
"""Names as written, and templates."""


@record
class EndpointSettings:
    """What differs for a request. What is empty or None is as in the blueprint's own blocks.

    Attributes:
        base: the name of a base of `requests.bases`, or "".
        headers: over `requests.headers`.
        params: over `requests.params`.
        body_format: the format of `body=`, or "".
        connect_seconds: timeout for connecting.
        read_seconds: timeout for each read.
        safe: whether the request may be sent twice.
        idempotency: where the key of the request goes.
        pagination: the block in place of `pagination`.
        upload: how the call begins an upload.
    """

    base: str = ""
    headers: Named = ()
    params: Named = ()
    body_format: str = ""
    connect_seconds: float | None = None
    read_seconds: float | None = None
    safe: bool | None = None
    idempotency: Idempotency | None = None
    pagination: Settings | None = None
    upload: Settings | None = None


DEFAULT = EndpointSettings()


class Endpoints:
    """The `endpoints` of an integration. Safe to share between threads.

    Args:
        entries: the checked list.
        compiled: the templates of the integration's settings by path.
    """

    def __init__(
        self, entries: Sequence[Settings] = (), compiled: Mapping[Path, Template] | None = None
    ) -> None:
        self._written = entries
        self._compiled = compiled or {}
        self._combined = lru_cache(maxsize=256)(self._combine)

    def __bool__(self) -> bool:
        return bool(self._written)

    # Made on first use: most programs call few of their integrations.
    @cached_property
    def _table(self) -> MatchTable:
        return MatchTable(RequestMatch.from_settings(entry.get("match")) for entry in self._written)

    @cached_property
    def _entries(self) -> tuple[EndpointSettings, ...]:
        return tuple(_settings_of(number, one, self._compiled) for number, one in enumerate(self._written))

    def settings_for(self, facts: RequestFacts) -> EndpointSettings:
        """What differs for a request: of the entries that match, the first that has a key decides it.

        Each header and each parameter is a separate key.
        """
        return self._combined(self._table.all(facts)) if self._written else DEFAULT

    def all_headers(self) -> Named:
        """The headers of all entries."""
        return tuple(header for entry in self._entries for header in entry.headers)

    def all_params(self) -> Named:
        """The parameters of all entries."""
        return tuple(param for entry in self._entries for param in entry.params)

    def _combine(self, numbers: tuple[int, ...]) -> EndpointSettings:
        found = [self._entries[number] for number in numbers]
        headers: dict[str, tuple[str, Template]] = {}
        params: dict[str, Template] = {}
        for entry in found:
            for name, template in entry.headers:
                headers.setdefault(name.lower(), (name, template))
            for name, template in entry.params:
                params.setdefault(name, template)
        return EndpointSettings(
            base=next((entry.base for entry in found if entry.base), ""),
            headers=tuple(headers.values()),
            params=tuple(params.items()),
            body_format=next((entry.body_format for entry in found if entry.body_format), ""),
            idempotency=next((entry.idempotency for entry in found if entry.idempotency), None),
            connect_seconds=next((e.connect_seconds for e in found if e.connect_seconds is not None), None),
            read_seconds=next((e.read_seconds for e in found if e.read_seconds is not None), None),
            safe=next((e.safe for e in found if e.safe is not None), None),
            pagination=next((e.pagination for e in found if e.pagination is not None), None),
            upload=next((e.upload for e in found if e.upload is not None), None),
        )


def _settings_of(number: int, entry: Settings, compiled: Mapping[Path, Template]) -> EndpointSettings:
    timeouts = entry.get("timeout_seconds", {})

    def templates(block: str) -> Named:
        return tuple((name, compiled["endpoints", number, block, name]) for name in entry.get(block, ()))

    return EndpointSettings(
        base=entry.get("base", ""),
        headers=templates("headers"),
        params=templates("params"),
        body_format=str(entry.get("body_format", "")),
        idempotency=idempotency_of(entry),
        connect_seconds=timeouts.get("connect"),
        read_seconds=timeouts.get("read"),
        safe=entry.get("safe"),
        pagination=entry.get("pagination"),
        upload=entry.get("upload"),
    )
